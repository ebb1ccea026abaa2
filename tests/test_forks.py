"""Processes that tests fork leave alone what they inherit."""

import gc
import os


class Session:
    """Ends with threads that a forked process does not have."""

    def __init__(self, pipe: int) -> None:
        self.own, self.pipe = self, pipe  # only a search for garbage finds it

    def __del__(self) -> None:
        os.write(self.pipe, b"ended")


def test_a_forked_process_does_not_end_what_its_parent_left():
    gc.disable()
    try:
        reader, writer = os.pipe()
        Session(writer)
        child = os.fork()
        if not child:
            gc.collect()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        os.set_blocking(reader, False)
        gc.collect()  # here it is ended
        assert os.read(reader, 100) == b"ended"
    finally:
        gc.enable()
        os.close(reader)
        os.close(writer)

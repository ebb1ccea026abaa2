"""A process that reads images and dies, as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import InputError
from core.training.interruption import Interruption


@contextmanager
def data_workers_may_die(interruption: Interruption) -> Iterator[None]:
    """Tell what to do when torch finds a worker of a loader dead.

    torch raises where the main process happens to be, so this stands around the whole epoch. A
    scheduler that sends SIGTERM to all processes of a run kills the workers too.

    Raises:
        InputError: a worker was killed or ended.
        KeyboardInterrupt: it ended, and so should the run.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        if interruption.requested:
            raise KeyboardInterrupt from error
        raise InputError(
            "data.num_workers: a process that reads images was killed, often for want of memory "
            f"({str(error).partition('.')[0]}): give fewer workers, and resume"
        ) from error

"""SIGINT and SIGTERM: the first lets the step end and be saved, the second ends the run at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NOTICE = b"\nStopping after this step and saving it; once more stops at once\n"


class Interruption:
    """Whether a run was asked to stop.

    Inside of `deferred` the first signal only sets `requested`, and whoever deferred it looks
    there after each step. Anywhere else, and from the second signal on, it is a
    KeyboardInterrupt where the run stands. Files are whole after either.
    """

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Leave it to the caller to stop once `requested`."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle SIGINT, and SIGTERM, which schedulers send. Only the main thread may ask."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, self._handle) for number in signals}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _handle(self, *_: Any) -> None:
        if self.requested or not self._deferred:
            self.requested = True
            raise KeyboardInterrupt
        self.requested = True
        # Straight to the descriptor: a stream may be in the middle of a write of its own.
        os.write(2, _NOTICE)

"""SIGINT and SIGTERM: the first lets the step end and be saved, the second ends the run at once."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.machine import distributed

# Among several processes: one Ctrl-C may reach each of them from the terminal and from the process
# that launched them.
_ECHO_SECONDS = 1.0
_NOTICE = b"\nStopping after this step and saving it; once more stops at once\n"


class Interruption:
    """Whether a run was asked to stop.

    Inside of `deferred` the first signal only sets `requested`, and whoever deferred it looks
    there after each step. Anywhere else, and from the second signal on, it is a
    KeyboardInterrupt where the run stands. Files are whole after either. Of several processes
    those that hear of a signal stop with the others, at the same step.
    """

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False
        self._asked_at = 0.0

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
        again, now = self.requested, time.monotonic()
        if again and distributed.size() > 1 and now - self._asked_at < _ECHO_SECONDS:
            return
        self.requested, self._asked_at = True, now
        if again or not self._deferred:
            raise KeyboardInterrupt
        if distributed.is_first():
            # Straight to the descriptor: a stream may be in the middle of a write of its own.
            os.write(2, _NOTICE)

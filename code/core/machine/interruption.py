"""What ends a training early: SIGINT, SIGTERM, and a worker process that dies."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from core.errors import InputError
from core.machine import distributed

# With several processes, one Ctrl-C may reach each of them twice: from the terminal and from the
# process that launched them.
_ECHO_SECONDS = 1.0
_NOTICE = b"\nStopping after this step and saving it; once more stops at once\n"


class Interruption:
    """Whether a run was asked to stop.

    Inside `deferred`, the first signal only sets `requested`; the caller checks it after each step.
    Elsewhere, and from the second signal on, a signal raises KeyboardInterrupt. All files are whole
    in either case. With several processes, all of them stop at the same step.
    """

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False
        self._asked = threading.Lock()  # held from the first signal on
        self._asked_at = math.inf

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the caller choose when to stop once `requested` is set."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def listening(self) -> AbstractContextManager[None]:
        """Handle SIGINT and SIGTERM in this way while the body runs."""
        return handling_signals(self._handle)

    def _handle(self, *_: Any) -> None:
        now = time.monotonic()
        # In one step: the handler of a second signal may run within that of the first.
        is_first = self._asked.acquire(blocking=False)
        if not is_first and distributed.size() > 1 and now - self._asked_at < _ECHO_SECONDS:
            return
        again = self.requested or not is_first
        self.requested, self._asked_at = True, now
        if again or not self._deferred:
            raise KeyboardInterrupt
        if distributed.is_first():
            # Straight to the descriptor: a stream may be in the middle of a write of its own.
            os.write(2, _NOTICE)


@contextmanager
def handling_signals(handler: Callable[..., None], *kept: int) -> Iterator[None]:
    """Handle SIGINT, and SIGTERM, which schedulers send. Only the main thread can do this.

    Their handlers, and those of the `kept` signals, are restored at the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in kept}
    previous |= {n: signal.signal(n, handler) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, earlier in previous.items():
            signal.signal(number, earlier)


@contextmanager
def explaining_dead_workers(interruption: Interruption) -> Iterator[None]:
    """Explain in one line, an InputError, when a worker process of a loader dies.

    torch raises wherever the main process happens to be, so this encloses a whole epoch. A
    scheduler that sends SIGTERM to all processes of a run also kills the workers: if the run was
    asked to stop, this raises KeyboardInterrupt.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        if interruption.requested:
            raise KeyboardInterrupt from error
        raise InputError(
            "data.num_workers: a worker process that reads images was killed, often because memory "
            f"ran out ({str(error).partition('.')[0]}): use fewer workers, and resume"
        ) from error

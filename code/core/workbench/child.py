"""A child process for what may be damaged, hostile or long, so that the server never waits."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from threading import Lock, Thread
from typing import Any

from core.errors import UnavailableError


def directly(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it in this process: for tests."""
    return function(*arguments)


class ChildProcess:
    """One process, started at the first question; questions wait for each other."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._is_closed = False

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns or raises there.

        Raises UnavailableError where the system ended the process, perhaps for its memory.
        """
        with self._lock:
            self._pool = self._pool or _pool()
            try:
                if self._is_closed:
                    raise BrokenProcessPool
                return self._pool.submit(function, *arguments).result()
            except BrokenProcessPool:
                self._pool = None
                raise UnavailableError(
                    "the process that read it was ended by the system, perhaps for its memory"
                ) from None

    def close(self) -> None:
        """End the process once its question is answered; no other question is answered."""
        self._is_closed = True
        if self._pool:
            self._pool.shutdown(wait=False)


def end_children() -> None:
    """End the processes of all that is asked here now, whose answers nobody waits for any more."""
    for process in active_children():
        process.terminate()


def _pool() -> ProcessPoolExecutor:
    # A forked child would inherit the server's threads and sockets.
    return ProcessPoolExecutor(1, get_context("spawn"), _live_as_long_as_the_server)


def _live_as_long_as_the_server() -> None:
    """Leave Ctrl-C to the server, and end when it has ended, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(parent_process().sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(0)

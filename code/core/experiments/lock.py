"""A lock on an experiment's folder, held while a process works in it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import InputError
from core.files.locks import acquire


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`. The system releases it when the process ends, in whatever way.

    Raises InputError where another process holds it, or the folder cannot be written to.
    """
    try:
        stream = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror}): change its permissions, or copy "
            "the folder to where it can be written to, and resume it there"
        ) from None
    with stream:
        if acquire(stream) is False:
            raise InputError(
                f"{folder}: another process is training in it: wait for it, or end it first"
            )
        yield


def is_locked(folder: Path) -> bool:
    """Whether another process is working in `folder`."""
    with suppress(OSError), (folder / ".lock").open("r+") as stream:
        return acquire(stream) is False
    return False

"""Locks on open files; the system releases them when their process ends, even if it is killed."""

from typing import IO

try:
    import fcntl
except ImportError:  # Windows has no such locks: two processes are not kept apart there
    fcntl = None


def acquire(stream: IO) -> bool | None:
    """Lock a file open for writing, without waiting: False where another process has it.

    None where the operating system or the file system has no locks. It is a record lock: a forked
    worker does not inherit it, and closing the file in this process releases it.
    """
    if fcntl is None:
        return None
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return None
    return True

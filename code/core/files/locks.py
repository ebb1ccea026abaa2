"""Locks on open files, of which the system lets go when their process ends, however it does."""

from typing import IO

try:
    import fcntl
except ImportError:  # Windows has no such locks; there nothing keeps two processes apart
    fcntl = None


def acquire(stream: IO) -> bool | None:
    """Lock a file open for writing, without waiting: False where another process has it.

    None where there are no locks, on this system or the file's. A record lock: a forked worker
    does not inherit it, and so cannot keep it alive; closing the file in this process ends it.
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

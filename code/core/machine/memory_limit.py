"""A limit on the memory of this process, where the system has one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None


@contextmanager
def memory_limit(num_bytes: int) -> Iterator[None]:
    """Let this process take `num_bytes` more than it has, and no more; then as before.

    What would take more fails at once, instead of filling the memory of the machine. Without a
    limit of the system's nothing happens.
    """
    in_use = _address_space()
    if resource is None or in_use is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = in_use + num_bytes
    for before in (soft, hard):
        most = most if before == resource.RLIM_INFINITY else min(most, before)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def limit_seconds(seconds: float) -> None:
    """Let the system end this process after so many seconds of computing."""
    if resource is not None:
        limit = round(seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))


def _address_space() -> int | None:
    """Bytes that this process has reserved; None where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[0]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")

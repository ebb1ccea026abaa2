"""How much memory may still be taken without pushing anything out."""

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def available_memory_bytes() -> int | None:
    """What the system says is available, or what a container's limit leaves; None: unknown."""
    found = [size for size in (_of_system(_MEMINFO), _of_group(_GROUP)) if size is not None]
    return min(found, default=None)


def _of_system(meminfo: Path) -> int | None:
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _of_group(group: Path) -> int | None:
    """Of control groups version 2; `max` is no limit. What caches files can be taken back."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        state = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - used + int(state.get("inactive_file", 0))
    except (OSError, ValueError):
        return None

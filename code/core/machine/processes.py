"""Processes told apart by their number and the moment they began: a number alone is reused."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
IS_SUPPORTED = (_PROC / "self" / "stat").is_file()
"""Whether this system tells when a process began."""


@dataclass(frozen=True)
class Process:
    """A process: its number, and at which clock tick of the machine it began."""

    pid: int
    began: int

    @classmethod
    def own(cls) -> "Process":
        return cls(os.getpid(), _read(os.getpid())["began"])

    def is_alive(self) -> bool:
        """Whether it runs; one that has ended and was not waited for yet does not."""
        found = _read(self.pid)
        return found is not None and found["began"] == self.began and found["state"] not in "ZX"

    def send(self, number: int) -> bool:
        """Send a signal to this process and no other; false where it has ended."""
        with suppress(ProcessLookupError, PermissionError):
            descriptor = os.pidfd_open(self.pid)
            try:
                # The descriptor stays with the process that has the number now.
                if self.is_alive():
                    signal.pidfd_send_signal(descriptor, number)
                    return True
            finally:
                os.close(descriptor)
        return False

    def session(self) -> list["Process"]:
        """The living processes of the session that it leads or led, itself among them."""
        now = _read(self.pid)
        if now is not None and now["began"] != self.began:
            return []  # a number is free again only once nobody is left in its session
        return [
            Process(found["pid"], found["began"])
            for found in _all()
            if found["session"] == self.pid and found["state"] not in "ZX"
        ]


def numbering() -> list[str]:
    """Where numbers of processes mean the same: one start of a machine, in one container."""
    with suppress(OSError):
        return [boot_id(), str((_PROC / "self" / "ns" / "pid").readlink())]
    return []


@cache
def boot_id() -> str:
    """What tells this start of the machine from others."""
    try:
        return (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    except OSError:
        return ""


def _all() -> Iterator[dict]:
    for entry in os.scandir(_PROC):
        if entry.name.isdigit() and (found := _read(int(entry.name))):
            yield found


def _read(pid: int) -> dict | None:
    """What /proc/PID/stat says, see proc_pid_stat(5); None: there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name before the bracket may hold anything.
    fields = text.rpartition(b")")[2].split()
    return {
        "pid": pid,
        "state": fields[0].decode(),
        "session": int(fields[3]),
        "began": int(fields[19]),
    }

"""Peak memory of a whole training over a table as long as the real one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.workload import data_root, overrides
from core.errors import InputError

_TRAIN = Path(__file__).resolve().parents[1] / "train.py"
_SECONDS_BETWEEN_LOOKS = 0.2
_MIB = 1 << 20


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """A row for one epoch with the default settings, and the text that shows it.

    Measured are `train.py` and the processes that it starts, from reading the table to the report.

    Raises:
        InputError: the training failed.
    """
    command = [sys.executable, str(_TRAIN), *overrides(options, folder), "training.num_epochs=1"]
    peak_bytes = peak_memory_bytes(command, folder / "log.txt")
    images = len(list((data_root(options, folder) / "train_images").iterdir()))
    size = "x".join(map(str, options.image_size))
    row = {
        "name": f"{options.model}, {images} strips of {size}, one epoch",
        "num_images": images,
        "peak_mib": peak_bytes / _MIB,
    }
    return [row], f"{row['name']}: at most {row['peak_mib']:.0f} MiB"


def peak_memory_bytes(command: Sequence[str], log: Path) -> int:
    """The most that `command` and its descendants held at one time.

    Read several times a second from /proc, where memory that processes share counts once; at least
    the peak of the largest process, which the system keeps.

    Raises:
        InputError: the command failed; ends with the last line of its output.
    """
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        peak = 0
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            tree = list(_tree(process.pid))
            held = sum(_bytes_in(f"{pid}/smaps_rollup", "Pss:") for pid in tree)
            peak = max(peak, held, *(_bytes_in(f"{pid}/status", "VmHWM:") for pid in tree))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = (log.read_text().strip().splitlines() or ["no output"])[-1]
        raise InputError(f"the measured training failed: {last}")
    # The fallback without /proc: on Linux it is at least what this process held when it forked.
    return peak or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for children in _lines_in(f"{pid}/task/{pid}/children"):
        for child in children.split():
            yield from _tree(int(child))


def _bytes_in(file: str, key: str) -> int:
    return sum(1024 * int(line.split()[1]) for line in _lines_in(file) if line.startswith(key))


def _lines_in(file: str) -> list[str]:
    """The lines of a file in /proc; none where the process has ended, and on other systems."""
    try:
        return Path("/proc", file).read_text().splitlines()
    except OSError:
        return []

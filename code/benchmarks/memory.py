"""Peak memory of a whole training over a table as long as the real one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from core.errors import InputError
from core.synthetic.generator import StripSettings
from core.synthetic.store import ensure_strips

_TRAIN = Path(__file__).resolve().parents[1] / "train.py"
_SECONDS_BETWEEN_LOOKS = 0.2
_MIB = 1 << 20


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """A row for one epoch with the default settings, and the text that says it.

    Measured are `train.py` and the processes that it starts, from reading the table to the report.

    Raises:
        InputError: the training failed.
    """
    root = options.data_root or ensure_strips(
        folder,
        StripSettings(options.num_images, options.image_size, class_shares="flat"),
        num_workers=os.cpu_count() or 1,
    )
    peak_bytes = peak_memory_bytes(_command(options, root, folder), folder / "log.txt")
    images = len(list((root / "train_images").iterdir()))
    size = "x".join(map(str, options.image_size))
    row = {
        "name": f"{options.model}, {images} strips of {size}, one epoch",
        "num_images": images,
        "peak_mib": peak_bytes / _MIB,
    }
    return [row], f"{row['name']}: at most {row['peak_mib']:.0f} MiB"


def _command(options: Options, root: Path, folder: Path) -> list[str]:
    return [
        sys.executable, str(_TRAIN), f"data.root={root}", f"model.name={options.model}",
        f"data.image_size=[{','.join(map(str, options.image_size))}]",
        f"data.batch_size={options.batch_size}", f"data.cache_dir={folder / 'cache'}",
        f"runtime.device={options.device.type}", "training.num_epochs=1",
        f"experiment.results_dir={folder / 'results'}",
    ]  # fmt: skip


def peak_memory_bytes(command: Sequence[str], log: Path) -> int:
    """The most that `command` and its descendants held at one time.

    Looked at some times a second, where the system shows it: memory that processes share counts
    once. At least the peak of its largest process, which the system keeps.

    Raises:
        InputError: the command failed; ends with the last line of what it said.
    """
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        peak = 0
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            tree = list(_tree(process.pid))
            peak = max(peak, sum(map(_resident_bytes, tree)), *map(_highest_bytes, tree))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = (log.read_text().strip().splitlines() or ["no output"])[-1]
        raise InputError(f"the training that was to be measured failed: {last}")
    # Where there is no /proc. On Linux it is at least what this process held when it forked.
    return peak or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # ended, or another system
        return
    for child in children:
        yield from _tree(int(child))


def _resident_bytes(pid: int) -> int:
    return _bytes_in(f"/proc/{pid}/smaps_rollup", "Pss:")


def _highest_bytes(pid: int) -> int:
    return _bytes_in(f"/proc/{pid}/status", "VmHWM:")


def _bytes_in(file: str, key: str) -> int:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:  # ended, or another system
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(key))

"""Everything that a GPU is bought for, in eight minutes: checks, speed, and the kernels.

Each part runs in a process of its own: an error of CUDA often leaves a process without a device,
and one that hangs can be ended. A part writes each row when it is found, and keeps the rows that it
has when its time is over.
"""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from benchmarks.options import Options
from core.analysis.text_tables import aligned
from core.command.terminal import show
from core.training.seeding import set_determinism

Row = dict[str, Any]

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"
NUM_KERNELS = 20
# The share of the time at which each part ends; what a part leaves over goes to the next.
PARTS = {"checks": 0.28, "speed": 0.62, "data": 0.76, "compiled": 0.93, "kernels": 1.0}
_LONGEST_CELL = 100


def results(options: Options, folder: Path) -> tuple[list[Row], str]:
    """The rows of all parts, and their tables."""
    began, rows = time.monotonic(), []
    for part, share in PARTS.items():
        left = began + 60 * options.minutes * share - time.monotonic()
        show(f"{part}: at most {max(0, left):.0f} s")
        found = rows_within(left, part, options, folder)
        rows += [{"part": part, **row} for row in found]
    return rows, "\n\n".join(table_of(part, rows) for part in PARTS)


def failed(rows: Sequence[Row]) -> bool:
    """Whether anything went wrong."""
    return any(row.get("outcome") == FAILED for row in rows)


def rows_within(seconds: float, part: str, options: Options, folder: Path) -> list[Row]:
    """The rows that a part finds in so many seconds, in a process of its own."""
    no_time = {"outcome": NOT_RUN, "text": "no time"}
    if seconds <= 0:
        return [no_time]
    file = folder / f"{part}.jsonl"
    file.touch()
    # Not forked: a process that has used CUDA cannot be.
    process = multiprocessing.get_context("spawn").Process(
        target=_work, args=(part, options, folder, file)
    )
    process.start()
    try:
        process.join(seconds)
        in_time = not process.is_alive()
    finally:
        _end(process)
    # A row may have been cut off where the process was ended.
    lines = file.read_text().split("\n")[:-1]
    rows = [json.loads(line) for line in lines]
    if not in_time:
        return [*rows, no_time]
    if process.exitcode:
        return [*rows, {"outcome": FAILED, "text": f"ended with exit code {process.exitcode}"}]
    return rows


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """End a process, and those that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        # Before the first moments it is no leader of a group yet.
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _work(part: str, options: Options, folder: Path, file: Path) -> None:
    os.setsid()
    torch.set_num_threads(options.threads)
    with file.open("a") as stream:
        for row in rows_of(part, options, folder):
            stream.write(json.dumps(row) + "\n")
            stream.flush()


def rows_of(part: str, options: Options, folder: Path) -> Iterator[Row]:
    """The rows of a part, one by one; the last one tells the error that ended it, if any."""
    # Before cuBLAS is first used, which reads once whether it must be deterministic.
    set_determinism(True)
    set_determinism(False)
    try:
        yield from _finders()[part](options, folder)
    except Exception as error:
        yield {"outcome": FAILED, "text": in_a_line(error)}


def _finders() -> dict[str, Callable[[Options, Path], Iterator[Row]]]:
    # Imported here, in the process of a part, because it takes seconds.
    from benchmarks import device_speed

    return {
        "checks": checks,
        "speed": device_speed.batches_until_memory_ends,
        "data": device_speed.with_data,
        "compiled": device_speed.compiled,
        "kernels": kernels,
    }


def checks(options: Options, folder: Path) -> Iterator[Row]:
    """Each check, and how it ended."""
    from benchmarks.cuda_checks import CUDA_CHECKS
    from benchmarks.device_checks import CHECKS, NotRunError

    for name, check in {**CHECKS, **CUDA_CHECKS}.items():
        try:
            row = {"outcome": PASSED, "text": check(options.device, folder / "checks")}
        except NotRunError as reason:
            row = {"outcome": NOT_RUN, "text": str(reason)}
        except Exception as error:
            row = {"outcome": FAILED, "text": in_a_line(error)}
        yield {"check": name, **row}


def kernels(options: Options, folder: Path) -> Iterator[Row]:
    """The kernels that take the most time of a training step."""
    from benchmarks.device_steps import our_step
    from benchmarks.profiling import kernel_times

    step = our_step(options, folder, 2 * options.batch_size)
    for _ in range(3):
        step()
    yield from kernel_times(step, options.device)[:NUM_KERNELS]


def in_a_line(error: Exception) -> str:
    """The type of an error and the first line of its message."""
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def table_of(part: str, rows: Sequence[Row]) -> str:
    """The rows of a part as text."""
    own = [{k: v for k, v in row.items() if k != "part"} for row in rows if row["part"] == part]
    columns = list(dict.fromkeys(key for row in own for key in row))
    lines = [[key.replace("_", " ") for key in columns]]
    lines += [[_cell(row.get(key)) for key in columns] for row in own]
    return "\n".join([f"{part}:", *aligned(lines)])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value)[:_LONGEST_CELL]

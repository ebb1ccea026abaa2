"""Contenders measured in turn, and how many times as fast as each other they are."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.analysis.text_tables import aligned

Call = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """One way to do a job: `run` does it once, for `items` images, strips or tables.

    `beside` names the contender that it is compared with; None: the first.
    """

    name: str
    run: Call
    items: int
    beside: str | None = None


def measure(contenders: Sequence[Contender], rounds: int) -> list[dict[str, Any]]:
    """One row for each contender: seconds per item, and how many times as fast it is as another.

    Both are medians over the rounds, the second one of the ratios within each round. A first round
    is not counted.
    """
    counted = seconds_in_turn({one.name: one.run for one in contenders}, rounds + 1)
    seconds = {one.name: [s / one.items for s in counted[one.name][1:]] for one in contenders}
    rows = []
    for one in contenders:
        beside, own = one.beside or contenders[0].name, seconds[one.name]
        ratios = [other / mine for other, mine in zip(seconds[beside], own, strict=True)]
        row = {"name": one.name, "beside": beside, "seconds_per_item": statistics.median(own)}
        spread = {"lowest": min(ratios), "highest": max(ratios)}
        rows.append({**row, "ratio": statistics.median(ratios), **spread})
    return rows


@dataclass
class CpuTimed:
    """A call that notes the CPU seconds of each turn, those of all threads of this process."""

    call: Call
    seconds: list[float] = field(default_factory=list)

    def __call__(self) -> None:
        started = time.process_time()
        self.call()
        self.seconds.append(time.process_time() - started)


def measure_with_cpu(contenders: Sequence[Contender], rounds: int) -> list[dict[str, Any]]:
    """The rows of `measure`, with the ratio of CPU seconds as well.

    On a machine with other work to do, CPU seconds are steadier. Those of other processes, such as
    the workers of a loader, are not in them.
    """
    calls = {one.name: CpuTimed(one.run) for one in contenders}
    rows = measure([replace(one, run=calls[one.name]) for one in contenders], rounds)
    items = {one.name: one.items for one in contenders}
    for row in rows:
        others, own = calls[row["beside"]].seconds[1:], calls[row["name"]].seconds[1:]
        scale = items[row["name"]] / items[row["beside"]]
        ratios = [scale * other / mine for other, mine in zip(others, own, strict=True)]
        row["cpu_ratio"] = statistics.median(ratios)
        row |= {"cpu_lowest": min(ratios), "cpu_highest": max(ratios)}
    return rows


def seconds_in_turn(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """The seconds of each call in each round.

    In each round every call takes its turn, so that whatever else the machine does affects all of
    them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(seconds_of(call))
    return seconds


def seconds_of(call: Call) -> float:
    """The seconds of one call, including the work that it leaves to the GPU."""
    _wait_for_gpu()
    started = time.perf_counter()
    call()
    _wait_for_gpu()
    return time.perf_counter() - started


def _wait_for_gpu() -> None:
    # Where nothing has used the GPU yet, asking it would set it up first.
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def table(rows: Sequence[dict[str, Any]], item: str) -> str:
    """The rows as text: milliseconds per item, times as fast, and the range over the rounds."""
    first, with_cpu = rows[0]["name"], "cpu_ratio" in rows[0]
    lines = [["", f"ms/{item}", "times as fast", "(lowest to highest)"]]
    lines[0] += ["by CPU time", "(lowest to highest)"] if with_cpu else []
    for row in rows:
        beside = "" if row["beside"] == first else f" (beside {row['beside']})"
        line = [f"{row['name']}{beside}", f"{1000 * row['seconds_per_item']:.3f}"]
        for kind in ("", "cpu_") if with_cpu else ("",):
            spread = f"({row[f'{kind}lowest']:.2f} to {row[f'{kind}highest']:.2f})"
            line += [f"{row[f'{kind}ratio']:.2f}", spread]
        lines.append(line)
    return "\n".join(aligned(lines))


def machine(environment: dict[str, Any]) -> str:
    """What the figures depend on, in a line."""
    hardware = ", ".join(f"{key} {value}" for key, value in environment["hardware"].items())
    return f"{hardware}; torch {environment['packages']['torch']}"

"""Contenders measured in turn, and their ratios to the first of them."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Contender:
    """One way to do a job: `run` does it once, for `items` images, strips or tables.

    `beside` names the contender that it is compared with; None: the first.
    """

    name: str
    run: Callable[[], object]
    items: int
    beside: str | None = None


def results(subject: Any, options: Any, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows of a module of this package, and the text that shows them.

    They are those of its `contenders`, or what its own `results` returns.
    """
    if hasattr(subject, "results"):
        return subject.results(options, folder)
    rows = measure(subject.contenders(options, folder), options.rounds)
    return rows, table(rows, subject.ITEM)


def measure(contenders: Sequence[Contender], rounds: int) -> list[dict[str, Any]]:
    """One row for each contender; ratios say how many times as fast as another one it is.

    In each round all take their turn, so that a busy moment of the machine hits all alike, and
    a ratio is the median of the rounds' own ratios. One more round before is not counted.
    """
    seconds: list[list[float]] = [[] for _ in contenders]
    for number in range(rounds + 1):
        for times, contender in zip(seconds, contenders, strict=True):
            duration = _seconds(contender)
            if number:
                times.append(duration / contender.items)
    first, *_ = names = [contender.name for contender in contenders]
    rows = []
    for contender, times in zip(contenders, seconds, strict=True):
        beside = contender.beside or first
        others = seconds[names.index(beside)]
        rows.append(
            {
                "name": contender.name,
                "beside": beside,
                "seconds_per_item": statistics.median(times),
                **_ratios([other / own for other, own in zip(others, times, strict=True)]),
            }
        )
    return rows


def _seconds(contender: Contender) -> float:
    _wait()
    started = time.perf_counter()
    contender.run()
    _wait()
    return time.perf_counter() - started


def _wait() -> None:
    """Until the device has done what was asked of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _ratios(ratios: list[float]) -> dict[str, float]:
    return {"ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def table(rows: Sequence[dict[str, Any]], item: str) -> str:
    """The rows for a person: milliseconds an item, times as fast, and from where to where."""
    first = rows[0]["name"]
    names = [
        row["name"] if row["beside"] == first else f"{row['name']} (beside {row['beside']})"
        for row in rows
    ]
    width = max(map(len, names))
    lines = [f"{'':<{width}}  ms/{item:<9}  times as fast  (lowest to highest)"]
    for name, row in zip(names, rows, strict=True):
        lines.append(
            f"{name:<{width}}  {1000 * row['seconds_per_item']:>12.3f}  "
            f"{row['ratio']:>13.2f}  ({row['lowest']:.2f} to {row['highest']:.2f})"
        )
    return "\n".join(lines)


def machine(environment: dict[str, Any]) -> str:
    """What the figures depend on, in a line."""
    hardware = ", ".join(f"{key} {value}" for key, value in environment["hardware"].items())
    return f"{hardware}; torch {environment['packages']['torch']}; medians of turns"

"""Every loss, forward and backward, compared with other libraries that have the same formula."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.loss_peers import PEERS, Call, inputs, installed_versions, ours
from benchmarks.measurement import Contender, measure, seconds_of
from benchmarks.options import Options
from benchmarks.profiling import peak_bytes
from core.analysis.text_tables import aligned, number
from core.errors import InputError
from core.losses import get_registry

# A turn lasts long enough for the clock's resolution not to matter.
_SECONDS_OF_A_TURN = 0.001
_FEWEST_TURNS, _MOST_TURNS = 5, 500


class ForwardBackward:
    """A loss and its gradient, computed `repeats` times in a call."""

    def __init__(self, loss: Call, logits: torch.Tensor, targets: torch.Tensor) -> None:
        self.loss, self.targets = loss, targets
        self.logits = logits.clone().requires_grad_()
        self.repeats = 1

    def __call__(self) -> None:
        for _ in range(self.repeats):
            self.loss(self.logits, self.targets).backward()
            self.logits.grad = None


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """A row for each loss, library, shape and mode, and the text that shows them.

    Raises:
        InputError: an unknown loss, or not a shape.
    """
    names = options.losses or get_registry().list_losses()
    for name in names:
        get_registry().get(name)
    modes = ["eager", "compiled"] if options.compile else ["eager"]
    rows = [
        row
        for shape in map(shape_of, options.shapes)
        for name in names
        for mode in modes
        for row in compare(name, shape, mode, options)
    ]
    return rows, report(rows, installed_versions())


def shape_of(text: str) -> tuple[int, ...]:
    """`8x4x256x1600` as numbers."""
    sides = text.split("x")
    if len(sides) < 2 or not all(side.isdigit() and int(side) > 0 for side in sides):
        raise InputError(f"--shapes: {text!r}: expected sizes such as 8x4x256x1600")
    return tuple(map(int, sides))


def compare(name: str, shape: tuple[int, ...], mode: str, options: Options) -> list[dict[str, Any]]:
    """Our loss first, then its peers; none for a mask loss and a shape without pixels.

    Our ratios are to the fastest and to the leanest peer.
    """
    loss = ours(name).to(options.device)
    made = inputs(loss, shape, options.device)
    if made is None:
        return []
    logits, targets, extra = made
    present = installed_versions()
    calls: dict[str, Call] = {"ours": partial(loss, **extra)}
    calls |= {p.library: p.build() for p in PEERS if p.formula == name and present[p.library]}
    if mode == "compiled":
        torch._dynamo.reset()
        calls = {library: torch.compile(call) for library, call in calls.items()}
    steps = {library: ForwardBackward(call, logits, targets) for library, call in calls.items()}
    rows = [
        {
            "loss": name,
            "library": measured["name"],
            "version": present.get(measured["name"]),
            "shape": list(shape),
            "mode": mode,
            "seconds": measured["seconds_per_item"],
            "input_bytes": logits.nbytes,
        }
        for measured in measure_for(options.budget_seconds, steps)
    ]
    for row, step in zip(rows, steps.values(), strict=True):
        step.repeats = 1
        row["peak_bytes"] = peak_bytes(step, options.device)
    for key, ratio in (("seconds", "time_ratio"), ("peak_bytes", "memory_ratio")):
        best = min((row[key] for row in rows[1:]), default=None)
        rows[0][ratio] = rows[0][key] / best if best else None
    return rows


def measure_for(seconds: float, steps: dict[str, ForwardBackward]) -> list[dict[str, Any]]:
    """The steps measured in turn, for about so many seconds in all."""
    for step in steps.values():
        step()  # compiles
    longest = max(map(seconds_of, steps.values()))
    repeats = max(1, int(_SECONDS_OF_A_TURN / longest))
    for step in steps.values():
        step.repeats = repeats
    turns = int(seconds / (longest * repeats * len(steps)))
    contenders = [Contender(name, step, repeats) for name, step in steps.items()]
    return measure(contenders, min(max(turns, _FEWEST_TURNS), _MOST_TURNS))


def report(rows: Sequence[dict[str, Any]], versions: dict[str, str | None]) -> str:
    """The rows as one table, what the ratios are, and the libraries that were absent."""
    columns = ["loss", "library", "shape", "mode"]
    lines = [[*columns, "ms", "time ratio", "peak / input", "memory ratio"]]
    for row in rows:
        figures = [
            number(1000 * row["seconds"]),
            number(row.get("time_ratio"), 2),
            number(row["peak_bytes"] / row["input_bytes"], 2),
            number(row.get("memory_ratio"), 2),
        ]
        names = {**row, "shape": "x".join(map(str, row["shape"]))}
        lines.append([*(names[column] for column in columns), *figures])
    present = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    absent = ", ".join(name for name, version in versions.items() if not version) or "none"
    about = "Forward and backward in float32. Ratios: ours to the fastest and to the leanest peer."
    table = "\n".join(aligned(lines, text_columns=len(columns)))
    return f"{table}\n\n{about}\nCompared with {present}; not installed: {absent}"

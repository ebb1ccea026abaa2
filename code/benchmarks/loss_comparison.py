"""The comparison: every loss, every shape, beside its peers, as rows and as a table."""

import platform
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks.loss_contenders import PEERS, Call, inputs, installed_versions, ours
from benchmarks.loss_measurement import Step, median_seconds, peak_bytes

SHAPES = [(8, 4), (8, 4, 256, 1600), (1, 4, 64, 128, 128)]
COLUMNS = ["loss", "library", "shape", "mode", "ms", "time ratio", "peak / input", "memory ratio"]


def compare(
    names: Sequence[str],
    shapes: Iterable[tuple[int, ...]],
    compiled: bool,
    device: str,
    budget_seconds: float,
) -> list[dict[str, Any]]:
    """One row for each loss, library, shape and mode; ratios are to the best peer of the row."""
    rows = []
    for shape in shapes:
        for name in names:
            for mode in ["eager", "compiled"] if compiled else ["eager"]:
                rows += _rows(name, shape, mode, device, budget_seconds)
    return rows


def environment(device: str) -> dict[str, Any]:
    """What the figures depend on."""
    processor = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    return {
        "torch": torch.__version__,
        "device": device,
        "processor": processor,
        "threads": torch.get_num_threads(),
        "libraries": installed_versions(),
    }


def report(rows: Sequence[dict[str, Any]], about: dict[str, Any]) -> str:
    """The rows as one table, and the libraries that were absent."""
    lines = [COLUMNS, *([_cell(row, column) for column in COLUMNS] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    table = [
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
    ]
    libraries = about["libraries"]
    present = [f"{name} {version}" for name, version in libraries.items() if version]
    absent = [name for name, version in libraries.items() if not version]
    return "\n".join(
        [
            *table,
            "",
            f"{about['device']} ({about['processor']}), {about['threads']} threads; "
            "forward and backward, float32, medians taken in turn; ratios: ours to the fastest, "
            "and to the leanest, peer",
            f"beside: {', '.join(present)}",
            f"absent: {', '.join(absent) or 'none'}",
        ]
    )


def _rows(
    name: str, shape: tuple[int, ...], mode: str, device: str, budget_seconds: float
) -> list[dict[str, Any]]:
    loss = ours(name).to(device)
    made = inputs(loss, shape, device)
    if made is None:
        return []
    logits, targets, extra = made
    calls: dict[str, Call] = {"ours": partial(loss, **extra) if extra else loss}
    present = installed_versions()
    calls |= {p.library: p.build() for p in PEERS if p.formula == name and present[p.library]}
    if mode == "compiled":
        torch._dynamo.reset()
        calls = {library: torch.compile(call) for library, call in calls.items()}
    steps: dict[str, Step] = {
        library: partial(_apply, call, targets) for library, call in calls.items()
    }
    seconds = median_seconds(steps, logits, budget_seconds)
    rows = [
        {
            "loss": name,
            "library": library,
            "shape": list(shape),
            "mode": mode,
            "seconds": seconds[library],
            "peak_bytes": peak_bytes(step, logits),
            "input_bytes": logits.nbytes,
        }
        for library, step in steps.items()
    ]
    peers = rows[1:]
    for key, ratio in [("seconds", "time_ratio"), ("peak_bytes", "memory_ratio")]:
        best = min((row[key] for row in peers), default=None)
        rows[0][ratio] = rows[0][key] / best if best else None
    return rows


def _apply(call: Call, targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return call(logits, targets)


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "ms":
        return f"{1000 * row['seconds']:.3f}"
    if column == "peak / input":
        return f"{row['peak_bytes'] / row['input_bytes']:.2f}"
    if column == "shape":
        return "x".join(map(str, row["shape"]))
    value = row.get(column.replace(" ", "_"))
    return f"{value:.2f}" if isinstance(value, float) else str(value or "")

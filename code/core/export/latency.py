"""How long one call takes, of several ways to run the same model, measured side by side."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

BATCH_SIZES = (1, 16)
# Of each contender and batch size: enough for a median that repeats to a few percent.
ROUNDS = 7

Ask = Callable[[np.ndarray], np.ndarray]


def measure_latency(
    contenders: Mapping[str, Ask], strips: np.ndarray, rounds: int = ROUNDS
) -> list[dict[str, Any]]:
    """A row per contender and batch size; ratios are to the first contender, above 1 is faster.

    Contenders take turns, so that what else the machine does falls on all of them alike.

    Shape: strips uint8 (at least 16, channels, height, width).
    """
    rows = []
    for batch_size in BATCH_SIZES:
        images = np.ascontiguousarray(strips[:batch_size])
        answers = {name: ask(images) for name, ask in contenders.items()}  # and warm up
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, ask in contenders.items():
                started = time.perf_counter()
                ask(images)
                seconds[name].append(time.perf_counter() - started)
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        first = next(iter(contenders))
        for name, median in medians.items():
            difference = np.abs(answers[name] - answers[first]).max()
            rows.append(
                {
                    "contender": name,
                    "batch_size": batch_size,
                    "median_milliseconds": 1000 * median,
                    "images_per_second": batch_size / median,
                    "times_as_fast": medians[first] / median,
                    "max_difference": float(difference),
                }
            )
    return rows


def latency_table(rows: list[dict[str, Any]]) -> str:
    """The rows as text."""
    lines = ["batch  contender                median ms   images/s   times as fast   difference"]
    lines += [
        f"{row['batch_size']:>5}  {row['contender']:<22} {row['median_milliseconds']:>11.1f} "
        f"{row['images_per_second']:>10.1f} {row['times_as_fast']:>15.2f} "
        f"{row['max_difference']:>12.1e}"
        for row in rows
    ]
    return "\n".join(lines)

"""How long one call takes in several ways to run the same model, measured side by side."""

import statistics
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measurement import seconds_in_turn
from core.analysis.text_tables import number
from core.predicting.predictor import Predict

BATCH_SIZES = (1, 16)
# Of each contender and batch size: enough for a median that repeats to a few percent.
ROUNDS = 7


class LeftOutError(Exception):
    """What a contender raises at its first call where it cannot run on this machine."""


def measure_latency(
    contenders: Mapping[str, Predict], strips: np.ndarray, rounds: int = ROUNDS
) -> list[dict[str, Any]]:
    """A row per contender and batch size; ratios are to the first contender, above 1 is faster.

    Contenders take turns, so that whatever else the machine does affects all of them alike. The
    first call of each, which may have to compile, is reported separately. One that raises
    LeftOutError has that reason in its row, and no figures.

    Shape: strips uint8 (at least 16, channels, height, width).
    """
    rows = []
    for batch_size in BATCH_SIZES:
        images = np.ascontiguousarray(strips[:batch_size])
        answers, first_calls, reasons = _warm_up(contenders, images)
        calls = {name: partial(contenders[name], images) for name in answers}
        seconds = seconds_in_turn(calls, rounds)
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        first = next(iter(contenders))
        for name in contenders:
            row: dict[str, Any] = {"contender": name, "batch_size": batch_size}
            if name in reasons:
                rows.append({**row, "left_out": reasons[name]})
                continue
            difference = np.abs(answers[name] - answers[first]).max()
            figures = {
                "first_call_seconds": first_calls[name],
                "median_milliseconds": 1000 * medians[name],
                "images_per_second": batch_size / medians[name],
                "times_as_fast": medians[first] / medians[name],
                "max_difference": float(difference),
            }
            rows.append(row | figures)
    return rows


def _warm_up(
    contenders: Mapping[str, Predict], images: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, str]]:
    """Probabilities and seconds of the first calls, and why other contenders are left out."""
    found, seconds, reasons = {}, {}, {}
    for name, predict in contenders.items():
        started = time.perf_counter()
        try:
            found[name] = predict(images)
        except LeftOutError as reason:
            reasons[name] = str(reason)
        seconds[name] = time.perf_counter() - started
    return found, seconds, reasons


def latency_table(rows: list[dict[str, Any]]) -> str:
    """The rows as text, with macro-F1 where they have it."""
    lines = [
        "batch  contender                median ms   images/s   times as fast   difference"
        "   first call s   macro-F1"
    ]
    for row in rows:
        line = f"{row['batch_size']:>5}  {row['contender']:<22} "
        if "left_out" in row:
            lines.append(f"{line}  left out: {row['left_out']}")
            continue
        lines.append(
            f"{line}{row['median_milliseconds']:>11.1f} {row['images_per_second']:>10.1f} "
            f"{row['times_as_fast']:>15.2f} {row['max_difference']:>12.1e} "
            f"{row['first_call_seconds']:>14.1f} {number(row.get('macro_f1')):>10}"
        )
    return "\n".join(lines)

"""The table of the sweep over pretrainings: average precision, and differences for each seed."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.analysis.pairs import compare_pair
from core.analysis.ranking import HEADLINES
from core.analysis.ranking import figure as figure_of
from core.analysis.text_tables import aligned, interval_text, number
from core.experiments.reading import read_experiment
from core.metrics.intervals import Bootstrap

_FIGURE = "macro_average_precision"
_RESAMPLES = 1000
_COLUMNS = (
    "labels", "start", "minus", "seeds", "macro AP", "sd", "mean difference", "gains", "losses",
    "by seed",
)  # fmt: skip


class Fine(NamedTuple):
    """A finished training: its start, number of labels, seed and folder."""

    start: str
    labels: int
    seed: int
    path: Path


def rows_of(finished: Sequence[Fine], beside: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """For each start and number of labels the macro AP of its seeds, and its differences.

    A difference is that to the start that it is compared with, on the same test strips with the
    same seed and labels, with a paired interval over the strips.
    """
    experiments = {one[:3]: read_experiment(one.path) for one in finished}
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for (start, labels, seed), experiment in experiments.items():
        other = beside[start]
        row = {"start": start, "labels": labels, "beside": other, "seeds": {}, "differences": {}}
        row = rows.setdefault((start, labels), row)
        row["seeds"][seed] = figure_of(experiment, HEADLINES[_FIGURE])
        if reference := experiments.get((other, labels, seed)):
            bootstrap = Bootstrap(resamples=_RESAMPLES)
            pair = compare_pair(experiment, reference, _FIGURE, HEADLINES[_FIGURE], bootstrap)
            row["differences"][seed] = {"value": pair.difference, "interval": list(pair.interval)}
    return sorted(rows.values(), key=lambda row: row["labels"])


def table_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean and spread over the seeds, and the differences seed by seed."""
    if not rows:
        return "no training is finished yet"
    lines = [list(_COLUMNS)]
    for row in rows:
        values = list(row["seeds"].values())
        found = [row["differences"][seed] for seed in sorted(row["differences"])]
        gains = [each["value"] for each in found]
        bounds = [each["interval"] for each in found]
        lines.append(
            [
                str(row["labels"]),
                row["start"],
                row["beside"] or "-",
                str(len(values)),
                number(statistics.mean(values)),
                number(statistics.stdev(values)) if len(values) > 1 else "-",
                f"{statistics.mean(gains):+.3f}" if gains else "-",
                str(sum(low > 0 for low, _ in bounds)) if gains else "-",
                str(sum(high < 0 for _, high in bounds)) if gains else "-",
                "  ".join(f"{e['value']:+.3f} {interval_text(e['interval'])}" for e in found),
            ]
        )
    note = (
        "Intervals of 95 % for the difference of one seed, over the same test strips; gains and "
        "losses are the seeds whose interval lies above and below zero."
    )
    return "\n".join([*aligned(lines, text_columns=3), "", note])

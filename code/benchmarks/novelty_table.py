"""The tables of the sweep over detectors of novelty."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.analysis.text_tables import aligned, interval_text, number

Row = Mapping[str, Any]

_TITLES = {
    "tiles": "Magnetic tiles: AUROC of each defect",
    "strips": "Procedural strips: AUROC of each kind",
}
_NOTE = (
    "Means over the seeds +- standard deviation; intervals of 95 % of the first seed, over groups "
    "of near-duplicates."
)


def tables(rows: Sequence[Row]) -> str:
    """All tables that finished rows fill."""
    parts = []
    for part, title in _TITLES.items():
        if own := [row for row in rows if row["part"] == part]:
            parts += [title, "", *_by_detector(own), "", *_recall(own), ""]
    if own := [row for row in rows if "reconstruction" in row]:
        parts += [
            "Autoencoders: how well they reconstruct clean strips",
            "",
            *_reconstruction(own),
            "",
        ]
    if own := [row for row in rows if row["part"] == "curve"]:
        parts += ["Number of clean strips: AUROC, and false alarms per 1,000", "", *_curve(own), ""]
    return "\n".join([*parts, _NOTE]) if parts else "nothing is finished yet"


def _by_detector(rows: Sequence[Row]) -> list[str]:
    classes = list(rows[0]["test"]["per_class"])
    has_pixels = "pixel_auroc" in rows[0]
    lines = [["detector", "seeds", "all", "95 %", *classes, *(["pixels"] if has_pixels else [])]]
    for name, own in _grouped(rows, "detector").items():
        line = [name, str(len(own)), _spread(own, lambda row: row["test"]["any_defect"]["auroc"])]
        line.append(interval_text(own[0]["test"]["any_defect"]["auroc_interval"]))
        line += [_mean(own, lambda row, c=c: row["test"]["per_class"][c]["auroc"]) for c in classes]
        lines.append(line + ([_spread(own, lambda r: r["pixel_auroc"])] if has_pixels else []))
    return aligned(lines)


def _recall(rows: Sequence[Row]) -> list[str]:
    """Recall at the threshold for 5 false alarms per 1,000, and the rate that it had."""
    classes = list(rows[0]["test"]["per_class"])
    lines = [["recall", "all", "95 %", *classes, "false alarms", "95 %"]]
    for name, own in _grouped(rows, "detector").items():
        line = [name, _spread(own, lambda row: row["test"]["any_defect"]["recall"])]
        line.append(interval_text(own[0]["test"]["any_defect"]["recall_interval"]))
        line += [
            _mean(own, lambda row, c=c: row["test"]["per_class"][c]["recall"]) for c in classes
        ]
        alarms = [row["test"]["false_alarms"] for row in own]
        low, high = alarms[0]["interval_per_1000"]
        mean = statistics.mean(each["per_1000"] for each in alarms)
        lines.append([*line, f"{mean:.3g}", f"[{low:.3g}, {high:.3g}]"])
    return aligned(lines)


def _reconstruction(rows: Sequence[Row]) -> list[str]:
    """The squared error beside that of predicting each strip's mean grey, codes and time."""
    lines = [["detector", "seeds", "error", "codes used", "AUROC", "CPU seconds"]]
    for name, own in _grouped(rows, "detector").items():
        coded = [row for row in own if row["reconstruction"]["codes_used"] is not None]
        lines.append(
            [
                name,
                str(len(own)),
                _spread(own, lambda row: row["reconstruction"]["error"]),
                _spread(coded, lambda row: row["reconstruction"]["codes_used"]),
                _spread(own, lambda row: row["test"]["any_defect"]["auroc"]),
                f"{statistics.mean(row['cpu_seconds'] for row in own):.0f}",
            ]
        )
    return aligned(lines)


def _curve(rows: Sequence[Row]) -> list[str]:
    numbers = sorted({row["number"] for row in rows})
    lines = [["detector", "figure", *map(str, numbers)]]
    for name, own in _grouped(rows, "detector").items():
        of = {count: [row for row in own if row["number"] == count] for count in numbers}
        present = [of[count] for count in numbers]
        lines.append(
            [name, "AUROC", *(_spread(each, lambda row: row["auroc"]) for each in present)]
        )
        alarms = [_mean(each, lambda r: r["false_alarms"]["per_1000"], 0) for each in present]
        lines.append(["", "false alarms", *alarms])
    return aligned(lines, text_columns=2)


def _grouped(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def _mean(rows: Sequence[Row], figure: Callable[[Row], float], decimals: int = 3) -> str:
    return number(statistics.mean(map(figure, rows)), decimals) if rows else "-"


def _spread(rows: Sequence[Row], figure: Callable[[Row], float]) -> str:
    values = list(map(figure, rows))
    deviation = f" +- {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}" if values else "-"

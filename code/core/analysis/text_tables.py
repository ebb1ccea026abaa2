"""Figures and tables as text: one way to write a number, an interval and a table."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from core.files.escaping import for_markdown
from core.metrics.scored_predictions import METRICS

AVERAGES = {"macro", "micro", "any defect", "any_defect", "clean", "images", "all"}
METRIC_TITLES = dict(zip(METRICS, ("precision", "recall", "F1", "AP", "AUROC"), strict=True))
# A column is wrapped to no fewer characters, and a cell to no more lines.
_NARROWEST, _MOST_LINES = 8, 3


def class_title(name: str) -> str:
    """The class's name in a table which also has averages; steel has macro-defects."""
    return f"{name} (class)" if name in AVERAGES else name


def number(value: Any, decimals: int = 3) -> str:
    """0.921; a dash where undefined."""
    return f"{value:.{decimals}f}" if isinstance(value, (int, float)) else "-"


def interval_text(bounds: Sequence[float] | None) -> str:
    """[0.905, 0.936]; empty where there is none."""
    return f"[{number(bounds[0])}, {number(bounds[1])}]" if bounds else ""


def resampled(unit: str | None, num_units: int | None) -> str:
    """What an interval is over: images, or so many groups of near-duplicates."""
    return f"{num_units} groups of near-duplicates" if unit == "groups" else "images"


def with_bounds(value: float | None, bounds: Sequence[float] | None) -> str:
    """0.921 [0.905, 0.936]; a dash where undefined."""
    return "-" if value is None else f"{number(value)} {interval_text(bounds)}".rstrip()


def aligned(rows: Sequence[Sequence[str]], text_columns: int = 1) -> list[str]:
    """Lines with columns of equal width; all but the first `text_columns` stand to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def fitted(rows: Sequence[Sequence[str]], width: int, wrapped: Sequence[int] = (0,)) -> str:
    """A table no wider than `width`, with a line of dashes below its header.

    Where it would be wider, cells are wrapped to up to three lines: those of the columns `wrapped`
    if that is enough. Words stay whole while they can; then those of the last such column break.
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    words = [max(len(word) for word in " ".join(column).split() or [""]) for column in columns]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        wide = [column for column, size in enumerate(widths) if size > _NARROWEST]
        if not wide:
            break
        chosen = [column for column in wide if column in wrapped]
        whole = [column for column in chosen if widths[column] > words[column]]
        widths[max(whole or chosen[-1:] or wide, key=widths.__getitem__)] -= 1
    lines: list[list[str]] = []
    for row in rows:
        cells = [_wrapped(cell, size) for cell, size in zip(row, widths, strict=True)]
        lines += map(list, itertools.zip_longest(*cells, fillvalue=""))
        if row is rows[0]:
            lines.append(["-" * size for size in widths])
    return "\n".join(aligned(lines, text_columns=len(widths)))


def _wrapped(cell: str, width: int) -> list[str]:
    if len(cell) <= width:
        return [cell]
    lines = textwrap.wrap(cell, width)
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES - 1 :] = [f"{lines[_MOST_LINES - 1][: width - 3]}..."]
    return lines


def split_columns(rows: Sequence[Sequence[str]], width: int) -> list[list[list[str]]]:
    """The columns on as many tables as `width` asks for; each begins with the first column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first = min(widths[0], width // 3)
    tables: list[list[int]] = []
    used = width
    for column, size in enumerate(widths[1:], start=1):
        if used + 2 + size > width:
            tables.append([0])
            used = first
        tables[-1].append(column)
        used += 2 + size
    return [[[row[column] for column in table] for row in rows] for table in tables]


def markdown(rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; the first row is its header."""
    lines = [f"| {' | '.join(for_markdown(str(cell)) for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])


def summary_table(metrics: Mapping[str, Any]) -> str:
    """The figures of an experiment's part, per class, macro and micro."""
    rows = [["class", "support", *(METRIC_TITLES[metric] for metric in METRICS)]]
    for name, row in metrics["per_class"].items():
        rows.append(
            [class_title(name), str(row["support"]), *(number(row[metric]) for metric in METRICS)]
        )
    for name in ("macro", "micro"):
        rows.append([name, "", *(number(metrics[name][metric]) for metric in METRICS)])
    return "\n".join(aligned(rows))

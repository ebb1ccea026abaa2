"""A comparison as text for the terminal, CSV, JSON or Markdown."""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from core.analysis.comparison import Comparison, figures_of
from core.analysis.ranking import FigureKey, figure, figure_keys, interval, shown_figures
from core.files.tables import write_cells
from core.files.writing import to_json

TITLES = {
    "macro_f1": "macro-F1",
    "macro_average_precision": "macro AP",
    "macro_auroc": "macro AUROC",
    "mean_dice": "mean Dice",
    "pointing_accuracy": "peak inside the mask",
}
METRIC_TITLES = {"f1": "F1", "average_precision": "AP", "auroc": "AUROC"}
MOST_NAMES = 3
Rows = list[list[str]]


def as_table(comparison: Comparison) -> str:
    """Aligned columns, then the differences, the verdicts and what was left out."""
    return _document(comparison, _aligned, "- ")


def as_markdown(comparison: Comparison) -> str:
    """The same with Markdown tables."""
    return _document(comparison, _markdown, "- ")


def as_csv(comparison: Comparison) -> str:
    """One line per experiment: rank, test images, and every figure with its bounds."""
    text = io.StringIO()
    rows = experiment_rows(comparison)
    fields = list(dict.fromkeys(key for row in rows for key in row))
    cells = ([row.get(field, "") for field in fields] for row in rows)
    write_cells(text, fields or ["experiment"], cells, float_format="")
    return text.getvalue()


def as_json(comparison: Comparison) -> str:
    """Everything, as strict JSON."""
    content = {
        "sort": comparison.sort,
        "experiments": experiment_rows(comparison),
        "differences": comparison.differences,
        "pairs": [pair.as_dict() for pair in comparison.pairs],
        "seeds": [summary.as_dict() for summary in comparison.seeds],
        "notes": comparison.notes,
        "problems": comparison.problems,
    }
    return json.dumps(to_json(content), indent=2, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
    "markdown": as_markdown,
}


def experiment_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat row per experiment, ranked within its group of the same test images."""
    rows = []
    for group in comparison.groups:
        for rank, experiment in enumerate(group.experiments, start=1):
            rows.append(
                {
                    "rank": rank,
                    "experiment": experiment.name,
                    "test_images": group.label,
                    "num_images": group.num_images,
                    "seed": experiment.look_up("experiment", "seed"),
                    "model": experiment.look_up("config", "model", "name"),
                    "loss": experiment.look_up("config", "loss", "type"),
                }
                | figures_of(experiment, figure_keys(experiment.class_names))
            )
    return rows


def _document(comparison: Comparison, table: Callable[[Rows], str], bullet: str) -> str:
    parts = [table(_figure_rows(comparison))] if comparison.experiments else []
    if comparison.differences:
        parts.append("What differs:\n\n" + table(_difference_rows(comparison)))
    if comparison.seeds:
        parts.append("Over seeds, mean ± standard deviation:\n\n" + table(_seed_rows(comparison)))
    for title, lines in (
        ("Verdicts:", [pair.sentence() for pair in comparison.pairs]),
        ("Notes:", comparison.notes),
        ("Left out:", comparison.problems),
    ):
        if lines:
            parts.append(f"{title}\n\n" + "\n".join(f"{bullet}{line}" for line in lines))
    return "\n\n".join(parts or ["No experiment to compare."]) + "\n"


def _figure_rows(comparison: Comparison) -> Rows:
    columns = shown_figures(comparison.experiments, comparison.sort, comparison.key)
    several = len(comparison.groups) > 1
    header = ["rank", "experiment", *(["test images"] if several else [])]
    rows = [[*header, *map(_title, columns, columns.values())]]
    for group in comparison.groups:
        for rank, one in enumerate(group.experiments, start=1):
            row = [str(rank), one.name]
            row += [f"{group.label} ({group.num_images})"] if several else []
            for key in columns.values():
                # A row of seven intervals would not fit on a screen.
                whole = key == comparison.key or key[0] != "per_class"
                row.append(with_bounds(figure(one, key), interval(one, key) if whole else None))
            rows.append(row)
    return rows


def _title(name: str, key: FigureKey) -> str:
    if key[0] == "per_class":
        return f"{key[1]} {METRIC_TITLES.get(key[-1], key[-1])}"
    return TITLES.get(name, name)


def _difference_rows(comparison: Comparison) -> Rows:
    total = len(comparison.experiments)
    rows = [["key", "value", "experiments"]]
    for key, values in comparison.differences.items():
        for value, names in values.items():
            shown = ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} of {total}"
            rows.append([key, value if len(value) <= 48 else f"{value[:45]}...", shown])
            key = ""
    return rows


def _seed_rows(comparison: Comparison) -> Rows:
    columns = shown_figures(comparison.experiments, comparison.sort, comparison.key)
    names = [name for name in columns if any(name in one.figures for one in comparison.seeds)]
    titles = [_title(name, columns[name]) for name in names]
    rows = [["experiment", "seeds", *titles, "test images"]]
    for summary in comparison.seeds:
        cells = []
        for name in names:
            entry = summary.figures.get(name)
            cells.append(
                f"{entry['mean']:.3f} ± {entry['standard_deviation']:.3f}" if entry else "-"
            )
        seeds = ", ".join(map(str, summary.seeds))
        images = "the same" if summary.same_images else "another per seed"
        rows.append([f"{summary.members[0]} ...", seeds, *cells, images])
    return rows


def with_bounds(value: float | None, bounds: Sequence[float] | None) -> str:
    """0.921 [0.905, 0.936]; a dash where undefined."""
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else "")


def _aligned(rows: Rows) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _markdown(rows: Rows) -> str:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])

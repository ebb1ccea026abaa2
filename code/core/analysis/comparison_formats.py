"""A comparison as text for the terminal, CSV, JSON or Markdown."""

import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from core.analysis.comparison import Comparison
from core.analysis.ranking import FigureKey, figure, figure_keys, interval, shown_figures
from core.analysis.text_tables import METRIC_TITLES, aligned, markdown, number, with_bounds
from core.files.escaping import for_markdown, for_terminal
from core.files.tables import write_cells
from core.files.writing import to_json

TITLES = {
    "macro_f1": "macro-F1",
    "macro_average_precision": "macro AP",
    "macro_auroc": "macro AUROC",
    "mean_dice": "mean Dice",
    "pointing_accuracy": "peak inside the mask",
}
MOST_NAMES, LONGEST_VALUE = 3, 48
Rows = list[list[str]]


def as_csv(comparison: Comparison) -> str:
    """One line per experiment: rank, test images, and every figure with its bounds."""
    text, rows = io.StringIO(), experiment_rows(comparison)
    fields = list(dict.fromkeys(key for row in rows for key in row))
    cells = ([row.get(field, "") for field in fields] for row in rows)
    write_cells(text, fields or ["experiment"], cells, float_format="")
    return text.getvalue()


def as_json(comparison: Comparison) -> str:
    """Everything, as strict JSON."""
    pairs = [
        vars(pair) | {"distinguishable": pair.distinguishable, "verdict": pair.sentence()}
        for pair in comparison.pairs
    ]
    content = {
        "sort": comparison.sort,
        "experiments": experiment_rows(comparison),
        "differences": comparison.differences,
        "pairs": pairs,
        "seeds": [vars(summary) for summary in comparison.seeds],
        "notes": comparison.notes,
        "problems": comparison.problems,
    }
    return json.dumps(to_json(content), indent=2, allow_nan=False) + "\n"


def experiment_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat row per experiment: its rank within its group, macro_f1, macro_f1_low, and so on."""
    rows = []
    for group in comparison.groups:
        for rank, one in enumerate(group.experiments, start=1):
            row = {"rank": rank, "experiment": one.name, "test_images": group.label}
            row |= {"num_images": group.num_images, "seed": one.look_up("experiment", "seed")}
            row |= {"model": one.look_up("config", "model", "name")}
            row |= {"loss": one.look_up("config", "loss", "type")}
            for name, key in figure_keys(one.class_names).items():
                low, high = interval(one, key) or (None, None)
                row |= {name: figure(one, key), f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    return rows


def as_document(
    table: Callable[[Rows], str], escape: Callable[[str], str], comparison: Comparison
) -> str:
    """The figures as a table, then the differences, the verdicts and what was left out."""
    blocks = [table(_figure_rows(comparison))] if comparison.experiments else []
    for title, rows in (
        ("What differs", _difference_rows(comparison)),
        ("Over seeds, mean ± standard deviation", _seed_rows(comparison)),
    ):
        if len(rows) > 1:
            blocks.append(f"{title}:\n\n{table(rows)}")
    for title, lines in (
        ("Verdicts", [pair.sentence() for pair in comparison.pairs]),
        ("Notes", comparison.notes),
        ("Left out", comparison.problems),
    ):
        if lines:
            blocks.append(f"{title}:\n\n" + "\n".join(f"- {escape(line)}" for line in lines))
    return "\n\n".join(blocks or ["No experiment to compare."]) + "\n"


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
    is_of_a_class = key[0] == "per_class"
    return f"{key[1]} {METRIC_TITLES[key[-1]]}" if is_of_a_class else TITLES.get(name, name)


def _difference_rows(comparison: Comparison) -> Rows:
    total = len(comparison.experiments)
    rows = [["key", "value", "experiments"]]
    for key, values in comparison.differences.items():
        for value, names in values.items():
            shown = ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} of {total}"
            short = value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 3]}..."
            rows.append([key, short, shown])
            key = ""
    return rows


def _seed_rows(comparison: Comparison) -> Rows:
    columns = shown_figures(comparison.experiments, comparison.sort, comparison.key)
    names = [name for name in columns if any(name in one.figures for one in comparison.seeds)]
    titles = [_title(name, columns[name]) for name in names]
    rows = [["experiment", "seeds", *titles, "test images"]]
    for summary in comparison.seeds:
        spread = [
            f"{number(entry['mean'])} ± {number(entry['standard_deviation'])}" if entry else "-"
            for entry in map(summary.figures.get, names)
        ]
        seeds = ", ".join(map(str, summary.seeds))
        images = "the same" if summary.same_images else "another per seed"
        rows.append([f"{summary.members[0]} ...", seeds, *spread, images])
    return rows


def _underlined(rows: Rows) -> str:
    """Aligned columns, with a line of dashes below the header."""
    rows = [list(map(for_terminal, row)) for row in rows]
    header, *lines = aligned(rows, text_columns=len(rows[0]))
    dashes = ["-" * max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join([header, "  ".join(dashes), *lines])


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "table": partial(as_document, _underlined, for_terminal),
    "csv": as_csv,
    "json": as_json,
    "markdown": partial(as_document, markdown, for_markdown),
}

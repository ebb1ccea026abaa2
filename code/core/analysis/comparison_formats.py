"""A comparison as text for the terminal, CSV, JSON or Markdown."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from core.analysis.comparison_document import document
from core.analysis.differences import unique_names
from core.analysis.pretrainings import pretraining_row, starting_point
from core.analysis.ranking import figure, figure_keys, find_figures, interval
from core.files.tables import write_cells
from core.files.writing import to_json

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison

FORMATS = ("table", "csv", "json", "markdown")


def as_csv(comparison: Comparison) -> str:
    """One line per experiment: rank, test images, and every figure with its bounds.

    With pretrainings, which have no rank, the first column is the `kind`.
    """
    text, rows = io.StringIO(), experiment_rows(comparison)
    if comparison.pretrainings:
        rows = [{"kind": "training", **row} for row in rows]
        rows += map(pretraining_row, comparison.pretrainings)
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
        "pretrainings": list(map(pretraining_row, comparison.pretrainings)),
        "differences": comparison.differences,
        "pairs": pairs,
        "seeds": [vars(summary) for summary in comparison.seeds],
        "notes": comparison.notes,
        "problems": comparison.problems,
    }
    return json.dumps(to_json(content), indent=2, allow_nan=False) + "\n"


def experiment_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat row per experiment: its rank within its group, macro_f1, macro_f1_low, and so on."""
    rows, names = [], iter(unique_names(comparison.experiments))
    for group in comparison.groups:
        for rank, one in enumerate(group.experiments, start=1):
            row = {"rank": rank, "experiment": next(names), "test_images": group.label}
            row |= {"num_images": group.num_images, "seed": one.look_up("experiment", "seed")}
            row |= {"model": one.look_up("config", "model", "name")}
            row |= {"loss": one.look_up("config", "loss", "type")}
            row |= {"initial_weights": starting_point(one)}
            for name, key in figure_keys(one.class_names).items():
                low, high = interval(one, key) or (None, None)
                row |= {name: figure(one, key), f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    return rows


def as_text(comparison: Comparison, form: str, columns: Iterable[str] = (), width: int = 80) -> str:
    """The comparison in one of `FORMATS`.

    `columns` are figures that a table or Markdown shows beside the headline, as `find_figures`
    takes them; CSV and JSON hold them all. No line of a table is longer than `width`.
    """
    if form == "csv":
        return as_csv(comparison)
    if form == "json":
        return as_json(comparison)
    figures = find_figures(columns, comparison.experiments) if comparison.experiments else {}
    return document(comparison, figures, None if form == "markdown" else width)

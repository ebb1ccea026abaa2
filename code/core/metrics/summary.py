"""The results of an experiment as a table for the terminal."""

from collections.abc import Mapping
from typing import Any

COLUMNS = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "average_precision": "AP",
    "auroc": "AUROC",
}


def summary_table(metrics: Mapping[str, Any]) -> str:
    """Per class, macro and micro; a dash where a figure is undefined."""
    rows = [("class", "support", *COLUMNS.values())]
    for name, row in metrics["per_class"].items():
        rows.append((name, str(row["support"]), *_figures(row)))
    rows.append(("macro", "", *_figures(metrics["macro"])))
    rows.append(("micro", "", *_figures(metrics["micro"])))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _figures(row: Mapping[str, Any]) -> list[str]:
    return ["-" if row[key] is None else f"{row[key]:.3f}" for key in COLUMNS]

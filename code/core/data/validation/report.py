"""A validation as a report: JSON with everything, and a text with the figures and examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.validation import Settings

if TYPE_CHECKING:
    from core.data.validation.validate import Validation

SCHEMA_VERSION = 1
# By which a report is recognised.
REPORT_KEYS = ("schema_version", "num_usable_images", "near_duplicates", "findings")
_PERCENTILES = {"lowest": 0, "percentile_5": 5, "median": 50, "percentile_95": 95, "highest": 100}
_PRINTED_SIZES = 10
_GREY = ("mean", "standard_deviation", "black_share", "white_share")


class ReportSettings(Settings):
    """Where the report is written, and how much of it is printed."""

    file: Path = Field(
        Path("experiments/results/data_report.json"),
        description="JSON file with everything that was found; written whole, over an older one",
    )
    examples: int = Field(5, ge=0, le=1000, description="lines that are printed of each finding")


def as_json(validation: Validation) -> dict[str, Any]:
    """Everything that was found, for `core.files.writing.write_json`."""
    table, inspections = validation.table, validation.inspections
    greys = [one.grey for one in inspections if one.grey is not None]
    sizes = Counter("x".join(map(str, one.size)) for one in inspections if one.size)
    size = validation.settings.image_format.size
    borders = [
        (one.grey.left_border + one.grey.right_border) / one.size[1]
        for one in inspections
        if one.grey is not None
    ]
    borders = [share for share in borders if share > 0]
    return {
        "schema_version": SCHEMA_VERSION,
        "root": str(validation.root),
        "source": None if table is None else table.source,
        "compared_sources": validation.compared_sources,
        "expected_size": list(size),
        "num_images": len(validation.paths),
        "num_usable_images": len(greys),
        "num_errors": validation.count("error"),
        "num_warnings": validation.count("warning"),
        "labels": _labels(validation),
        "sizes": dict(sizes.most_common()),
        "bytes": _spread(one.num_bytes for one in inspections if one.grey is not None),
        "grey": {name: _spread(getattr(grey, name) for grey in greys) for name in _GREY},
        "black_borders": {"num_images": len(borders), "width_share": _spread(borders)},
        "masks": _masks(validation),
        "near_duplicates": _pairs(validation),
        "findings": [asdict(finding) for finding in validation.findings],
    }


def as_text(validation: Validation, examples: int) -> str:
    """The report for the terminal, with at most `examples` lines of each kind of finding."""
    content = as_json(validation)
    lines = [
        f"{content['root']}: {content['num_images']} images, "
        f"{content['num_usable_images']} of them usable, labels from {content['source'] or '-'}"
    ]
    if content["labels"]:
        lines += ["", *_label_lines(content)]
    if content["num_usable_images"]:
        lines += ["", *_figure_lines(content)]
    lines += _finding_lines(validation, examples)
    counts = (("error", content["num_errors"]), ("warning", content["num_warnings"]))
    lines += ["", ", ".join(f"{n} {level}{'' if n == 1 else 's'}" for level, n in counts)]
    return "\n".join(lines)


def _labels(validation: Validation) -> dict[str, Any] | None:
    table = validation.table
    if table is None or not len(table):
        return None
    counts = dict(zip(table.class_names, table.labels.sum(axis=0, dtype=int).tolist(), strict=True))
    sets = Counter("+".join(table.label_set(index)) for index in range(len(table)))
    return {
        "class_counts": counts,
        "class_shares": {name: count / len(table) for name, count in counts.items()},
        "clean": sets.pop("", 0),
        "label_sets": dict(sets.most_common()),
    }


def _masks(validation: Validation) -> dict[str, Any] | None:
    table = validation.table
    figures = [one.masks for one in validation.inspections if one.masks is not None]
    if table is None or not figures:
        return None
    areas = np.stack([figure.areas for figure in figures])
    return {
        "pixels": {
            name: _spread(column[column > 0].tolist())
            for name, column in zip(table.class_names, areas.T, strict=True)
        },
        "num_overlapping": sum(figure.overlap > 0 for figure in figures),
        "num_on_border": sum(figure.on_border > 0 for figure in figures),
    }


def _pairs(validation: Validation) -> dict[str, Any] | None:
    table = validation.table
    if table is None or not validation.settings.group_duplicates:
        return None
    pairs = [
        {
            "first": table.image_ids[first],
            "second": table.image_ids[second],
            "first_labels": table.label_set(first),
            "second_labels": table.label_set(second),
        }
        for first, second in validation.duplicate_pairs
    ]
    other = sum(pair["first_labels"] != pair["second_labels"] for pair in pairs)
    return {"num_pairs": len(pairs), "num_with_other_labels": other, "pairs": pairs}


def _spread(values: Iterable[float]) -> dict[str, float] | None:
    found = list(values)
    if not found:
        return None
    return {"mean": float(np.mean(found))} | {
        name: float(np.percentile(found, percentile)) for name, percentile in _PERCENTILES.items()
    }


def _label_lines(content: dict[str, Any]) -> list[str]:
    labels, masks = content["labels"], content["masks"]
    width = max(map(len, [*labels["class_counts"], "class"]))
    lines = [f"{'class':<{width}}  images   share" + ("  median pixels" if masks else "")]
    for name, count in labels["class_counts"].items():
        line = f"{name:<{width}}  {count:6d}  {100 * labels['class_shares'][name]:5.2f} %"
        if masks:
            pixels = masks["pixels"][name]
            line += f"  {pixels['median']:13.0f}" if pixels else f"  {'-':>13}"
        lines.append(line)
    clean = labels["clean"] / content["num_images"]
    return [*lines, f"{'clean':<{width}}  {labels['clean']:6d}  {100 * clean:5.2f} %"]


def _figure_lines(content: dict[str, Any]) -> list[str]:
    grey, borders = content["grey"], content["black_borders"]
    mean, deviation = grey["mean"], grey["standard_deviation"]
    sizes = [f"{size} ({number})" for size, number in content["sizes"].items()]
    if len(sizes) > _PRINTED_SIZES:
        sizes[_PRINTED_SIZES:] = [f"and {len(sizes) - _PRINTED_SIZES} more"]
    share = borders["width_share"]
    width = f", {100 * share['median']:.0f} % of their width (median)" if share else ""
    lines = [
        f"sizes            {', '.join(sizes)}",
        f"grey             {mean['mean']:.1f} mean ({mean['lowest']:.1f} to {mean['highest']:.1f}),"
        f" standard deviation {deviation['mean']:.1f}",
        f"black borders    {borders['num_images']} images{width}",
    ]
    if found := content["near_duplicates"]:
        lines.append(
            f"near-duplicates  {found['num_pairs']} pairs, {found['num_with_other_labels']} of "
            "them with other labels"
        )
    if masks := content["masks"]:
        lines.append(
            f"masks            {masks['num_overlapping']} images with classes that overlap, "
            f"{masks['num_on_border']} with pixels on a black border"
        )
    return lines


def _finding_lines(validation: Validation, examples: int) -> Iterator[str]:
    """Each kind with its number and first messages: errors first, then by number."""
    messages: dict[tuple[str, str], list[str]] = {}
    for finding in validation.findings:
        messages.setdefault((finding.level, finding.kind), []).append(finding.message)
    order = sorted(messages, key=lambda key: (key[0], -len(messages[key]), key[1]))
    for level, kind in order:
        found = messages[level, kind]
        yield from ("", f"{level.upper()}: {kind}, {len(found)}")
        yield from (f"  {message}" for message in found[:examples])
        if len(found) > examples:
            yield f"  and {len(found) - examples} more in the report"

"""What is wrong in a data set, or looks wrong: errors that training refuses, and warnings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from core.data.label_agreement import MissingMasks
from core.data.label_table import LabelTable
from core.data.resized_masks import count_lost_masks
from core.data.validation.inspection import Grey, Inspection
from core.errors import InputError

Level = Literal["error", "warning"]

CONTRADICTION = "labels contradict masks"
READ_AS_MEANT = "table read as it is meant"
# The emptiest of 100 real strips is black in 94.9 % of its pixels, and still shows 5 % of steel;
# the brightest is white in 19.9 %.
_NEARLY_BLACK, _SATURATED = 0.98, 0.5
_FLAT = 2.0
# Beyond this share a mask lies beside the steel rather than on its edge.
_ON_BORDER = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or looks wrong."""

    level: Level
    kind: str
    message: str


def of_errors(errors: Iterable[InputError], kind: str, level: Level = "error") -> Iterator[Finding]:
    """Errors of the readers; `kind` is for those without a kind of their own."""
    return (Finding(level, getattr(error, "kind", "") or kind, str(error)) for error in errors)


def of_strips(paths: Sequence[Path], inspections: Sequence[Inspection]) -> Iterator[Finding]:
    """Strips that show almost nothing, and masks that overlap or lie on a black border."""
    for path, inspection in zip(paths, inspections, strict=True):
        if inspection.grey is not None:
            yield from _of_grey(path.name, inspection.grey)
        masks = inspection.masks
        if masks is None:
            continue
        area = int(masks.areas.sum()) - masks.overlap
        if masks.overlap:
            message = f"{path.name}: {masks.overlap} pixels belong to two or more classes"
            yield Finding("warning", "masks that overlap", message)
        if area and masks.on_border > _ON_BORDER * area:
            message = f"{path.name}: {masks.on_border} of {area} pixels lie beside the steel"
            yield Finding("warning", "masks on a black border", message)


def _of_grey(name: str, grey: Grey) -> Iterator[Finding]:
    if grey.black_share > _NEARLY_BLACK:
        message = f"{name}: {100 * grey.black_share:.1f} % of its pixels are black"
        yield Finding("warning", "nearly black strip", message)
    elif grey.white_share > _SATURATED:
        message = f"{name}: {100 * grey.white_share:.1f} % of its pixels are white"
        yield Finding("warning", "saturated strip", message)
    elif grey.standard_deviation < _FLAT:
        message = f"{name}: grey levels vary by {grey.standard_deviation:.2f} only"
        yield Finding("warning", "flat strip", message)


def of_masks(table: LabelTable, inspections: Sequence[Inspection]) -> Iterator[Finding]:
    """Labels that contradict the pixels of their own masks."""
    for index, inspection in enumerate(inspections):
        if inspection.masks is None:
            continue
        area = inspection.masks.areas
        for column in np.flatnonzero(table.labels[index].astype(bool) != (area > 0)):
            has = f"{area[column]} pixels" if area[column] else "no pixel"
            label = f"{table.class_names[column]}={table.labels[index, column]}"
            message = f"{table.image_ids[index]}: {label}, but {has} in {table.source}"
            yield Finding("error", CONTRADICTION, message)


def of_missing_masks(
    table: LabelTable,
    source: str,
    missing: Mapping[int, Sequence[int]],
    missing_masks: MissingMasks,
) -> Iterator[Finding]:
    """Labels of another source for which the table has no mask."""
    level = "warning" if missing_masks == "ignore" else "error"
    for index, columns in missing.items():
        for column in columns:
            message = (
                f"{table.image_ids[index]}: {table.class_names[column]} is in {source}, but no "
                f"pixels of it in {table.source}: add the mask, correct the label, or set "
                "data.missing_masks=ignore"
            )
            yield Finding(level, "labels without a mask", message)


def of_resized_masks(table: LabelTable) -> Iterator[Finding]:
    """Classes with masks that a resize loses."""
    for name, (lost, total) in count_lost_masks(table).items():
        if lost:
            message = f"{name}: {lost} of {total} masks lie between the pixels that are kept"
            if lost == total:
                message += "; training with masks refuses this: give a larger data.resize"
            yield Finding("warning", "masks too small for data.resize", message)


def of_training_part(table: LabelTable, indices: np.ndarray) -> Iterator[Finding]:
    """Classes of which the training part shows no image, or nothing else.

    `loss.alpha=dynamic`, the default, cannot weigh them, and ends the training.
    """
    counts = table.labels[indices].sum(axis=0, dtype=int).tolist()
    for name, count in zip(table.class_names, counts, strict=True):
        if count in (0, len(indices)):
            which = "no image" if count == 0 else f"all {count} images"
            message = (
                f"{which} of the training part shows {name}; expected some that do and some that "
                "do not: leave the class out, choose another split, or give loss.alpha=null"
            )
            yield Finding("error", "class without examples or without others", message)


def of_duplicates(table: LabelTable, pairs: Iterable[tuple[int, int]]) -> Iterator[Finding]:
    """Near-duplicates with different labels."""
    for pair in pairs:
        sets = [table.label_set(index) for index in pair]
        if sets[0] != sets[1]:
            first, second = (
                f"{table.image_ids[index]} ({'+'.join(names) or 'clean'})"
                for index, names in zip(pair, sets, strict=True)
            )
            message = f"{first} and {second} show the same steel"
            yield Finding("warning", "near-duplicates with other labels", message)

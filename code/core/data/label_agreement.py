"""Two sources of the same labels: what contradicts, and which labels have no mask."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from core.data.label_table import LabelTable
from core.errors import InputError

MissingMasks = Literal["error", "ignore"]

_log = logging.getLogger(__name__)

_MOST_LISTED = 20


def contradictions(table: LabelTable, other: LabelTable) -> Iterator[str]:
    """A sentence for each label that only one of two tables of the same images has.

    `labels_without_masks` are none: there the mask may be missing.
    """
    missing = labels_without_masks(table, other)
    for index, column in np.argwhere(table.labels != other.labels).tolist():
        if column in missing.get(index, ()):
            continue
        named, silent = (other, table) if other.labels[index, column] else (table, other)
        what = "pixels" if silent.masks is not None else "label"
        yield (
            f"{table.image_ids[index]}: {table.class_names[column]} is in {named.source}, but no "
            f"{what} of it in {silent.source}"
        )


def labels_without_masks(table: LabelTable, other: LabelTable) -> dict[int, list[int]]:
    """Columns of the labels for which the table has no mask, by position of the image.

    They are labels of the other source, if that has no masks of its own.
    """
    found: dict[int, list[int]] = {}
    if table.masks is not None and other.masks is None:
        for index, column in np.argwhere(other.labels > table.labels).tolist():
            found.setdefault(index, []).append(column)
    return found


def agreed(table: LabelTable, other: LabelTable, missing_masks: MissingMasks) -> LabelTable:
    """The table, with the labels of the other source that have no mask where these are allowed.

    The masks of an image with such a label are not known, those of its other classes included.

    Raises:
        InputError: the sources contradict each other, or a mask is missing and must not be.
    """
    sources = f"{table.root}: {other.source} and {table.source}"
    if found := list(contradictions(table, other)):
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InputError(
            f"{sources} contradict each other: {found[0]}{more}; expected sources that agree: mend "
            f"the wrong one, or remove {other.source}; validate_data.py lists all that contradict"
        )
    missing = labels_without_masks(table, other)
    if not missing:
        return table
    images = listed(table, missing)
    if missing_masks == "error":
        raise InputError(
            f"{sources}: {len(missing)} images have a label in {other.source}, but no pixels of it "
            f"in {table.source}: {images}; expected a mask for each label: add the masks, correct "
            f"{other.source}, or set data.missing_masks=ignore to train these images on their "
            "labels alone"
        )
    _log.warning(
        "%d images have a label in %s, but no pixels of it in %s: their masks are not used: %s",
        len(missing),
        other.source,
        table.source,
        images,
    )
    return with_missing_masks(table, missing)


def with_missing_masks(table: LabelTable, missing: Mapping[int, Sequence[int]]) -> LabelTable:
    """The table with further labels, in these columns of these images, that have no mask."""
    labels = table.labels.copy()
    for index, columns in missing.items():
        labels[index, columns] = 1
    labels.flags.writeable = False
    return replace(table, labels=labels, masks=replace(table.masks, missing=dict(missing)))


def without_masks_of(table: LabelTable, image_ids: Sequence[str]) -> LabelTable:
    """The table without the masks of these images, whose labels stay.

    Raises:
        InputError: the table has no masks, or no such image that shows a class.
    """
    if not image_ids:
        return table
    where = f"data.unused_masks={','.join(image_ids)}"
    if table.masks is None:
        raise InputError(f"{where}: {table.source} has no masks: leave it out")
    position = {image_id: index for index, image_id in enumerate(table.image_ids)}
    missing = dict(table.masks.missing)
    for image_id in image_ids:
        index = position.get(image_id)
        if index is None or not table.labels[index].any():
            found = "no image of this id" if index is None else "this image shows no class"
            raise InputError(
                f"{where}: {image_id}: {found} in {table.source}; expected image ids such as "
                f"{table.image_ids[0]}, file name and ending"
            )
        missing[index] = np.flatnonzero(table.labels[index]).tolist()
    return replace(table, masks=replace(table.masks, missing=missing))


def listed(table: LabelTable, missing: Mapping[int, Sequence[int]]) -> str:
    """The images with the classes whose masks are missing, as many as a line holds."""
    images = [
        f"{table.image_ids[index]} ({'+'.join(table.class_names[column] for column in columns)})"
        for index, columns in sorted(missing.items())
    ]
    more = len(images) - _MOST_LISTED
    return ", ".join(images[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")

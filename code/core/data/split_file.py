"""split.csv: `image_id,split`, one row per image of the label table."""

import logging
from pathlib import Path

import numpy as np

from core.data.checks import check_complete, read_rows
from core.data.image_ids import ImageIds, Notices
from core.data.label_table import LabelTable
from core.errors import InputError
from core.files.spreadsheet import original
from core.files.tables import require_header, write_table
from core.validation import nearest

_log = logging.getLogger(__name__)

Split = dict[str, np.ndarray]

PARTS = ("train", "validation", "test")
_HEADER = ["image_id", "split"]


def part_by_image(split: Split) -> dict[int, str]:
    """The part of each image, by its position in the table."""
    return {index: part for part, indices in split.items() for index in indices.tolist()}


def write_split(path: Path, table: LabelTable, split: Split) -> None:
    """Write the part of each image, in the order of the table.

    Raises:
        ValueError: the parts do not cover the table exactly once.
    """
    part_of = part_by_image(split)
    covered = sum(map(len, split.values())) == len(table) and set(part_of) == set(range(len(table)))
    if tuple(split) != PARTS or not covered:
        raise ValueError(f"expected the parts {PARTS} to cover {len(table)} images once each")
    rows = ((image_id, part_of[index]) for index, image_id in enumerate(table.image_ids))
    write_table(path, _HEADER, rows)


def _places(table: LabelTable) -> dict[str, str]:
    """The path below the image folder of each image, where it is known, then of skipped ones."""
    places = {name: name for name in (*table.image_ids, *table.skipped)}
    for image_id, path in zip(table.image_ids, table.image_paths, strict=False):
        if path.is_relative_to(table.root):
            places[image_id] = "/".join(path.relative_to(table.root).parts[1:])
    return places


def read_split(path: Path, table: LabelTable) -> Split:
    """Sorted index arrays of the parts that a split file names.

    Rows of images that the table skipped are ignored.

    Raises:
        InputError: unreadable, an unknown part, an image twice, an unknown image, an image of
            the table without a row, or a part without images.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"data.split_file={path} is not a file; expected a CSV with the columns "
            "image_id,split, such as the split.csv of an experiment"
        )
    rows = read_rows(path, len(table))
    require_header(path, next(rows)[1], _HEADER)
    notices = Notices(path)
    images = ImageIds(_places(table), notices)
    split: dict[str, list[int]] = {part: [] for part in PARTS}
    first: dict[int, tuple[int, str]] = {}
    for line, (cell, part) in rows:
        # As written by hand, or as escaped by `write_split`.
        image_id = cell if cell in images.positions else original(cell)
        where = f"{path} line {line}"
        index = images.find(image_id, where)
        if index >= len(table):
            continue
        if part not in PARTS:
            raise InputError(
                f"{where}: split {part[:40]!r}{nearest(part, PARTS)}; expected {', '.join(PARTS)}"
            )
        if index in first:
            earlier, earlier_part = first[index]
            raise InputError(
                f"{where}: image {image_id} in {part!r} already stands on line {earlier} in "
                f"{earlier_part!r}; parts must not overlap: remove one of the rows"
            )
        first[index] = (line, part)
        split[part].append(index)
    for notice in notices.lines():
        _log.warning("%s", notice)
    expected = "every image of the data set in one part: add the rows"
    check_complete(path, table.image_ids, first, "row", expected)
    for part, indices in split.items():
        if not indices:
            raise InputError(
                f"{path}: no image in part {part!r}; expected at least one in each of "
                f"{', '.join(PARTS)}"
            )
    return {part: np.array(sorted(indices), np.int64) for part, indices in split.items()}

"""Checks that every reader of a label table makes of image ids, class names and rows."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from core.data.mistakes import UnknownImageError
from core.errors import InputError
from core.files.reading import MEBIBYTE, bounded_lines, opened
from core.validation import nearest

# The published codes take 1.5 KiB an image; the longest of a 256x1600 mask, every other pixel of
# it, takes 2.4 MiB.
_MOST_BYTES_PER_IMAGE = MEBIBYTE // 16
_LONGEST_LINE = 4 * MEBIBYTE


def check_image_id(image_id: str, where: str) -> None:
    """Refuse what is not a plain file name.

    Raises:
        InputError: empty, `.` or `..`, a path, or a character that cannot be printed.
    """
    plain = image_id.isprintable() and not set(image_id) & set("/\\")
    if not plain or image_id.strip(". ") == "":
        raise InputError(
            f"{where}: image id {image_id[:80]!r} is not a plain file name; expected a name as in "
            "the image folder, such as 0002cc93b.jpg, without a path"
        )


def check_class_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The names as a tuple; each must be usable as a column, a key and a part of a file name.

    Raises:
        InputError: none, a name twice, or a name that is empty or not printable.
    """
    if not names:
        raise InputError(f"{where}: no class names; expected at least one")
    for index, name in enumerate(names):
        usable = name.isprintable() and name == name.strip() and not set(name) & set("/\\,\"'")
        if not name or not usable:
            raise InputError(
                f"{where}: class name {name!r}; expected letters, digits, spaces, '_' or '-', "
                "without slashes, commas or quotes"
            )
        if name in names[:index]:
            raise InputError(f"{where}: class name {name!r} stands there twice: name each once")
    return tuple(names)


def find_image(image_id: str, positions: dict[str, int], where: str) -> int:
    """Position of a row's image in the table.

    Raises:
        InputError: not a file name, or no such image in the folder.
    """
    if image_id in positions:
        return positions[image_id]
    check_image_id(image_id, where)
    raise UnknownImageError(
        f"{where}: image {image_id[:80]!r} is not in the image folder"
        f"{nearest(image_id, positions)}; expected one of its {len(positions)} files: "
        "add the image, or remove the row"
    )


def read_rows(path: Path, num_images: int) -> list[list[str]]:
    """The cells of a CSV file on `num_images` images as text; row i stands on line i + 1.

    Raises:
        InputError: unreadable, empty, not UTF-8, larger than labels of so many images can be, or
            a row with more or fewer cells than the header.
    """
    with opened(path, num_images * _MOST_BYTES_PER_IMAGE + 4 * MEBIBYTE) as stream:
        text = "".join(bounded_lines(stream, path, _LONGEST_LINE))
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            header=None,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
        )
    except pd.errors.EmptyDataError:
        raise InputError(f"{path}: empty; expected a header line and one row per label") from None
    except pd.errors.ParserError as error:
        raise InputError(
            f"{path}: not a comma-separated table in UTF-8 ({error}): mend or export it again"
        ) from None
    _check_widths(path, text)
    return [[cell.strip() for cell in row] for row in frame.to_numpy().tolist()]


def _check_widths(path: Path, text: str) -> None:
    """Refuse a row that lacks cells, which pandas fills with empty ones without a word."""
    quoted = '"' in text
    rows = csv.reader(io.StringIO(text)) if quoted else map(_split, re.split("\r\n|\r|\n", text))
    try:
        header = next(rows, [])
        for line, row in enumerate(rows, start=2):
            if len(row) < len(header) and any(cell.strip() for cell in row):
                raise InputError(
                    f"{path} line {line}: {len(row)} of {len(header)} cells "
                    f"({','.join(row)[:80]!r}); expected all: the file may be cut off"
                )
    except csv.Error as error:
        raise InputError(f"{path}: not a comma-separated table ({error})") from None


def _split(line: str) -> list[str]:
    return line.split(",")

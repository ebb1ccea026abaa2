"""train.csv of the Kaggle competition: one run-length code per image and class.

Two layouts: `ImageId,ClassId,EncodedPixels` with a row for each class that an image shows, and
the older `ImageId_ClassId,EncodedPixels`, where the row of an absent class has an empty code.
An image without a row is clean, as is one whose row has neither a class nor a code.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from core.data.checks import EMPTY_MASK, REPEATED_LABEL, DataError, Errors, collecting, read_rows
from core.data.class_names import numbered_class_names
from core.data.image_ids import ImageIds, Notices
from core.data.label_table import Masks, ReadLabels
from core.errors import InputError
from core.files.resizing import Size
from core.files.run_length import MaskOutsideError, decode, runs

_HEADER = ["ImageId", "ClassId", "EncodedPixels"]
_JOINED_HEADER = ["ImageId_ClassId", "EncodedPixels"]
_DECIMAL = re.compile(r"(-?[0-9]{1,9})\.0+")
# What stands for "no class" and "no pixels" in the row of a clean image.
_NO_CLASS, _NO_PIXELS = ("", "0", "-1"), ("", "-1")


def read_kaggle_csv(
    path: Path,
    places: Mapping[str, str],
    class_names: tuple[str, ...] | None,
    image_size: Size | Sequence[Size],
    errors: Errors = None,
) -> ReadLabels:
    """Labels and masks in the order of `places`: each image's path in its folder, by its id.

    `class_names` are the names of ClassId 1, 2, ..., as `numbered_class_names` checks them.

    `image_size` is that of all images, or of each in their order.

    Raises:
        InputError: a wrong header, a class id outside the classes, a malformed or overlong
            code, an image that is not in the folder, an (image, class) pair twice, or an image
            that is clean by one row and not by another.
    """
    names = numbered_class_names(path.parent, class_names)
    sizes = np.broadcast_to(image_size, (len(places), 2)).tolist()
    notices = Notices(path)
    images = ImageIds(places, notices)
    labels = np.zeros((len(places), len(names)), np.uint8)
    codes: dict[int, list[tuple[int, str]]] = {}
    lines: dict[tuple[int, int], int] = {}
    clean: dict[int, int] = {}
    rows = read_rows(path, len(places))
    columns = _columns(path, next(rows)[1], notices)
    for line, row in rows:
        where = f"{path} line {line}"
        with collecting(errors):
            image_id, class_id, code = _cells([row[column] for column in columns], where)
            index = images.find(image_id, where)
            class_id = _plain_number(class_id, notices, f"line {line}")
            if class_id in _NO_CLASS and (code is None or code in _NO_PIXELS):
                notices.add("rows without a class, as clean images", f"line {line}")
                clean.setdefault(index, line)
                continue
            column = _class_column(class_id, len(names), f"{where}, image {image_id}")
            first = lines.setdefault((index, column), line)
            if first != line:
                raise DataError(
                    f"{where}: image {image_id}, ClassId {class_id} already stands on line "
                    f"{first}; expected one row per image and class: join or remove one of them",
                    kind=REPEATED_LABEL,
                )
            if code is None:
                continue
            _check_code(code, sizes[index], f"{where}, image {image_id}, ClassId {class_id}")
            labels[index, column] = 1
            codes.setdefault(index, []).append((column, code))
    for index, line in clean.items():
        with collecting(errors):
            _check_clean(labels[index], f"{path} line {line}, image {images.image_ids[index]}")
    masks = Masks(codes, (len(names), *sizes[0]), _draw)
    return ReadLabels(labels, names, masks, notices.lines())


def _draw(plane: np.ndarray, code: str) -> None:
    plane[:] = decode(code, *plane.shape)


def _columns(path: Path, header: list[str], notices: Notices) -> list[int]:
    """Where the columns of one of the two layouts stand."""
    for expected in (_HEADER, _JOINED_HEADER):
        if all(header.count(name) == 1 for name in expected):
            extra = [name or "one without a name" for name in header if name not in expected]
            if extra:
                notices.add("other columns, not read", ", ".join(extra)[:200])
            elif header != expected:
                notices.add("columns in another order", ",".join(header))
            return [header.index(name) for name in expected]
    raise InputError(
        f"{path} line 1: header {','.join(header)[:80]!r}; expected {','.join(_HEADER)!r} or "
        f"{','.join(_JOINED_HEADER)!r}"
    )


def _cells(cells: list[str], where: str) -> tuple[str, str, str | None]:
    """Image id, class id and code; the code of a class marked absent is None."""
    if len(cells) == len(_HEADER):
        image_id, class_id, code = cells
    else:
        image_id, separator, class_id = cells[0].rpartition("_")
        if not separator:
            raise InputError(
                f"{where}: {cells[0][:80]!r} has no class id; expected image and class joined by "
                "'_', such as 0002cc93b.jpg_1"
            )
        code = cells[1] or None
    return image_id, class_id, code


def _plain_number(class_id: str, notices: Notices, where: str) -> str:
    """A ClassId without decimals, which are zeros in a column of numbers with gaps."""
    number = _DECIMAL.fullmatch(class_id)
    if number is None:
        return class_id
    notices.add("ClassId with decimals", f"{class_id} at {where}")
    return number[1]


def _class_column(class_id: str, num_classes: int, where: str) -> int:
    # isdecimal alone would let other scripts' digits pass; a long number is out of range anyway.
    if class_id.isascii() and class_id.isdecimal() and 1 <= int(class_id[:9]) <= num_classes:
        return int(class_id) - 1
    raise InputError(
        f"{where}: ClassId {class_id[:40]!r}; expected a whole number from 1 to {num_classes}: "
        "mend the row, or name more classes in data.class_names"
    )


def _check_clean(labels: np.ndarray, where: str) -> None:
    if labels.any():
        raise DataError(
            f"{where}: marked as clean, but other rows name a class; expected one of the two: "
            "remove this row, or the others",
            kind=REPEATED_LABEL,
        )


def _check_code(code: str, image_size: tuple[int, int], where: str) -> None:
    if not code:
        raise DataError(
            f"{where}: EncodedPixels is empty; expected a run-length code: add it, or remove the "
            "row if the image does not show this class",
            kind=EMPTY_MASK,
        )
    try:
        runs(code, *image_size)
    except MaskOutsideError as error:
        size = ",".join(map(str, image_size))
        error.args = (
            f"{where}: {error}; where the masks are those of larger images, give these images and "
            f"data.resize=[{size}], else correct the code or remove the row",
        )
        raise
    except InputError as error:
        error.args = (f"{where}: {error}; correct the code or remove the row",)
        raise

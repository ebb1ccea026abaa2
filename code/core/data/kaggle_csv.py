"""train.csv of the Kaggle competition: one run-length code per image and class.

Two layouts: `ImageId,ClassId,EncodedPixels` with a row for each class that an image shows, and
the older `ImageId_ClassId,EncodedPixels`, where the row of an absent class has an empty code.
An image without a row is clean.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.data.checks import (
    EMPTY_MASK,
    REPEATED_LABEL,
    DataError,
    Errors,
    collecting,
    find_image,
    read_rows,
)
from core.data.label_table import Masks
from core.errors import InputError
from core.files.resizing import Size
from core.files.run_length import MaskOutsideError, decode, runs
from core.files.tables import require_header

SEVERSTAL_CLASS_NAMES = ("defect_1", "defect_2", "defect_3", "defect_4")
_HEADER = ["ImageId", "ClassId", "EncodedPixels"]
_JOINED_HEADER = ["ImageId_ClassId", "EncodedPixels"]


def read_kaggle_csv(
    path: Path,
    image_ids: Sequence[str],
    class_names: tuple[str, ...] | None,
    image_size: Size | Sequence[Size],
    errors: Errors = None,
) -> tuple[np.ndarray, tuple[str, ...], Masks]:
    """Labels (N, C) uint8 in the order of `image_ids`, the class names, and the masks.

    `image_size` is that of all images, or of each in their order.

    Raises:
        InputError: a wrong header, a class id outside the classes, a malformed or overlong
            code, an image that is not in the folder, or an (image, class) pair twice.
    """
    names = class_names or SEVERSTAL_CLASS_NAMES
    sizes = np.broadcast_to(image_size, (len(image_ids), 2)).tolist()
    positions = {image_id: index for index, image_id in enumerate(image_ids)}
    labels = np.zeros((len(image_ids), len(names)), np.uint8)
    codes: dict[int, list[tuple[int, str]]] = {}
    lines: dict[tuple[int, int], int] = {}
    rows = read_rows(path, len(image_ids))
    require_header(path, next(rows)[1], _HEADER, _JOINED_HEADER)
    for line, row in rows:
        where = f"{path} line {line}"
        with collecting(errors):
            image_id, class_id, code = _cells(row, where)
            index = find_image(image_id, positions, where)
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
    return labels, names, Masks(codes, (len(names), *sizes[0]), _draw)


def _draw(plane: np.ndarray, code: str) -> None:
    plane[:] = decode(code, *plane.shape)


def _cells(row: list[str], where: str) -> tuple[str, str, str | None]:
    """Image id, class id and code; the code of a class marked absent is None."""
    if len(row) == len(_HEADER):
        return row[0], row[1], row[2]
    image_id, separator, class_id = row[0].rpartition("_")
    if not separator:
        raise InputError(
            f"{where}: {row[0][:80]!r} has no class id; expected image and class joined by '_', "
            "such as 0002cc93b.jpg_1"
        )
    return image_id, class_id, row[1] or None


def _class_column(class_id: str, num_classes: int, where: str) -> int:
    # isdecimal alone would let other scripts' digits pass; a long number is out of range anyway.
    if class_id.isascii() and class_id.isdecimal() and 1 <= int(class_id[:9]) <= num_classes:
        return int(class_id) - 1
    raise InputError(
        f"{where}: ClassId {class_id[:40]!r}; expected a whole number from 1 to {num_classes}: "
        "mend the row, or name more classes in data.class_names"
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

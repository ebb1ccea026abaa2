"""labels.csv: `ImageId` and one 0/1 column per class, for image-level labels without masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.data.checks import (
    REPEATED_LABEL,
    DataError,
    Errors,
    check_class_names,
    check_complete,
    collecting,
    find_image,
    read_rows,
)
from core.errors import InputError
from core.validation import nearest


def read_label_csv(
    path: Path,
    image_ids: Sequence[str],
    class_names: tuple[str, ...] | None,
    errors: Errors = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels (N, C) uint8 in the order of `image_ids`, and the class names.

    The columns are the classes; `class_names` selects and orders them. Every image needs its
    row: an image without one is unlabelled, not clean.

    Raises:
        InputError: a wrong header, a value other than 0 or 1, an image twice, without a row, or
            not in the folder.
    """
    rows = read_rows(path, len(image_ids))
    columns = _class_columns(path, next(rows)[1])
    names = class_names or tuple(columns)
    for name in names:
        if name not in columns:
            raise InputError(
                f"{path}: no column {name!r}{nearest(name, columns)}; expected the classes of "
                f"data.class_names among its columns: {', '.join(columns)}"
            )
    positions = {image_id: index for index, image_id in enumerate(image_ids)}
    labels = np.zeros((len(image_ids), len(names)), np.uint8)
    lines: dict[int, int] = {}
    for line, row in rows:
        where = f"{path} line {line}"
        with collecting(errors):
            index = find_image(row[0], positions, where)
            if index in lines:
                raise DataError(
                    f"{where}: image {row[0]!r} already stands on line {lines[index]}; "
                    "expected one row per image: remove one of them",
                    kind=REPEATED_LABEL,
                )
            lines[index] = line
            labels[index] = [_parse(row[columns[name]], name, where) for name in names]
    with collecting(errors):
        expected = "a row per image, with 0 in every column for a clean one"
        check_complete(path, image_ids, lines, "row", expected)
    return labels, names


def _class_columns(path: Path, header: list[str]) -> dict[str, int]:
    if header[0] != "ImageId" or len(header) < 2:
        raise InputError(
            f"{path} line 1: header {','.join(header)[:80]!r}; expected ImageId and one column "
            "per class, such as ImageId,scratch,pit"
        )
    names = check_class_names(header[1:], f"{path} line 1")
    return {name: column for column, name in enumerate(names, start=1)}


def _parse(value: str, name: str, where: str) -> int:
    if value not in ("0", "1"):
        raise InputError(f"{where}: {name}={value[:40]!r}; expected 0 or 1")
    return int(value)

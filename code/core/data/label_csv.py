"""labels.csv: `ImageId` and one 0/1 column per class, for image-level labels without masks."""

from collections.abc import Mapping
from pathlib import Path

from core.data.checks import (
    REPEATED_LABEL,
    DataError,
    Errors,
    check_complete,
    collecting,
    read_rows,
)
from core.data.image_ids import ImageIds, Notices
from core.data.label_columns import LabelColumns
from core.data.label_table import ReadLabels
from core.files.spreadsheet import original


def read_label_csv(
    path: Path,
    places: Mapping[str, str],
    class_names: tuple[str, ...] | None,
    errors: Errors = None,
) -> ReadLabels:
    """Labels in the order of `places`: each image's path in its folder, by its id. No masks.

    The columns are the classes; `class_names` selects and orders them. Every image needs its
    row: an image without one is unlabelled, not clean.

    Raises:
        InputError: a wrong header, a value other than 0 or 1, an image twice, without a row, or
            not in the folder.
    """
    notices = Notices(path)
    images = ImageIds(places, notices)
    rows = read_rows(path, len(places))
    header = [original(name) for name in next(rows)[1]]
    columns = LabelColumns(path, header, class_names, len(places), notices)
    lines: dict[int, int] = {}
    for line, row in rows:
        where = f"{path} line {line}"
        with collecting(errors):
            image_id = row[columns.id_place]
            index = images.find(image_id, where)
            if index in lines:
                raise DataError(
                    f"{where}: image {image_id!r} already stands on line {lines[index]}; "
                    "expected one row per image: remove one of them",
                    kind=REPEATED_LABEL,
                )
            lines[index] = line
            columns.add(index, row, where)
    columns.leave_out_text()
    for error in columns.errors():
        with collecting(errors):
            raise error
    with collecting(errors):
        expected = "a row per image, with 0 in every column for a clean one"
        check_complete(path, places, lines, "row", expected)
    said = (*notices.lines(), *columns.constants())
    return ReadLabels(columns.labels, tuple(columns.names), None, said)

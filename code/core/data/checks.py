"""What every reader of a data set checks, and the errors that a validation tells apart."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import InputError
from core.files.reading import MEBIBYTE
from core.files.tables import read_table
from core.validation import nearest

# The published codes take 1.5 KiB an image; the longest of a 256x1600 mask, every other pixel of
# it, takes 2.4 MiB.
_MOST_BYTES_PER_IMAGE = MEBIBYTE // 16
_LONGEST_LINE = 4 * MEBIBYTE
# Where errors are collected; with None the first one ends the reading, as training wants it.
Errors = list[InputError] | None
EMPTY_MASK, REPEATED_LABEL = "label without pixels", "label twice"


class DataError(InputError):
    """An error in a data set that a validation counts by its `kind`, such as `label twice`."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


@contextmanager
def collecting(errors: Errors) -> Iterator[None]:
    """Around the reading of one row, annotation or image: collect its InputError, and go on."""
    try:
        yield
    except InputError as error:
        if errors is None:
            raise
        errors.append(error)


def check_image_id(image_id: str, where: str) -> None:
    """Check that an image id is a plain file name that can be printed. Raises InputError."""
    if not _is_plain(image_id):
        raise InputError(
            f"{where}: image id {image_id[:80]!r} is not a plain file name; expected a name as in "
            "the image folder, such as 0002cc93b.jpg, without a path"
        )


def _is_plain(name: str) -> bool:
    return name.isprintable() and not set(name) & set("/\\") and name.strip(". ") != ""


def find_image(image_id: str, positions: dict[str, int], where: str) -> int:
    """Position of a row's image in the table. Raises InputError if there is no such image."""
    if image_id in positions:
        return positions[image_id]
    if not all(map(_is_plain, image_id.split("/"))):
        raise InputError(
            f"{where}: image id {image_id[:80]!r} is not a plain file name; expected a name as in "
            "the image folder, such as 0002cc93b.jpg, or its path below that folder"
        )
    raise DataError(
        f"{where}: image {image_id[:80]!r} is not in the image folder"
        f"{nearest(image_id, positions)}; expected one of its {len(positions)} files: "
        "add the image, or remove the row",
        kind="label of a missing image",
    )


def check_complete(
    where: Path, image_ids: Collection[str], found: Collection[int], what: str, expected: str
) -> None:
    """Check that each image has a row or file, as the images at the positions `found` have."""
    missing = [image_id for index, image_id in enumerate(image_ids) if index not in found]
    if missing:
        raise DataError(
            f"{where}: no {what} for image {missing[0]!r} ({len(missing)} of {len(image_ids)} "
            f"images have none); expected {expected}",
            kind="image that no label names",
        )


def read_rows(path: Path, num_images: int) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells, without spaces around them, of each row of a table of images.

    Raises:
        InputError: as for `read_table`; larger than a table of so many images can be.
    """
    most_bytes = num_images * _MOST_BYTES_PER_IMAGE + 4 * MEBIBYTE
    for line, row in read_table(path, most_bytes, _LONGEST_LINE):
        yield line, [cell.strip() for cell in row]

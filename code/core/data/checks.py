"""What every reader of a data set checks, and the errors that a validation tells apart."""

from collections.abc import Collection, Iterator, Sequence
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


class DataError(InputError):
    """An error in a data set; a validation counts it by its `kind`."""

    kind: str


class TruncatedImageError(DataError):
    """An image file without its end."""

    kind = "truncated image"


class ImageSizeError(DataError):
    """An image of another size than `data.image_size`."""

    kind = "image of another size"


class UnknownImageError(DataError):
    """A label of an image that is not in the folder."""

    kind = "label of a missing image"


class MissingLabelError(DataError):
    """Images without a row, in a layout that needs one for each."""

    kind = "image that no label names"


class RepeatedLabelError(DataError):
    """The same label twice."""

    kind = "label twice"


class EmptyMaskError(DataError):
    """A label whose mask has no pixel."""

    kind = "label without pixels"


@contextmanager
def collecting(errors: list[InputError] | None) -> Iterator[None]:
    """Add an InputError of the row, annotation or image read within to `errors`, and go on.

    Without a list the first error ends the reading, as training wants it.
    """
    try:
        yield
    except InputError as error:
        if errors is None:
            raise
        errors.append(error)


def check_image_id(image_id: str, where: str) -> None:
    """Check that an image id is a plain file name.

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
    """The names as a tuple; each must do as a column, as a key and within a file name.

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


def check_complete(
    where: Path, image_ids: Sequence[str], found: Collection[int], what: str, expected: str
) -> None:
    """Check that each image has its row or file; `found` holds the positions of those with one.

    Raises:
        MissingLabelError: some have none.
    """
    missing = [image_id for index, image_id in enumerate(image_ids) if index not in found]
    if missing:
        raise MissingLabelError(
            f"{where}: no {what} for image {missing[0]!r} ({len(missing)} of {len(image_ids)} "
            f"images have none); expected {expected}"
        )


def read_rows(path: Path, num_images: int) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells, without spaces around them, of each row of a table of images.

    Raises:
        InputError: as for `read_table`; larger than a table of so many images can be.
    """
    most_bytes = num_images * _MOST_BYTES_PER_IMAGE + 4 * MEBIBYTE
    for line, row in read_table(path, most_bytes, _LONGEST_LINE):
        yield line, [cell.strip() for cell in row]

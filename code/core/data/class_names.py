"""The names of the defect classes, and which of them ClassId 1, 2, ... of a train.csv stand for."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import InputError
from core.files.names import check_class_names
from core.files.reading import MEBIBYTE, bounded_lines, opened

SEVERSTAL_CLASS_NAMES = ("defect_1", "defect_2", "defect_3", "defect_4")
# Beside a train.csv, which only numbers its classes: one name a line, in the order of ClassId.
CLASS_FILE = "classes.txt"
_MOST_BYTES, _LONGEST_LINE = MEBIBYTE, 4096


def read_class_file(path: Path) -> tuple[str, ...]:
    """The class names in a file with one name a line.

    Raises:
        InputError: unreadable, no name, or one that is repeated or unfit for a file name.
    """
    with opened(path, _MOST_BYTES) as stream:
        lines = [line.strip() for line in bounded_lines(stream, path, _LONGEST_LINE)]
    return check_class_names([line for line in lines if line], str(path))


def numbered_class_names(root: Path, given: Sequence[str] | None) -> tuple[str, ...]:
    """The names of ClassId 1, 2, ... in the train.csv of `root`.

    They stand in `classes.txt`, else they are those of `given`, else those of the Severstal data.

    Raises:
        InputError: `given` has other names than the data set, or names it in another order.
    """
    file = root / CLASS_FILE
    own = read_class_file(file) if file.exists() else SEVERSTAL_CLASS_NAMES
    if given is None:
        return own
    if file.exists():
        fits = tuple(given) == own
    else:
        fits = all(name not in own or own.index(name) == at for at, name in enumerate(given))
    if not fits:
        source = file if file.exists() else "as in the Severstal data"
        raise InputError(
            f"data.class_names={','.join(given)}: ClassId 1, 2, ... of {root / 'train.csv'} are "
            f"{', '.join(own)} ({source}); expected the same names in the same order, or names of "
            "your own: leave data.class_names out"
        )
    return tuple(given)

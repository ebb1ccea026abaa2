"""The image folder of a data set: it, not the table, says which images there are."""

from pathlib import Path

from core.data.image_header import EXTENSIONS
from core.data.mistakes import FIRST_ENDS, Mistakes
from core.data.table_checks import check_image_id
from core.errors import InputError


def find_image_folder(root: Path, names: tuple[str, ...], source: str) -> Path:
    """The first of the folders `names` in `root` that exists.

    Raises:
        InputError: none of them does.
    """
    for name in names:
        if (root / name).is_dir():
            return root / name
    expected = " or ".join(f"{name}/" for name in names)
    raise InputError(
        f"{root}: found {source} but no image folder; expected {expected} beside it: "
        "unpack the images there"
    )


def list_images(folder: Path, mistakes: Mistakes = FIRST_ENDS) -> tuple[Path, ...]:
    """The folder's image files, sorted by name; other files are left alone.

    Raises:
        InputError: no image in it, or a name that cannot stand in a table.
    """
    paths = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS),
        key=lambda path: path.name,
    )
    if not paths:
        raise InputError(
            f"{folder}: no images; expected files ending in {', '.join(EXTENSIONS)}: "
            "unpack the images there"
        )
    named = []
    for path in paths:
        with mistakes.noted():
            check_image_id(path.name, str(folder))
            named.append(path)
    return tuple(named)

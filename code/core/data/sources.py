"""The label sources in a data set's folder, and the images that they label."""

from collections.abc import Iterator
from pathlib import Path

from core.data.checks import Errors, check_image_id, collecting
from core.data.image_folder import EXTENSIONS, image_ids, images_below
from core.errors import InputError
from core.files.image_folders import IMAGE_FOLDERS, LABEL_CSV, image_folders

# Beside another source, only this one is quick enough to compare before every training.
COMPARED_SOURCES = (LABEL_CSV,)


def sources_in(root: Path) -> list[str]:
    """The label sources in `root`, if any."""
    return [name for name in IMAGE_FOLDERS if (root / name).exists()]


def find_sources(root: Path) -> list[str]:
    """The label sources in `root`; the first one is read.

    Raises:
        InputError: there is none.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"data.root={root} is a file; expected the folder of a data set")
    if found := sources_in(root):
        return found
    state = "holds no data set" if root.is_dir() else "does not exist"
    raise InputError(
        f"data.root={root} {state}: looked for train.csv with train_images/, ann/ with one JSON "
        "per image, and labels.csv with one 0/1 column per class; get the strips from the Kaggle "
        "competition severstal-steel-defect-detection (kaggle competitions download -c "
        "severstal-steel-defect-detection) and unpack them there, or try without them: "
        "experiment=quickstart"
    )


def image_folder(root: Path, source: str) -> Path:
    """The folder of the images that a source in `root` labels. Raises InputError without one."""
    found = next(image_folders(root, source), None)
    if found is None:
        expected = " or ".join(f"{name}/" for name in IMAGE_FOLDERS[source])
        raise InputError(
            f"{root}: found {source} but no image folder; expected {expected} beside it: "
            "unpack the images there"
        )
    return found


def labelled_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Each label source in `root` that has an image folder, with that folder."""
    for source in sources_in(root):
        try:
            folder = image_folder(root, source)
        except InputError:
            continue
        yield source, folder


def list_images(root: Path, source: str, errors: Errors = None) -> dict[str, Path]:
    """The image files that a source in `root` labels, by their ids and sorted by them.

    The folder, not the table, says which images there are.

    Raises:
        InputError: no image folder, no image in it, or, without `errors`, a name that cannot
            stand in a table.
    """
    folder = image_folder(root, source)
    paths = images_below(folder)
    if not paths:
        raise InputError(
            f"{folder}: no images; expected files ending in {', '.join(EXTENSIONS)}: "
            "unpack the images there"
        )
    usable = []
    for path in paths:
        with collecting(errors):
            for name in path.relative_to(folder).parts:
                check_image_id(name, str(folder))
            usable.append(path)
    return dict(sorted(zip(image_ids(folder, usable), usable, strict=True)))

"""Reading the label table of a data set on disk, in any of its layouts."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from core.data.bitmap_json import read_bitmap_json
from core.data.checks import Errors, check_image_id, collecting
from core.data.image_folder import EXTENSIONS, describe_exceptions, image_ids, images_below
from core.data.images import check_header, decode, stored_size
from core.data.kaggle_csv import read_kaggle_csv
from core.data.label_csv import read_label_csv
from core.data.label_table import LabelTable, contradictions
from core.errors import InputError
from core.files.names import check_class_names
from core.files.resizing import Resize, Size
from core.files.threads import map_in_threads

_log = logging.getLogger(__name__)

# Label sources in the order in which they are looked for, each with its image folders.
RUN_LENGTH_CSV, _BITMAP_FOLDER, _LABEL_CSV = "train.csv", "ann", "labels.csv"
# Beside another source, only this one is quick enough to compare before every training.
COMPARED_SOURCES = (_LABEL_CSV,)
_IMAGE_FOLDERS = {
    RUN_LENGTH_CSV: ("train_images",),
    _BITMAP_FOLDER: ("train_images", "img"),
    _LABEL_CSV: ("train_images", "images"),
}
# Of an image that is refused when it is read: its masks are not to be blamed.
_UNKNOWN_SIZE = (1 << 20, 1 << 20)


def read_label_table(
    root: Path | str,
    class_names: Sequence[str] | None = None,
    image_size: Size | Resize = (256, 1600),
    on_bad_image: Literal["error", "skip"] = "error",
) -> LabelTable:
    """Read the data set in `root`, in any of its layouts, and check all of it.

    The first of these that is there is read, so that the masks of the original table win:
    `train.csv` with `train_images/`; `ann/` with `train_images/` or `img/`; `labels.csv` with
    `train_images/` or `images/`. A `labels.csv` of the same images and classes must agree with
    its masks; other sources are not read.

    Images have `image_size`, or any size with a `Resize`, by which masks are resized as well.

    With `on_bad_image="skip"` every image is decoded, and those that cannot be, or have another
    size, are left out of the table and listed in its `skipped`. Their labels are still checked.

    Raises:
        InputError: no data set, any row, annotation or image header that is wrong, or labels
            that contradict the masks.
    """
    root = Path(root)
    source, *others = find_sources(root)
    if others:
        _log.info("%s: reading %s; not trained on: %s", root, source, ", ".join(others))
    if exceptions := describe_exceptions(image_folder(root, source)):
        _log.warning("%s", exceptions)
    _check_common_size(image_folder(root, source), image_size)
    table = read_labels(root, source, class_names, image_size)
    if source == _LABEL_CSV and class_names is None:
        _log.info("%s: its columns are the classes %s", source, ", ".join(table.class_names))
    for notice in table.notices:
        _log.warning("%s", notice)
    if _LABEL_CSV in others:
        _check_label_csv(root, table, image_size)
    if on_bad_image == "skip":
        return _without_bad_images(table, image_size)
    for path in table.image_paths:
        check_header(path, image_size)
    return table


def sources_in(root: Path) -> list[str]:
    """The label sources in `root`, if any."""
    return [name for name in _IMAGE_FOLDERS if (root / name).exists()]


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


def _check_common_size(folder: Path, image_size: Size | Resize) -> None:
    """Refuse a size that is not that of the images, before their masks seem to be wrong for it.

    A single image of another size is reported by its name instead.
    """
    paths = images_below(folder)
    if isinstance(image_size, Resize) or not paths:
        return
    some = paths[:: max(1, len(paths) // 16)]
    found = {stored_size(path, image_size) for path in some} - {None}
    if len(found) == 1 and found != {tuple(image_size)}:
        (size,) = found
        asked, right = (",".join(map(str, each)) for each in (image_size, size))
        raise InputError(
            f"{folder}: the images are {size[0]}x{size[1]} pixels (height x width), and "
            f"data.image_size=[{asked}]: set data.image_size=[{right}], or resize them by "
            f"data.resize=[{asked}]"
        )


def image_folder(root: Path, source: str) -> Path:
    """The folder of the images that a source in `root` labels. Raises InputError without one."""
    folders = [root / name for name in _IMAGE_FOLDERS[source] if (root / name).is_dir()]
    if not folders:
        expected = " or ".join(f"{name}/" for name in _IMAGE_FOLDERS[source])
        raise InputError(
            f"{root}: found {source} but no image folder; expected {expected} beside it: "
            "unpack the images there"
        )
    return folders[0]


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


def read_labels(
    root: Path,
    source: str,
    class_names: Sequence[str] | None,
    image_size: Size | Resize,
    errors: Errors = None,
) -> LabelTable:
    """The table of one of the sources in `root`, before its images are read.

    Raises:
        InputError: an error in the source; with `errors`, what can be left out is added there
            instead.
    """
    names = None if class_names is None else check_class_names(class_names, "data.class_names")
    images = list_images(root, source, errors)
    paths, image_ids = tuple(images.values()), tuple(images)
    sizes = image_size
    if isinstance(image_size, Resize):
        sizes = [stored_size(path, image_size) or _UNKNOWN_SIZE for path in paths]
    if source == _LABEL_CSV:
        found = read_label_csv(root / source, image_ids, names, errors)
    else:
        read = read_kaggle_csv if source == RUN_LENGTH_CSV else read_bitmap_json
        found = read(root / source, image_ids, names, sizes, errors)
    found.labels.flags.writeable = False
    labels, names, masks, notices = found
    if masks is not None and isinstance(image_size, Resize):
        masks = masks.resized(image_size, sizes)
    return LabelTable(paths, image_ids, labels, names, masks, source, root=root, notices=notices)


def read_other_labels(
    root: Path,
    source: str,
    table: LabelTable,
    image_size: Size | Resize,
    errors: Errors = None,
) -> LabelTable:
    """The labels of another source for the images and classes of `table`.

    Raises:
        InputError: as for `read_labels`; it labels other images.
    """
    other = read_labels(root, source, table.class_names, image_size, errors)
    if other.image_ids != table.image_ids:
        raise InputError(f"{root / source}: labels other images than {table.source}")
    return other


def _check_label_csv(root: Path, table: LabelTable, image_size: Size | Resize) -> None:
    """Compare the table with labels.csv."""
    try:
        other = read_other_labels(root, _LABEL_CSV, table, image_size)
    except InputError as error:
        _log.warning("Not compared with %s: %s", table.source, error)
        return
    found = list(contradictions(table, other))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InputError(
            f"{root}: {found[0]}{more}; expected sources that agree: mend the wrong one, or "
            f"remove {_LABEL_CSV}; validate_data.py lists all that contradict"
        )


def _without_bad_images(table: LabelTable, image_size: Size | Resize) -> LabelTable:
    """The table without images that cannot be decoded or have another size."""
    read = partial(_error_of, image_size=image_size)
    found = enumerate(map_in_threads(read, table.image_paths, bar="decoding strips"))
    reasons = {index: reason for index, reason in found if reason}
    if not reasons:
        return table
    if len(reasons) == len(table):
        raise InputError(f"no image can be used with data.on_bad_image=skip: {reasons[0]}")
    _log.warning(
        "%d of %d images are skipped (data.on_bad_image=skip), such as %s",
        len(reasons),
        len(table),
        reasons[min(reasons)],
    )
    return table.without(reasons)


def _error_of(path: Path, image_size: Size | Resize) -> str | None:
    try:
        decode(path, image_size, channels=1)
    except InputError as error:
        return str(error)
    return None

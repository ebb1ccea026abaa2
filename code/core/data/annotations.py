"""Reading the label table of a data set on disk, in any of its layouts."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from core.data.bitmap_json import read_bitmap_json
from core.data.checks import Errors
from core.data.class_names import CLASS_FILE, SEVERSTAL_CLASS_NAMES
from core.data.image_folder import describe_exceptions, images_below
from core.data.images import check_header, decode, stored_size
from core.data.kaggle_csv import read_kaggle_csv
from core.data.label_agreement import MissingMasks, agreed
from core.data.label_csv import read_label_csv
from core.data.label_table import LabelTable
from core.data.sources import find_sources, image_folder, list_images
from core.errors import InputError
from core.files.image_folders import LABEL_CSV, RUN_LENGTH_CSV
from core.files.names import check_class_names
from core.files.resizing import Resize, Size
from core.files.threads import map_in_threads

_log = logging.getLogger(__name__)

# Of an image that is refused when it is read: its masks are not to be blamed.
_UNKNOWN_SIZE = (1 << 20, 1 << 20)


def read_label_table(
    root: Path | str,
    class_names: Sequence[str] | None = None,
    image_size: Size | Resize = (256, 1600),
    on_bad_image: Literal["error", "skip"] = "error",
    missing_masks: MissingMasks = "error",
) -> LabelTable:
    """Read the data set in `root`, in any of its layouts, and check all of it.

    The first of these that is there is read, so that the masks of the original table win:
    `train.csv` with `train_images/`; `ann/` with `train_images/` or `img/`; `labels.csv` with
    `train_images/` or `images/`. A `labels.csv` of the same images and classes must agree with
    its masks, except for labels without a mask with `missing_masks="ignore"`: the masks of such an
    image are not known. Other sources are not read.

    Images have `image_size`, or any size with a `Resize`, by which masks are resized as well.

    With `on_bad_image="skip"` every image is decoded, and those that cannot be, or have another
    size, are left out of the table and listed in its `skipped`. Their labels are still checked.

    Raises:
        InputError: no data set, any row, annotation or image header that is wrong, or labels
            that contradict the masks.
    """
    table = read_agreed_labels(Path(root), class_names, image_size, missing_masks)
    if on_bad_image == "skip":
        return _without_bad_images(table, image_size)
    for path in table.image_paths:
        check_header(path, image_size)
    return table


def read_agreed_labels(
    root: Path,
    class_names: Sequence[str] | None,
    image_size: Size | Resize,
    missing_masks: MissingMasks = "error",
) -> LabelTable:
    """The table that `read_label_table` reads, whatever the content of the image files is.

    Raises:
        InputError: as there, but for an image.
    """
    source, *others = find_sources(root)
    if others:
        _log.info("%s: reading %s; not trained on: %s", root, source, ", ".join(others))
    if exceptions := describe_exceptions(image_folder(root, source)):
        _log.warning("%s", exceptions)
    _check_common_size(image_folder(root, source), image_size)
    table = read_labels(root, source, class_names, image_size)
    if source == RUN_LENGTH_CSV and class_names is None and LABEL_CSV in others:
        _log.info("ClassId 1, 2, ... of %s are %s", source, ", ".join(table.class_names))
    if source == LABEL_CSV and class_names is None:
        _log.info("%s: its columns are the classes %s", source, ", ".join(table.class_names))
    for notice in table.notices:
        _log.warning("%s", notice)
    if LABEL_CSV in others:
        try:
            other = read_other_labels(root, LABEL_CSV, table, image_size)
        except InputError as error:
            _log.warning("Not compared with %s: %s", source, error)
        else:
            table = agreed(table, other, missing_masks)
    return table


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
    paths, folder = tuple(images.values()), image_folder(root, source)
    places = {name: path.relative_to(folder).as_posix() for name, path in images.items()}
    if source == RUN_LENGTH_CSV and names is None:
        names = _names_beside(root, places)
    sizes = image_size
    if isinstance(image_size, Resize):
        sizes = [stored_size(path, image_size) or _UNKNOWN_SIZE for path in paths]
    if source == LABEL_CSV:
        found = read_label_csv(root / source, places, names, errors)
    else:
        read = read_kaggle_csv if source == RUN_LENGTH_CSV else read_bitmap_json
        found = read(root / source, places, names, sizes, errors)
    found.labels.flags.writeable = False
    labels, names, masks, notices = found
    if masks is not None and isinstance(image_size, Resize):
        masks = masks.resized(image_size, sizes)
    ids = tuple(places)
    return LabelTable(paths, ids, labels, names, masks, source, root=root, notices=notices)


def _names_beside(root: Path, places: Mapping[str, str]) -> tuple[str, ...] | None:
    """The columns of a labels.csv beside a train.csv that nothing else names the classes of.

    None where it cannot be read, or has the classes of the Severstal data, in whichever order.
    """
    if (root / CLASS_FILE).exists() or not (root / LABEL_CSV).exists():
        return None
    try:
        names = read_label_csv(root / LABEL_CSV, places, None).class_names
    except InputError:
        return None
    return names if set(names).isdisjoint(SEVERSTAL_CLASS_NAMES) else None


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

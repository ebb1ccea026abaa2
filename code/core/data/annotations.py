"""The label table: which images there are, and which defect classes each of them shows."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from core.data.bad_images import SkippedImage, find_bad_images
from core.data.bitmap_json import read_bitmap_json
from core.data.contradictions import contradictions
from core.data.image_folder import find_image_folder, list_images
from core.data.images import check_header
from core.data.kaggle_csv import read_kaggle_csv
from core.data.label_csv import read_label_csv
from core.data.mistakes import FIRST_ENDS, Mistakes
from core.data.table_checks import check_class_names
from core.errors import InputError

_log = logging.getLogger(__name__)

# Label sources in the order in which they are looked for, each with its image folders.
_RUN_LENGTH_CSV, _BITMAP_FOLDER, _LABEL_CSV = "train.csv", "ann", "labels.csv"
_IMAGE_FOLDERS = {
    _RUN_LENGTH_CSV: ("train_images",),
    _BITMAP_FOLDER: ("train_images", "img"),
    _LABEL_CSV: ("train_images", "images"),
}


class Masks(Protocol):
    """Masks of the images of a table, decoded when they are asked for."""

    def __getitem__(self, index: int) -> np.ndarray:
        """Masks of the image at `index`, uint8 (C, H, W)."""
        ...


class ChosenMasks:
    """The masks of some images of a table."""

    def __init__(self, masks: Masks, indices: Sequence[int]) -> None:
        self._masks = masks
        self._indices = indices

    def __getitem__(self, index: int) -> np.ndarray:
        return self._masks[self._indices[index]]


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Images sorted by id, their multi-hot labels (N, C) and, where the source has any, masks."""

    image_paths: tuple[Path, ...]
    image_ids: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    masks: Masks | None
    source: str
    skipped: tuple[SkippedImage, ...] = ()

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def class_counts(self) -> np.ndarray:
        """Images per class, int64 (C,)."""
        return self.labels.sum(axis=0, dtype=np.int64)

    def label_set(self, index: int) -> tuple[str, ...]:
        """The classes that the image at `index` shows."""
        shown = zip(self.class_names, self.labels[index], strict=True)
        return tuple(name for name, label in shown if label)

    def fingerprint(self) -> str:
        """SHA-256 over ids, labels and file sizes: the same for the same data, wherever it is."""
        digest = hashlib.sha256()
        rows = self.labels.tolist()
        for path, image_id, row in zip(self.image_paths, self.image_ids, rows, strict=True):
            try:
                num_bytes = path.stat().st_size
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be read ({error.strerror}); it was there when the data were "
                    "checked: put it back"
                ) from None
            digest.update(f"{image_id}\0{row}\0{num_bytes}\n".encode())
        return digest.hexdigest()

    def without(self, reasons: Mapping[int, str]) -> "LabelTable":
        """The table without the images at these positions, which `skipped` lists with reasons."""
        kept = [index for index in range(len(self)) if index not in reasons]
        labels = self.labels[kept]
        labels.flags.writeable = False
        return replace(
            self,
            image_paths=tuple(self.image_paths[index] for index in kept),
            image_ids=tuple(self.image_ids[index] for index in kept),
            labels=labels,
            masks=None if self.masks is None else ChosenMasks(self.masks, kept),
            skipped=tuple(SkippedImage(self.image_ids[i], reasons[i]) for i in sorted(reasons)),
        )


def read_label_table(
    root: Path | str,
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] = (256, 1600),
    on_bad_image: Literal["error", "skip"] = "error",
) -> LabelTable:
    """Read the data set in `root`, whichever of its layouts is there, and check all of it.

    Looked for in this order, so that the masks of the original table win:
    `train.csv` with `train_images/`; `ann/` with `train_images/` or `img/`; `labels.csv` with
    `train_images/` or `images/`. What comes later in the order is not read, save that a
    `labels.csv` of the same images and classes must agree with the masks.

    With `on_bad_image="skip"` every image is decoded, and those that cannot be, or have another
    size, are left out of the table and listed in its `skipped`. Their labels are checked all the
    same.

    Raises:
        InputError: nothing there, any row, annotation or image header that is wrong, or labels
            that contradict the masks.
    """
    root = Path(root)
    source, *others = find_sources(root)
    if others:
        _log.info("%s: reading %s; not trained on: %s", root, source, ", ".join(others))
    table = read_labels(root, source, class_names, image_size)
    if _LABEL_CSV in others:
        _check_label_csv(root, table, image_size)
    if on_bad_image == "skip":
        return _without_bad_images(table, image_size)
    for path in table.image_paths:
        check_header(path, image_size)
    return table


def images_of(root: Path, source: str, mistakes: Mistakes = FIRST_ENDS) -> tuple[Path, ...]:
    """The images that a source in `root` labels.

    Raises:
        InputError: no image folder, no image in it, or a name that cannot stand in a table.
    """
    return list_images(find_image_folder(root, _IMAGE_FOLDERS[source], source), mistakes)


def read_labels(
    root: Path,
    source: str,
    class_names: Sequence[str] | None,
    image_size: tuple[int, int],
    mistakes: Mistakes = FIRST_ENDS,
) -> LabelTable:
    """The table of one of the sources in `root`; its images are not looked into.

    Raises:
        InputError: a mistake that `mistakes` does not take.
    """
    names = None if class_names is None else check_class_names(class_names, "data.class_names")
    paths = images_of(root, source, mistakes)
    image_ids = tuple(path.name for path in paths)
    masks: Masks | None = None
    if source == _RUN_LENGTH_CSV:
        labels, names, masks = read_kaggle_csv(
            root / source, image_ids, names, image_size, mistakes
        )
    elif source == _BITMAP_FOLDER:
        labels, names, masks = read_bitmap_json(
            root / source, image_ids, names, image_size, mistakes
        )
    else:
        labels, names = read_label_csv(root / source, image_ids, names, mistakes)
    labels.flags.writeable = False
    return LabelTable(paths, image_ids, labels, names, masks, source)


def _check_label_csv(root: Path, table: LabelTable, image_size: tuple[int, int]) -> None:
    """Hold the table against labels.csv: of the other sources the one that is read in no time."""
    try:
        other = read_labels(root, _LABEL_CSV, table.class_names, image_size)
        if other.image_ids != table.image_ids:
            raise InputError(f"{root / _LABEL_CSV}: labels other images than {table.source}")
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


def _without_bad_images(table: LabelTable, image_size: tuple[int, int]) -> LabelTable:
    reasons = find_bad_images(table.image_paths, image_size)
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


def find_sources(root: Path) -> list[str]:
    """The label sources in `root`; the first one is read.

    Raises:
        InputError: there is none.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"data.root={root} is a file; expected the folder of a data set")
    found = [name for name in _IMAGE_FOLDERS if (root / name).exists()]
    if found:
        return found
    state = "holds no data set" if root.is_dir() else "does not exist"
    raise InputError(
        f"data.root={root} {state}: looked for train.csv with train_images/, ann/ with one JSON "
        "per image, and labels.csv with one 0/1 column per class; get the strips from the Kaggle "
        "competition severstal-steel-defect-detection (kaggle competitions download -c "
        "severstal-steel-defect-detection) and unpack them there, or try without them: "
        "experiment=quickstart"
    )

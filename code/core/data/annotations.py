"""The label table: which images there are, and which defect classes each of them shows."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from core.data.bitmap_json import read_bitmap_json
from core.data.image_folder import find_image_folder, list_images
from core.data.images import check_header
from core.data.kaggle_csv import read_kaggle_csv
from core.data.label_csv import read_label_csv
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


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Images sorted by id, their multi-hot labels (N, C) and, where the source has any, masks."""

    image_paths: tuple[Path, ...]
    image_ids: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    masks: Masks | None
    source: str

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def class_counts(self) -> np.ndarray:
        """Images per class, int64 (C,)."""
        return self.labels.sum(axis=0, dtype=np.int64)

    def fingerprint(self) -> str:
        """SHA-256 over ids, labels and file sizes: the same for the same data, wherever it is."""
        digest = hashlib.sha256()
        rows = self.labels.tolist()
        for path, image_id, row in zip(self.image_paths, self.image_ids, rows, strict=True):
            digest.update(f"{image_id}\0{row}\0{path.stat().st_size}\n".encode())
        return digest.hexdigest()


def read_label_table(
    root: Path | str,
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] = (256, 1600),
) -> LabelTable:
    """Read the data set in `root`, whichever of its layouts is there, and check all of it.

    Looked for in this order, so that the masks of the original table win:
    `train.csv` with `train_images/`; `ann/` with `train_images/` or `img/`; `labels.csv` with
    `train_images/` or `images/`. What comes later in the order is not read.

    Raises:
        InputError: nothing there, or any row, annotation or image header that is wrong.
    """
    root = Path(root)
    source = _find_source(root)
    names = None if class_names is None else check_class_names(class_names, "data.class_names")
    paths = list_images(find_image_folder(root, _IMAGE_FOLDERS[source], source))
    image_ids = tuple(path.name for path in paths)
    masks: Masks | None = None
    if source == _RUN_LENGTH_CSV:
        labels, names, masks = read_kaggle_csv(root / source, image_ids, names, image_size)
    elif source == _BITMAP_FOLDER:
        labels, names, masks = read_bitmap_json(root / source, image_ids, names, image_size)
    else:
        labels, names = read_label_csv(root / source, image_ids, names)
    labels.flags.writeable = False
    for path in paths:
        check_header(path, image_size)
    return LabelTable(paths, image_ids, labels, names, masks, source)


def _find_source(root: Path) -> str:
    if root.exists() and not root.is_dir():
        raise InputError(f"data.root={root} is a file; expected the folder of a data set")
    found = [name for name in _IMAGE_FOLDERS if (root / name).exists()]
    if found:
        if found[1:]:
            _log.info("%s: reading %s; not read: %s", root, found[0], ", ".join(found[1:]))
        return found[0]
    state = "holds no data set" if root.is_dir() else "does not exist"
    raise InputError(
        f"data.root={root} {state}: looked for train.csv with train_images/, ann/ with one JSON "
        "per image, and labels.csv with one 0/1 column per class; get the strips from the Kaggle "
        "competition severstal-steel-defect-detection (kaggle competitions download -c "
        "severstal-steel-defect-detection) and unpack them there, or try without them: "
        "experiment=quickstart"
    )

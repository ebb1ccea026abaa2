"""The data set behind strips: its labels and true masks, read in a child process."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.data.annotations import read_labels, read_other_labels
from core.data.label_agreement import agreed
from core.data.label_table import LabelTable
from core.data.model_labels import names_to_read
from core.data.sources import find_sources, sources_in
from core.data.trained_labels import as_trained_on, decided_since
from core.errors import InputError
from core.experiments.reading import RESULTS_FILE, Experiment, read_begun
from core.files.image_folders import LABEL_CSV
from core.files.resizing import MOST_PIXELS, Resize
from core.review.overlay import read_corrections
from core.workbench.strip_images import painted

# Images of any size are listed, each with masks of its own size. Of labels without masks no size is
# needed, which would take a look into every image.
_SIZE = (256, 1600)
_MOST_PROBLEMS = 5
Table = tuple[LabelTable, Sequence[str]]
"""The labels of a data set, whatever its images are, and what is wrong with its rows."""


def data_stamp(root: Path, corrections: str | None = None) -> tuple[Any, ...]:
    """Changes where an image or a label file of a data set is added, removed or replaced.

    And where other labels are decided in the `corrections` that an experiment trained on.
    """
    files = [root / name for name in (*sources_in(root), "train_images", "images", "img")]
    if corrections is not None:
        files.append(Path(corrections))
    found = []
    for file in files:
        with suppress(OSError):
            status = file.stat()
            found.append((file, status.st_mtime_ns, status.st_size))
    return tuple(found)


def corrections_of(experiment: Experiment) -> str | None:
    """The decided labels that it trained on: a store of a review, or a table."""
    return experiment.config.get("data.corrections")


def table_in(root: Path) -> Table:
    """The table of a data set with its own classes. Raises InputError where it cannot be read."""
    return _table(root, None, None, data_stamp(root))


def table_of(path: Path, data_root: Path | None) -> Table:
    """The table that an experiment trained on, with its classes. Raises InputError likewise."""
    experiment = read_begun(path)
    root = root_of(experiment, data_root)
    stamp = data_stamp(root, corrections_of(experiment))
    return _trained_table(path, root, ((path / RESULTS_FILE).stat().st_mtime_ns, stamp))


def root_of(experiment: Experiment, data_root: Path | None) -> Path:
    """Where the experiment read its strips or, where that folder is gone, `data_root`."""
    root = _recorded_root(experiment)
    return root if root.is_dir() or data_root is None else data_root


def _recorded_root(experiment: Experiment) -> Path:
    return Path(str(experiment.look_up("data", "root")))


def true_masks(experiment: Path | None, data_root: Path | None, image_id: str) -> np.ndarray | None:
    """Masks uint8 (classes, height, width) of the image as it is stored; None: not known.

    Raises InputError where the data set cannot be read.
    """
    if experiment is None:
        table, _ = table_in(data_root)
    else:
        table, _ = table_of(experiment, data_root)
    if table.masks is None or image_id not in table.image_ids:
        return None
    row = table.image_ids.index(image_id)
    height, width = table.masks.stored_sizes[row]
    # An image that cannot be read has an endless size.
    if row in table.masks.missing or height * width > MOST_PIXELS:
        return None
    return table.masks.stored(row)


@dataclass(frozen=True)
class MaskPicture:
    """A true mask as a PNG; `middle` is that of its largest part, as column and row."""

    content: bytes
    middle: tuple[int, int]


def mask_pictures(
    experiment: Path | None, data_root: Path | None, image_id: str
) -> dict[int, MaskPicture] | None:
    """Each true mask that is not empty, by the number of its class; None: not known."""
    masks = true_masks(experiment, data_root, image_id)
    if masks is None:
        return None
    return {
        c: MaskPicture(painted(mask, c), _middle(mask))
        for c, mask in enumerate(masks)
        if mask.any()
    }


def _middle(mask: np.ndarray) -> tuple[int, int]:
    _, _, stats, middles = cv2.connectedComponentsWithStats((mask != 0).astype(np.uint8))
    largest = 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    column, row = middles[largest].astype(int).tolist()
    return column, row


@lru_cache(2)
def _trained_table(path: Path, root: Path, stamp: Any) -> Table:
    experiment = read_begun(path)
    names, source = tuple(experiment.class_names), experiment.look_up("data", "source")
    table, problems = _table(root, names, source, data_stamp(root))
    is_moved = root != _recorded_root(experiment)
    table = as_trained_on(table, experiment.results, read_corrections, is_moved)
    change = decided_since(table, experiment.results)
    return table, [*problems, change] if change else problems


@lru_cache(2)
def _table(
    root: Path, class_names: tuple[str, ...] | None, trained_on: str | None, stamp: Any
) -> Table:
    source, *others = find_sources(root)
    given = None if class_names is None else names_to_read(root, class_names, trained_on)
    errors: list[InputError] = []
    size = _SIZE if source == LABEL_CSV else Resize(_SIZE)
    table = read_labels(root, source, given, size, errors)
    if LABEL_CSV in others:
        with suppress(InputError):  # they contradict each other: validate_data.py says how
            other = read_other_labels(root, LABEL_CSV, table, _SIZE, errors)
            table = agreed(table, other, "ignore")
    problems = [str(error) for error in errors[:_MOST_PROBLEMS]]
    if len(errors) > _MOST_PROBLEMS:
        more = len(errors) - _MOST_PROBLEMS
        problems.append(f"... and {more} more: code/validate_data.py lists them")
    if class_names is not None:
        table = table.reorder_classes(class_names)
    return table, problems

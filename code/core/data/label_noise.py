"""Labels flipped on purpose, to rehearse the search for label errors."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.annotations import LabelTable
from core.files.tables import write_table

_HEADER = ["image_id", "class_name", "label", "flipped_to"]


def choose_flips(
    num_images: int, num_classes: int, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of one label in each of `share` of the images, drawn alike.

    A pure function of its arguments. Shape: both int64 (round(share * num_images),).
    """
    generator = np.random.default_rng(seed)
    rows = generator.permutation(num_images)[: round(share * num_images)]
    return rows, generator.integers(num_classes, size=len(rows))


def flip_labels(table: LabelTable, share: float, seed: int) -> LabelTable:
    """The table with one label wrong in each of `share` of its images; masks stay as they are."""
    if not share:
        return table
    labels = table.labels.copy()
    labels[choose_flips(*labels.shape, share, seed)] ^= 1
    labels.flags.writeable = False
    return replace(table, labels=labels)


def write_flips(path: Path, table: LabelTable, share: float, seed: int) -> None:
    """Write which labels of a table that `flip_labels` returned are wrong, by image."""
    flips = sorted(zip(*choose_flips(*table.labels.shape, share, seed), strict=True))
    rows = []
    for row, column in flips:
        flipped = int(table.labels[row, column])
        rows.append((table.image_ids[row], table.class_names[column], 1 - flipped, flipped))
    write_table(path, _HEADER, rows)

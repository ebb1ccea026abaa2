"""Supervision made weaker on purpose: labels that are flipped, masks that are left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.label_table import LabelTable
from core.files.tables import write_table

_HEADER = ["image_id", "class_name", "label", "flipped_to"]


def choose_flips(
    num_images: int, num_classes: int, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of one label in each of `share` of the images, all equally likely.

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
    """Write the wrong labels of a table that `flip_labels` returned, in the order of its images."""
    rows = []
    for row, column in sorted(zip(*choose_flips(*table.labels.shape, share, seed), strict=True)):
        flipped = int(table.labels[row, column])
        rows.append((table.image_ids[row], table.class_names[column], 1 - flipped, flipped))
    write_table(path, _HEADER, rows)


def choose_known_masks(
    labels: np.ndarray, indices: np.ndarray, share: float, seed: int
) -> np.ndarray:
    """Which of the images at `indices` have their masks used, if only a share of them may be.

    Images are grouped by their rarest label, clean ones apart, and the share holds in each group
    except for rounding: a share of all images would often miss a rare class. With the same seed a
    larger share contains a smaller one.

    Shape: labels (num_images, C) -> bool (num_images,), round(share * len(indices)) of them true
    """
    order = np.random.default_rng(seed).permutation(indices)
    shown = labels[order] > 0
    rarity = shown.sum(axis=0).argsort().argsort()
    clean = len(rarity)
    strata = np.where(shown, rarity, clean).min(axis=1, initial=clean)
    position = np.empty(len(order))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    known = np.zeros(len(labels), bool)
    known[order[np.argsort(position, kind="stable")][: round(share * len(indices))]] = True
    return known

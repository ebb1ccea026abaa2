"""Supervision made weaker on purpose: labels that are flipped, masks that are left out."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from core.data.label_table import LabelTable
from core.errors import InputError
from core.files.tables import write_table

NoiseKind = Literal["uniform", "missing", "borderline"]

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


def flip_labels(
    table: LabelTable, share: float, seed: int, kind: NoiseKind = "uniform"
) -> LabelTable:
    """The table with one label wrong in each of `share` of its images; masks stay as they are.

    `uniform` flips any label. `missing` drops one that the image shows. `borderline` drops those
    with the smallest masks of their class, the likeliest to be overlooked. `flips` of the table
    says which labels are wrong.

    Raises:
        InputError: too few images show a class or, for `borderline`, have masks.
    """
    if not share:
        return table
    if kind == "uniform":
        rows, columns = choose_flips(*table.labels.shape, share, seed)
    else:
        rows, columns = _choose_dropped(table, share, seed, kind)
    labels = table.labels.copy()
    labels[rows, columns] ^= 1
    labels.flags.writeable = False
    wrong = sorted(zip(rows.tolist(), columns.tolist(), strict=True))
    flips = tuple((row, column, int(labels[row, column])) for row, column in wrong)
    return replace(table, labels=labels, flips=flips)


def _choose_dropped(
    table: LabelTable, share: float, seed: int, kind: NoiseKind
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of one label that is shown in each of `share` of the images."""
    shown = np.argwhere(table.labels)
    # Of equal masks, and of the labels of an image, the first is taken.
    shown = np.random.default_rng(seed).permutation(shown)
    if kind == "borderline":
        shown = _smallest_first(table, shown)
    _, first = np.unique(shown[:, 0], return_index=True)
    number = round(share * len(table))
    if len(first) < number:
        what = "show a class" if kind == "missing" else "have masks of what they show"
        raise InputError(
            f"data.label_noise={share}: {number} images would lose a label, and {len(first)} of "
            f"the {len(table)} images of {table.source} {what}, as data.label_noise_kind={kind} "
            "needs: give a smaller share"
        )
    rows, columns = shown[np.sort(first)[:number]].T
    return rows, columns


def _smallest_first(table: LabelTable, shown: np.ndarray) -> np.ndarray:
    """The labels with masks, by the rank of the mask's area among those of its class.

    Shape: (labels, 2) of rows and columns
    """
    known = table.has_masks()
    shown = shown[known[shown[:, 0]]]
    areas = np.zeros(table.labels.shape)
    for row in np.unique(shown[:, 0]).tolist():
        areas[row] = table.masks.stored(row).mean(axis=(1, 2))
    rank = np.empty(len(shown))
    for column in range(len(table.class_names)):
        members = np.flatnonzero(shown[:, 1] == column)
        order = np.argsort(areas[shown[members, 0], column], kind="stable")
        rank[members[order]] = (np.arange(len(members)) + 0.5) / max(1, len(members))
    return shown[np.argsort(rank, kind="stable")]


def write_flips(path: Path, table: LabelTable) -> None:
    """Write the wrong labels of a table that `flip_labels` returned, in the order of its images."""
    rows = [
        (table.image_ids[row], table.class_names[column], 1 - flipped, flipped)
        for row, column, flipped in table.flips
    ]
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

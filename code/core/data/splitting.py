"""The split of a label table into training, validation and test parts, and into folds."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.data.label_table import LabelTable
from core.data.split_checks import check_groups, check_units, parse_strategy
from core.data.split_file import PARTS, Split, part_by_image, read_split
from core.data.stratification import stratify
from core.errors import InputError

_log = logging.getLogger(__name__)


class StratifiedSplitter:
    """Splits a multi-hot label matrix so that each class is spread by its share.

    Each class's count comes within one image of its share, that of clean images and the size of
    each part within about 1.3, but first every part gets an image of each rare class. Large groups,
    or few images with many labels each, can prevent that. The split depends on `random_state`,
    labels and groups only.
    """

    def __init__(self, random_state: int = 42) -> None:
        self.random_state = random_state

    def split(
        self,
        labels: np.ndarray,
        split_ratios: Sequence[float] = (0.7, 0.15, 0.15),
        class_names: Sequence[str] | None = None,
        groups: np.ndarray | None = None,
    ) -> tuple[np.ndarray, ...]:
        """One sorted index array per ratio, disjoint, together all images.

        Images of one group, such as near-duplicates, stay together.

        Shape: labels (N, C) of 0 and 1; groups (N,) of group numbers.

        Raises:
            InputError: labels that are not such a matrix, ratios that are not positive or do not
                sum to 1, or a class with fewer images, or groups, than there are parts, by name.
        """
        ratios = np.asarray(split_ratios, float)
        if ratios.ndim != 1 or not (ratios > 0).all() or not np.isclose(ratios.sum(), 1.0):
            raise InputError(
                f"split_ratios={tuple(split_ratios)}; expected positive shares that sum to 1, "
                "such as (0.7, 0.15, 0.15)"
            )
        labels, groups = check_units(labels, groups, len(ratios), "part", class_names)
        parts = stratify(labels, ratios, np.random.default_rng(self.random_state), groups)
        return tuple(np.flatnonzero(parts == part) for part in range(len(ratios)))


def stratified_folds(
    labels: np.ndarray,
    num_folds: int,
    random_state: int,
    groups: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Fold number of each image, from 0, with each class spread evenly and each group in one fold.

    Shape: labels (N, C) of 0 and 1, groups (N,) of group numbers; returns (N,).

    Raises:
        InputError: labels or groups of another shape, fewer than 2 folds, or a class with fewer
            images, or groups, than folds, by name.
    """
    if num_folds < 2:
        raise InputError(f"{num_folds} folds; expected at least 2, such as 5")
    labels, groups = check_units(labels, groups, num_folds, "fold", class_names)
    ratios = np.full(num_folds, 1 / num_folds)
    return stratify(labels, ratios, np.random.default_rng(random_state), groups)


def split_by_strategy(
    table: LabelTable,
    strategy: str,
    seed: int,
    split_file: Path | str | None = None,
    groups: np.ndarray | None = None,
) -> Split:
    """The split that `data.split_strategy` names: a stratified one, or the one in `split_file`.

    A stratified split keeps each group in one part; a file that does not is used with a warning.
    Shape: groups (N,) of group numbers.

    Raises:
        InputError: an unknown strategy, a split file that is missing, wrong or unused, or a class
            with too few images.
    """
    ratios = parse_strategy(strategy)
    if ratios is None:
        if split_file is None:
            raise InputError(
                "data.split_strategy=file: data.split_file is missing; expected a CSV with the "
                "columns image_id,split: give data.split_file=FILE, such as a run's split.csv"
            )
        split = read_split(Path(split_file), table)
        _warn_of_absent_classes(table, split)
        if groups is not None:
            _warn_of_straddling_groups(table, split, check_groups(groups, len(table)))
        return split
    if split_file is not None:
        raise InputError(
            f"data.split_file={split_file} is not read with data.split_strategy={strategy}: "
            "set data.split_strategy=file, or leave data.split_file out"
        )
    splitter = StratifiedSplitter(random_state=seed)
    indices = splitter.split(table.labels, ratios, table.class_names, groups)
    split = dict(zip(PARTS, indices, strict=True))
    _warn_of_absent_classes(table, split)
    _tell_deviation(table, split, ratios)
    return split


def _warn_of_absent_classes(table: LabelTable, split: Split) -> None:
    for part, indices in split.items():
        for name, count in zip(table.class_names, table.labels[indices].sum(axis=0), strict=True):
            if count == 0:
                _log.warning("No image of %s in part %s: its figures are undefined", name, part)


def _tell_deviation(table: LabelTable, split: Split, ratios: Sequence[float]) -> None:
    """Log the count of a class that is furthest from its share, if by more than one image."""
    shares = np.outer(ratios, table.labels.sum(axis=0))
    counts = np.array([table.labels[indices].sum(axis=0) for indices in split.values()])
    part, column = np.unravel_index(np.abs(counts - shares).argmax(), shares.shape)
    if abs(counts[part, column] - shares[part, column]) > 1:
        _log.info(
            "Part %s has %d images of %s, and its share is %.1f: no split closer to all shares was "
            "found, with each class in each part and near-duplicates kept together",
            list(split)[part],
            counts[part, column],
            table.class_names[column],
            shares[part, column],
        )


def straddling_groups(split: Split, groups: np.ndarray) -> list[dict[str, int]]:
    """Of each group in more than one part, its first image in each of them.

    Shape: groups (N,) of group numbers.
    """
    part_of = part_by_image(split)
    firsts: dict[int, dict[str, int]] = {}
    for index, group in enumerate(groups.tolist()):
        firsts.setdefault(group, {}).setdefault(part_of[index], index)
    return [parts for parts in firsts.values() if len(parts) > 1]


def _warn_of_straddling_groups(table: LabelTable, split: Split, groups: np.ndarray) -> None:
    if straddling := straddling_groups(split, groups):
        images = [f"{table.image_ids[index]} ({part})" for part, index in straddling[0].items()]
        _log.warning(
            "%d groups of near-duplicates straddle the parts of the split file, such as %s: test "
            "figures may be too good",
            len(straddling),
            " and ".join(images),
        )

"""Folds for cross-validation: every image is held out once."""

from collections.abc import Sequence

import numpy as np

from core.data.split_checks import check_class_units, check_groups, check_labels
from core.data.stratification import stratify
from core.errors import InputError


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
    labels = check_labels(labels)
    groups = check_groups(groups, len(labels))
    if num_folds < 2:
        raise InputError(f"{num_folds} folds; expected at least 2, such as 5")
    check_class_units(labels, groups, num_folds, "fold", class_names)
    ratios = np.full(num_folds, 1 / num_folds)
    return stratify(labels, ratios, np.random.default_rng(random_state), groups)

"""Checks of a split strategy, of labels and of groups, for splits into parts and into folds."""

import re
from collections.abc import Sequence

import numpy as np

from core.errors import InputError

_STRATIFIED = re.compile(r"stratified_(\d{1,2})_(\d{1,2})_(\d{1,2})", re.ASCII)


def parse_strategy(strategy: str) -> tuple[float, float, float] | None:
    """The shares of the parts in a name such as `stratified_70_15_15`; None for `file`.

    Raises:
        InputError: neither, or percentages that are not positive or do not sum to 100.
    """
    if strategy == "file":
        return None
    match = _STRATIFIED.fullmatch(strategy)
    percentages = [int(digits) for digits in match.groups()] if match else []
    if sum(percentages) != 100 or 0 in percentages:
        raise InputError(
            "expected file, or stratified_ and the percentages of training, validation and test, "
            f"which sum to 100, such as stratified_70_15_15, instead of {strategy!r}"
        )
    train, validation, test = (percentage / 100 for percentage in percentages)
    return train, validation, test


def check_groups(groups: np.ndarray | None, num_images: int) -> np.ndarray | None:
    """The group numbers as an array. Raises InputError if they are not one integer per image."""
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (num_images,) or not np.issubdtype(groups.dtype, np.integer):
        raise InputError(
            f"groups of shape {groups.shape}, type {groups.dtype}; expected one whole number for "
            f"each of {num_images} images"
        )
    return groups


def check_units(
    labels: np.ndarray,
    groups: np.ndarray | None,
    num_subsets: int,
    subset: str,
    class_names: Sequence[str] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels and groups as arrays, if every subset (a part or a fold) can get each class.

    Raises:
        InputError: labels that are not a matrix of 0 and 1; groups as for `check_groups`; fewer
            images, or groups, than subsets, in all or of a class, by name.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.isin(labels, (0, 1)).all():
        raise InputError(
            f"labels of shape {labels.shape}, type {labels.dtype}; expected a matrix "
            "(images, classes) of 0 and 1"
        )
    groups = check_groups(groups, len(labels))
    if len(labels) < num_subsets:
        raise InputError(
            f"{len(labels)} images to split; expected at least {num_subsets}, one for each "
            f"{subset}: add some"
        )
    names = class_names or [f"class {number}" for number in range(1, labels.shape[1] + 1)]
    everything, shown = np.ones(len(labels), bool), labels.T.astype(bool)
    for name, images in zip(["the data set", *names], [everything, *shown], strict=True):
        num_images = int(images.sum())
        num_units = num_images if groups is None else len(np.unique(groups[images]))
        if num_units < num_subsets:
            raise InputError(_too_few(name, num_images, num_units, num_subsets, subset))
    return labels, groups


def _too_few(name: str, num_images: int, num_units: int, num_subsets: int, subset: str) -> str:
    count = f"{num_images} image{'' if num_images == 1 else 's'}"
    if num_units < num_images:
        count += f" in {num_units} group{'' if num_units == 1 else 's'} of near-duplicates"
    remedy = (
        "set training.folds lower"
        if subset == "fold"
        else "give a split of your own with data.split_strategy=file data.split_file=FILE"
    )
    if num_units < num_images:
        remedy += (
            ", or, if strips of one fixed camera only share their background, set "
            "data.group_duplicates=false"
        )
    return (
        f"cannot split: {name} has {count}; expected at least {num_subsets}, one for each "
        f"{subset}: add images that show it, or {remedy}"
    )

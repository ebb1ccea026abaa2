"""Checks that a split into parts and one into folds make of strategy, labels and groups."""

import re
from collections.abc import Sequence

import numpy as np

from core.errors import InputError

_STRATIFIED = re.compile(r"stratified_(\d{1,2})_(\d{1,2})_(\d{1,2})", re.ASCII)


def parse_strategy(strategy: str) -> tuple[float, float, float] | None:
    """The shares of the parts that `stratified_70_15_15` and the like name; None for `file`.

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


def check_labels(labels: np.ndarray) -> np.ndarray:
    """The labels as an array.

    Raises:
        InputError: not a matrix of 0 and 1.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.isin(labels, (0, 1)).all():
        raise InputError(
            f"labels of shape {labels.shape}, type {labels.dtype}; expected a matrix "
            "(images, classes) of 0 and 1"
        )
    return labels


def check_groups(groups: np.ndarray | None, num_images: int) -> np.ndarray | None:
    """The group numbers as an array.

    Raises:
        InputError: not one whole number per image.
    """
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (num_images,) or not np.issubdtype(groups.dtype, np.integer):
        raise InputError(
            f"groups of shape {groups.shape}, type {groups.dtype}; expected one whole number for "
            f"each of {num_images} images"
        )
    return groups


def check_class_units(
    labels: np.ndarray,
    groups: np.ndarray | None,
    num_parts: int,
    part: str,
    class_names: Sequence[str] | None = None,
) -> None:
    """Check that each class can be shown in each part; `part` is what one of them is called.

    Raises:
        InputError: fewer images, or groups, than parts, altogether or of a class, by name.
    """
    if len(labels) < num_parts:
        raise InputError(
            f"{len(labels)} images to split; expected at least {num_parts}, one for each {part}: "
            "add some"
        )
    _check_unit_count("the data set", np.ones(len(labels), bool), groups, num_parts, part)
    names = class_names or [f"class {number}" for number in range(1, labels.shape[1] + 1)]
    for name, shown in zip(names, labels.T.astype(bool), strict=True):
        _check_unit_count(name, shown, groups, num_parts, part)


def _check_unit_count(
    name: str, shown: np.ndarray, groups: np.ndarray | None, num_parts: int, part: str
) -> None:
    num_images = int(shown.sum())
    num_units = num_images if groups is None else len(np.unique(groups[shown]))
    if num_units >= num_parts:
        return
    count = f"{num_images} image{'' if num_images == 1 else 's'}"
    if num_units < num_images:
        count += f" in {num_units} group{'' if num_units == 1 else 's'} of near-duplicates"
    remedy = (
        "set training.folds lower"
        if part == "fold"
        else "give a split of your own with data.split_strategy=file data.split_file=FILE"
    )
    raise InputError(
        f"cannot split: {name} has {count}; expected at least {num_parts}, one for each {part}: "
        f"add images that show it, or {remedy}"
    )

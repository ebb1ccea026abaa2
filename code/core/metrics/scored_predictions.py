"""Labels, probabilities and thresholds, checked: every figure is computed from them.

Without scikit-learn, whose import takes longer than listing a hundred experiments.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from core.errors import InputError

METRICS = ("precision", "recall", "f1", "average_precision", "auroc")
DEFAULT_THRESHOLD = 0.5

Thresholds = float | Mapping[str, float]
# Labels, probabilities, and which classes are predicted.
Decided = tuple[np.ndarray, np.ndarray, np.ndarray]


def check_predictions(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Labels as bool and probabilities as float64.

    Raises InputError for other shapes, labels that are not 0 or 1, probabilities outside [0, 1].
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    expected = f"(images, {len(class_names)}) for classes {', '.join(class_names)}"
    for name, array in (("labels", labels), ("probabilities", probabilities)):
        if array.ndim != 2 or array.shape[1] != len(class_names) or not array.size:
            raise InputError(f"{name} have shape {array.shape}; expected {expected}")
    if labels.shape != probabilities.shape:
        raise InputError(
            f"labels have shape {labels.shape} and probabilities {probabilities.shape}; "
            "expected one row of each per image"
        )
    _refuse_first(~np.isin(labels, (0, 1)), labels, "label", "0 or 1", class_names)
    outside = ~((probabilities >= 0) & (probabilities <= 1))
    _refuse_first(outside, probabilities, "probability", "a number in [0, 1]", class_names)
    return labels.astype(bool), probabilities


def decided(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], at: Thresholds
) -> Decided:
    """Labels and probabilities, checked, and which classes are predicted at these thresholds.

    Raises InputError as `check_predictions` does, and where a threshold is missing or NaN.
    """
    if isinstance(at, Mapping):
        missing = [name for name in class_names if name not in at]
        if missing:
            raise InputError(f"thresholds: none for class {missing[0]!r}; given: {', '.join(at)}")
        at = [at[name] for name in class_names]
    values = np.full(len(class_names), at, dtype=np.float64)
    if np.isnan(values).any():
        raise InputError(f"thresholds: {values.tolist()}; expected a number for every class")
    labels, probabilities = check_predictions(labels, probabilities, class_names)
    return labels, probabilities, probabilities >= values


def _refuse_first(
    wrong: np.ndarray, array: np.ndarray, what: str, expected: str, class_names: Sequence[str]
) -> None:
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{what} {array[row, column]!s} of class {class_names[column]!r} in row {row}: "
            f"expected {expected} ({int(wrong.sum())} such values)"
        )

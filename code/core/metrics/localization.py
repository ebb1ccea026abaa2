"""How well masks are found: Dice, intersection over union, and where the maximum is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class MaskScores(NamedTuple):
    """Scores of each image and class.

    `dice` of two empty masks is 1, as in the Severstal competition; `iou` is NaN there.
    `peak_inside`, 1.0 or 0.0, says whether the cell of the highest mask logit holds a pixel of the
    mask; NaN where the class has none. All are NaN for an image whose masks are not known.
    Shape: each (N, C) float64.
    """

    dice: np.ndarray
    iou: np.ndarray
    peak_inside: np.ndarray


def localization_figures(scores: MaskScores, class_names: Sequence[str]) -> dict[str, Any]:
    """Means over images, per class and macro over the classes where a figure is defined.

    Images whose masks are not known are left out.
    `dice`: over all images, where two empty masks count 1 (the competition's figure).
    `dice_with_defect` and `pointing_accuracy`: over the images that show the class.
    `iou`: over the images where the class is shown or predicted.
    """
    shown = ~np.isnan(scores.peak_inside)
    per_class = {}
    for c, name in enumerate(class_names):
        per_class[name] = {
            "dice": _mean(scores.dice[:, c]),
            "dice_with_defect": _mean(scores.dice[shown[:, c], c]),
            "iou": _mean(scores.iou[:, c]),
            "pointing_accuracy": _mean(scores.peak_inside[:, c]),
        }
    macro = {
        figure: _mean(np.array([row[figure] for row in per_class.values()], dtype=float))
        for figure in next(iter(per_class.values()))
    }
    for row, count in zip(per_class.values(), shown.sum(axis=0).tolist(), strict=True):
        row["num_with_mask"] = count
    num_images = int((~np.isnan(scores.dice)).any(axis=1).sum())
    return {"num_images": num_images, "macro": macro, "per_class": per_class}


def _mean(values: np.ndarray) -> float | None:
    """Over the values that are defined; None where none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None

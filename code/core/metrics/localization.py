"""How well masks are found: Dice, intersection over union, and where the hottest pixel is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class MaskScores:
    """Scores of each image and class.

    `dice` of two empty masks is 1, as the Severstal competition scored it; `iou` is NaN there.
    `peak_inside`, 1.0 or 0.0, says whether the hottest cell of the mask logits holds a pixel of
    the mask; NaN where the class has none. Shape: each (N, C) float64.
    """

    dice: np.ndarray
    iou: np.ndarray
    peak_inside: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["MaskScores"]) -> "MaskScores":
        """The scores of all parts, one after another."""
        fields = ("dice", "iou", "peak_inside")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def localization_figures(scores: MaskScores, class_names: Sequence[str]) -> dict[str, Any]:
    """Means over images, per class and macro over the classes where a figure is defined.

    `dice`: over all images, empty against empty counting 1 (the competition's figure).
    `dice_with_defect` and `pointing_accuracy`: over the images that show the class.
    `iou`: over the images where the class is shown or predicted.
    """
    shown = ~np.isnan(scores.peak_inside)
    per_class = {}
    for c, name in enumerate(class_names):
        rows = shown[:, c]
        per_class[name] = {
            "dice": _mean(scores.dice[:, c]),
            "dice_with_defect": _mean(scores.dice[rows, c]),
            "iou": _mean(scores.iou[:, c]),
            "pointing_accuracy": _mean(scores.peak_inside[rows, c]),
            "num_with_mask": int(rows.sum()),
        }
    figures = [figure for figure in next(iter(per_class.values())) if figure != "num_with_mask"]
    macro = {figure: _macro([part[figure] for part in per_class.values()]) for figure in figures}
    return {"num_images": len(scores.dice), "macro": macro, "per_class": per_class}


def _mean(values: np.ndarray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def _macro(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None

"""How well masks are found: Dice, intersection over union, and where the hottest pixel is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


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


@torch.no_grad()
def score_masks(mask_logits: Tensor, masks: Tensor) -> MaskScores:
    """Compare the masks of a batch, at their own size, with logits at any size below it.

    A pixel is predicted where its logit, enlarged bilinearly, is above 0.

    Shape: mask_logits (batch, C, h, w), masks (batch, C, H, W) in {0, 1}.
    """
    truth = masks.to(mask_logits.device) > 0
    logits = mask_logits.float()
    enlarged = functional.interpolate(
        logits, size=truth.shape[-2:], mode="bilinear", align_corners=False
    )
    predicted = enlarged > 0
    both = (predicted & truth).sum((-2, -1), dtype=torch.float64)
    pixels = truth.sum((-2, -1), dtype=torch.float64)
    total = predicted.sum((-2, -1), dtype=torch.float64) + pixels
    dice = torch.where(total > 0, 2 * both / total, 1.0)
    # The cells that hold a pixel of the mask: a strip's smallest defects are a pixel wide.
    cells = functional.adaptive_max_pool2d(truth.float(), logits.shape[-2:])
    peak = logits.flatten(2).argmax(-1, keepdim=True)
    inside = cells.flatten(2).gather(-1, peak).squeeze(-1).double()
    inside = torch.where(pixels > 0, inside, torch.nan)
    # 0 / 0 is NaN: neither image nor prediction shows the class.
    return MaskScores(*(part.cpu().numpy() for part in (dice, both / (total - both), inside)))


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

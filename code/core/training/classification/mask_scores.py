"""Masks of a batch, scored on the device that predicted them."""

import torch
from torch import Tensor
from torch.nn import functional

from core.metrics.localization import MaskScores


@torch.no_grad()
def score_masks(mask_logits: Tensor, masks: Tensor) -> MaskScores:
    """Compare the masks of a batch, at full size, with mask logits of any smaller size.

    A pixel counts as predicted if its bilinearly enlarged logit is above 0.

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

"""A model's logits for the images of one part of the split."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import InputError
from core.machine.distributed import gathered_rows
from core.metrics.localization import MaskScores
from core.metrics.scaling import Scaling
from core.training.classification.objective import Objective, logits_of
from core.training.epoch_progress import named
from core.training.frozen_features import SHARD_SIZES, ByFeatures, output_of
from core.training.precision import FLOAT32, Precision


@dataclass(frozen=True)
class ModelOutputs:
    """Ids (N,), labels and logits (N, C) of a part of the split, in its own order.

    `groups` (N,) are group numbers where near-duplicates were found.
    With `scaling`, the probabilities that are reported are those after it.
    """

    image_ids: tuple[str, ...]
    labels: np.ndarray
    logits: np.ndarray
    loss: float
    mask_scores: MaskScores | None = None
    groups: np.ndarray | None = None
    scaling: Scaling | None = None

    @property
    def own_probabilities(self) -> np.ndarray:
        """Sigmoid of the logits in float64. Shape: (N, C)."""
        return torch.from_numpy(self.logits).double().sigmoid().numpy()

    @property
    def probabilities(self) -> np.ndarray:
        """The reported probabilities. Shape: (N, C)."""
        own = self.own_probabilities
        return own if self.scaling is None else self.scaling(own)


def with_groups(outputs: ModelOutputs, groups: Mapping[str, int]) -> ModelOutputs:
    """The outputs with the group of each image, by its id."""
    return replace(outputs, groups=np.array([groups[name] for name in outputs.image_ids]))


@torch.no_grad()
def predict(
    model: nn.Module,
    objective: Objective,
    batches: Iterable[dict[str, Any]],
    device: torch.device,
    precision: Precision = FLOAT32,
) -> ModelOutputs:
    """Outputs in evaluation mode for the images of a loader, whose masks are scored if it has any.

    Of a batch that several processes share, each computes its own images, and all get all outputs.
    """
    model.eval()
    objective.eval()
    image_ids: list[str] = []
    labels, logits, scores = [], [], []
    total = torch.zeros((), dtype=torch.float64, device=device)
    for batch in batches:
        with precision.autocast():
            output = output_of(ByFeatures(model), batch, device)
        if "masks" in batch:
            own = score_masks(output["mask_logits"].float(), batch["masks"])
            unknown = ~np.asarray(batch["has_masks"], bool)
            for figure in own:
                figure[unknown] = np.nan
            scores.append(_of_whole_batch(own, batch))
        output, batch = objective.whole_batch(output, batch)
        image_ids += batch["image_id"]
        total += objective(output, batch).double() * len(batch["image_id"])
        labels.append(batch["labels"].cpu())
        logits.append(logits_of(output).float().cpu())
    return ModelOutputs(
        tuple(image_ids),
        torch.cat(labels).numpy(),
        torch.cat(logits).numpy(),
        float(total) / len(image_ids),
        MaskScores(*map(np.concatenate, zip(*scores, strict=True))) if scores else None,
    )


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


def check_finite(outputs: ModelOutputs, epoch: int, learning_rate: float) -> None:
    """Raise InputError for outputs that are not finite: the last step spoiled the weights."""
    if math.isfinite(outputs.loss) and np.isfinite(outputs.logits).all():
        return
    spoilt = np.flatnonzero(~np.isfinite(outputs.logits).all(axis=1))
    images = [outputs.image_ids[index] for index in spoilt] or list(outputs.image_ids)
    raise InputError(
        f"epoch {epoch}, validation: the loss became {outputs.loss} (learning rate "
        f"{learning_rate:.6g}, images {named(images)}): give a lower training.learning_rate; the "
        "checkpoints hold what was reached before this epoch"
    )


def _of_whole_batch(scores: MaskScores, batch: dict[str, Any]) -> MaskScores:
    """The scores of all images of a batch that several processes share."""
    if SHARD_SIZES not in batch:
        return scores
    rows = torch.from_numpy(np.stack(scores, axis=1))
    return MaskScores(*gathered_rows(rows, batch[SHARD_SIZES]).numpy().swapaxes(0, 1))

"""The whole of a batch whose images several processes share, so that its loss is that of one.

Each process computes the model for its own images, and the loss of all of them: what the others
computed is gathered, a few numbers an image, and enters as a constant. So every loss, also one
that is no mean over images, every term and every learned weight is what one process would find.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from core.training.distributed import rank
from core.training.localization import MaskScores
from core.training.objective import Objective, Output, logits_of

Batch = Mapping[str, Any]

SHARES = "shares"
"""Key of a shared batch: how many of its images each process has, in their order."""


def whole_batch(output: Output, batch: Batch, objective: Objective) -> tuple[Output, Batch]:
    """Output and targets of all images of the batch, as far as the objective reads them.

    Gradients flow to the images of this process only. A batch that is not shared stays as it is.
    """
    sizes = batch.get(SHARES)
    if sizes is None:
        return output, batch
    logits = logits_of(output).float()
    targets = {"labels": batch["labels"].to(logits.device)}
    outputs = {"logits": logits}
    if objective.mask_loss is not None:
        outputs["mask_logits"] = output["mask_logits"].float()
        names = [name for name in ("mask_targets", "distance_maps") if name in batch]
        targets |= {name: batch[name].to(logits.device) for name in names}
        # On the CPU, where the objective looks at them without waiting for the device.
        targets["has_masks"] = torch.as_tensor(batch["has_masks"]).to(torch.uint8)
    whole = {name: _AllRows.apply(rows, sizes) for name, rows in outputs.items()}
    return whole, {**batch, **{name: _gather(rows, sizes) for name, rows in targets.items()}}


def whole_scores(scores: MaskScores, batch: Batch) -> MaskScores:
    """The scores of all images of the batch."""
    if SHARES not in batch:
        return scores
    rows = torch.from_numpy(np.stack([scores.dice, scores.iou, scores.peak_inside], axis=1))
    return MaskScores(*_gather(rows, batch[SHARES]).numpy().swapaxes(0, 1))


class _AllRows(torch.autograd.Function):
    """`_gather`, with the gradient of the own rows.

    DistributedDataParallel takes the mean over the processes of gradients that are to be summed
    here, hence their number as a factor.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        ctx.sizes = sizes
        return _gather(rows, sizes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        first = sum(ctx.sizes[: rank()])
        return gradient[first : first + ctx.sizes[rank()]] * len(ctx.sizes), None


def _gather(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """The rows of all processes, one after another; `sizes` are their numbers, near each other."""
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:number] for part, number in zip(parts, sizes, strict=True)])

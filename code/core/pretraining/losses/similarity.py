"""Which embeddings are alike, which should be, and which are hard to tell apart."""

import torch
from torch import Tensor
from torch.nn import functional as F

from core.pretraining.losses.base import at_least_float32


def similarities(first: Tensor, second: Tensor) -> Tensor:
    """Cosine of each row with each other row, float32 or better; an embedding of zeros has 0.

    Shape: (rows, dimensions), (columns, dimensions) -> (rows, columns)
    """
    first, second = (F.normalize(at_least_float32(each), dim=1) for each in (first, second))
    return first @ second.T


def positive_mask(rows: Tensor, columns: Tensor) -> Tensor:
    """Whether a row and a column have the same id. Shape: (rows,), (columns,) -> (rows, columns)"""
    return rows[:, None] == columns[None]


def hardest_negatives(similarity: Tensor, negatives: Tensor, percentile: float) -> Tensor:
    """Of each row's negatives those whose similarity is at the percentile or above.

    0 keeps all of them, and no percentile drops the hardest one. The choice has no gradient.
    Shape: (rows, columns) each, `negatives` bool -> bool (rows, columns)
    """
    if percentile == 0:
        return negatives
    values = similarity.detach().masked_fill(~negatives, torch.nan)
    limits = torch.nanquantile(values, percentile / 100, dim=1, keepdim=True)
    # Interpolation can round a limit up, beyond the hardest negative.
    hardest = values.nan_to_num(-torch.inf).amax(1, keepdim=True)
    return negatives & (values >= torch.minimum(limits, hardest))


def cross_entropy_of_positives(logits: Tensor, positives: Tensor, candidates: Tensor) -> Tensor:
    """Mean over the rows of -log softmax among the candidates, averaged over a row's positives.

    With one positive in each row it is the usual cross-entropy.
    Shape: (rows, columns) each, the last two bool; each row has a positive -> scalar
    Source: Khosla et al. 2020, "Supervised Contrastive Learning" (their L_out)
    """
    log_share = logits.masked_fill(~candidates, -torch.inf).log_softmax(1)
    return -(log_share.where(positives, 0).sum(1) / positives.sum(1)).mean()

"""Binary cross-entropy on logits."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from core.losses.base import BaseLoss, NonNegative, Reduction
from core.losses.elementwise import along_classes
from core.losses.registry import get_registry


@get_registry().register("bce_with_logits", tags=["image_labels", "masks", "log_likelihood"])
class BCEWithLogits(BaseLoss):
    """Binary cross-entropy: one yes-or-no question for each class.

    -(w_c t log p + (1 - t) log(1 - p)), p = sigmoid(logit), w_c = `pos_weight`: `balanced` is
    (N - n_c) / n_c, `sqrt` its root. `label_smoothing` s moves targets to t (1 - s) + s / 2.

    >>> round(BCEWithLogits()(torch.zeros(1, 4), torch.ones(1, 4)).item(), 6)  # log 2
    0.693147

    Shape: (batch, C, *spatial), targets in [0, 1].
    Source: the negative log-likelihood of independent Bernoulli labels (Cox, "The Regression
    Analysis of Binary Sequences", 1958); smoothing after Szegedy et al., "Rethinking the
    Inception Architecture for Computer Vision", 2016.
    """

    is_elementwise = True

    def __init__(
        self,
        pos_weight: Annotated[
            list[NonNegative] | Literal["balanced", "sqrt"] | None,
            Field(description="weight of the positives of each class, given or from their counts"),
        ] = None,
        label_smoothing: Annotated[
            float, Field(ge=0, lt=1, description="how far labels move towards 1/2; 0: not at all")
        ] = 0.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.label_smoothing = label_smoothing
        self.add_class_weight("pos_weight", pos_weight)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, targets = self.checked(logits, targets)
        pos_weight = self.class_weight_of("pos_weight", targets)
        if pos_weight is not None:
            pos_weight = along_classes(pos_weight, logits)
        if self.label_smoothing:
            targets = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=pos_weight, reduction=self.reduction
        )

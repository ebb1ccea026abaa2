"""The segmentation of painted defects, used as a detector of real ones."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from core.data.image_source import ImageSource
from core.data.mask_targets import max_pooled_batch
from core.errors import InputError
from core.models.mask_head import MASK_STRIDE
from core.novelty.detectors.learned import LearnedDetector
from core.novelty.detectors.registry import get_registry
from core.pretraining.encoder import build_encoder
from core.pretraining.methods import Method
from core.pretraining.methods import get_registry as methods
from core.pretraining.painted_pairs import PaintedPairs
from core.pretraining.views import PairOfViews
from core.training.progress import Criterion


class PaintedMaskLoss(nn.Module):
    """The loss of the masks of painted defects, that of the pretraining method."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: dict[str, Tensor], masks: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Shape: `mask_logits` (batch, 1, rows, columns), masks uint8 (batch, 1, height, width)"""
        loss = self.loss(output["mask_logits"].float(), max_pooled_batch(masks, MASK_STRIDE))
        # Layers after the last map have no part in the masks. With several processes every
        # parameter needs a gradient.
        return loss + 0 * output["logits"].float().sum(), {"mask_loss": loss}


@get_registry().register("synthetic_defects", tags=["learned"])
class SyntheticDefectsDetector(LearnedDetector):
    """A mask head that learned to find defects painted into clean strips.

    The map is the probability of a painted defect, at a stride of 4 pixels.

    Source: Zavrtanik et al. 2021, "DRAEM - A Discriminatively Trained Reconstruction Embedding for
    Surface Anomaly Detection"; Schlüter et al. 2022, "Natural Synthetic Anomalies for
    Self-Supervised Anomaly Detection and Localization"
    """

    stride = MASK_STRIDE
    criterion = Criterion("loss", "loss", larger_is_better=False)

    def __init__(
        self,
        model: Annotated[
            str, Field(description="name of the model whose backbone carries the mask head")
        ] = "resnet10_slim",
        pretrained: Annotated[bool, Field(description="start from ImageNet's weights")] = False,
        weights: Annotated[
            str | None, Field(description="start from this encoder.safetensors")
        ] = None,
        painting: Annotated[
            dict[str, Any] | None,
            Field(
                description="how defects are painted: keys of method.name=synthetic_defects, such "
                "as {clean: 0.3}"
            ),
        ] = None,
    ) -> None:
        super().__init__()
        self.values = {"name": model, "pretrained": pretrained, "weights": weights}
        self.painting = dict(painting or {})
        try:
            self._method()
        except InputError as error:
            raise InputError(f"detector.painting: {error}") from None

    def attach(self, channels: int, size: tuple[int, int]) -> None:
        self.network = build_encoder(self.values, size, mask_head=True)

    def rebuilt_by(self) -> dict[str, Any]:
        return {"pretrained": False, "weights": None}

    def create_loss(self) -> PaintedMaskLoss:
        return PaintedMaskLoss(self._method().loss)

    def pairs(self, views: PairOfViews, images: ImageSource, rows: np.ndarray) -> PaintedPairs:
        return self._method().pairs(views, images, rows)

    def distance_maps(self, images: Tensor) -> Tensor:
        return self.network(images)["mask_logits"].float().sigmoid().squeeze(1)

    def _method(self) -> Method:
        """Not kept: what it holds is no part of the trained detector."""
        return methods().instantiate("synthetic_defects", **self.painting)

"""Segmentation of painted defects."""

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from core.data.image_source import ImageSource
from core.data.mask_targets import max_pooled_batch
from core.errors import InputError
from core.losses.factory import get_loss
from core.models.mask_head import MASK_STRIDE
from core.pretraining.methods.base import Encode, Method
from core.pretraining.methods.registry import get_registry
from core.pretraining.painted_pairs import PaintedPairs
from core.pretraining.painting.painter import Painter
from core.pretraining.views import PairOfViews
from core.pretraining.watching import watch_masks

Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_LAST_LAYER = ("mask_head.classifier.", "mask_head.log_odds")


@get_registry().register("synthetic_defects", tags=["masks"])
class SyntheticDefects(Method):
    """Painted defects are found in strips, by a mask head on the encoder.

    A focal and half a Tversky loss of the masks, as `supervision=masks` has for true ones. The last
    layer of the mask head is always thrown away.

    Sources: Zavrtanik et al. 2021, "DRAEM - A Discriminatively Trained Reconstruction Embedding for
    Surface Anomaly Detection"; Li et al. 2021, "CutPaste: Self-Supervised Learning for Anomaly
    Detection and Localization"; Schlüter et al. 2022, "Natural Synthetic Anomalies for
    Self-Supervised Anomaly Detection and Localization"
    """

    mask_head = True
    told: ClassVar = {
        "pixel_average_precision": "pixel AP",
        "strip_average_precision": "strip AP",
        "painted_strip_share": "by chance",
    }
    collapse = "Painted defects are found no better than by chance"

    def __init__(
        self,
        cut_paste: Annotated[Share, Field(description="share of cuts and scars")] = 1.0,
        poisson_patches: Annotated[
            Share, Field(description="share of patches of other strips without a seam")
        ] = 1.0,
        perlin_texture: Annotated[
            Share, Field(description="share of changed texture in blots of Perlin noise")
        ] = 1.0,
        clean: Annotated[
            float, Field(ge=0, lt=1, description="share of strips that stay as they are")
        ] = 0.2,
        count: Annotated[
            tuple[int, int], Field(description="least and most defects of the other strips")
        ] = (1, 4),
        size: Annotated[
            tuple[float, float],
            Field(description="least and most length, as a share of the strip's shorter side"),
        ] = (0.012, 0.4),
        contrast: Annotated[
            tuple[float, float],
            Field(description="least and most change, in units of the noise of the steel"),
        ] = (1.5, 8.0),
        num_sources: Annotated[
            int, Field(ge=0, le=64, description="other strips that lend pieces to a strip")
        ] = 2,
        keep_head: Annotated[
            bool, Field(description="keep the mask head, without its last layer, in the encoder")
        ] = True,
    ) -> None:
        super().__init__()
        kinds = {
            "cut_paste": cut_paste,
            "poisson_patches": poisson_patches,
            "perlin_texture": perlin_texture,
        }
        try:
            self.painter = Painter(
                **kinds, clean=clean, count=tuple(count), size=tuple(size), contrast=tuple(contrast)
            )
        except InputError as error:
            raise InputError(f"method.{error}") from None
        self.num_sources = num_sources
        self.left_out = _LAST_LAYER if keep_head else ("mask_head.",)
        focal = {"type": "focal_loss", "alpha": 0.25, "reduction": "positives"}
        tversky = {"type": "tversky_loss", "alpha": 0.3, "beta": 0.7, "weight": 0.5}
        self.loss = get_loss({"type": "compound", "components": [focal, tversky]})

    def attach(self, encoder: nn.Module, num_features: int, num_classes: int = 0) -> None:
        """Nothing stands between the masks of the encoder and the loss."""
        return None

    def check_batch_size(self, batch_size: int) -> None:
        """Each strip has pixels enough to learn from alone."""
        return None

    def pairs(self, views: PairOfViews, images: ImageSource, rows: np.ndarray) -> PaintedPairs:
        return PaintedPairs(self.painter, views, images, rows, self.num_sources)

    def encode(self, encode: Encode, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """The mask logits of painted strips, and what they should be."""
        output = encode(first)
        # Layers after the last map have no part in the masks. With several processes every
        # parameter needs a gradient.
        logits = output["mask_logits"] + 0 * output["logits"].sum()
        return logits, max_pooled_batch(second, MASK_STRIDE)

    def forward(
        self, first: Tensor, second: Tensor, ids: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return self.loss(first, second), (first, second)

    def figures(self, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
        return watch_masks(first, second)

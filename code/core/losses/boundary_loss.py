"""Boundary loss, and the distance of each pixel from the border of a mask."""

import warnings
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from core.errors import InputError
from core.losses.base import BaseLoss, Reduction
from core.losses.elementwise import reduced
from core.losses.registry import get_registry
from core.validation import OnlyWith

Scale = Literal["clip", "diagonal", "none"]


@get_registry().register("boundary_loss", tags=["masks"])
class BoundaryLoss(BaseLoss):
    """Boundary loss: predicted pixels weighted by their distance from the mask's border.

    mean((p - t) phi), phi the signed distance map of the mask, negative inside: the further
    outside a false positive, or inside a false negative, the more it costs. Its gradient is that
    of the paper's mean(p phi), but it is never negative, and 0 for a perfect mask;
    `relative=false` is the paper's form. A class without pixels contributes nothing. Use it
    beside a loss of regions, with a weight that rises with the epochs (`weight_step` of
    `compound`).

    The loader computes phi by `distance_maps_of`; without it, each step computes it, slowly.

    Shape: (batch, C, *spatial) with at least one spatial axis, targets in {0, 1}.
    Units: `max_distance` in pixels.
    Source: Kervadec et al., "Boundary loss for highly unbalanced segmentation", 2019.
    """

    requires_masks = True
    uses_distance_maps = True
    # The paper's form is. Both forms are 0 on every batch without defects, which weighting by
    # uncertainty would read as certainty.
    may_be_negative = True

    def __init__(
        self,
        scale: Annotated[
            Scale, Field(description="how distances are scaled; clip: to max_distance")
        ] = "clip",
        max_distance: Annotated[
            float,
            Field(gt=0, allow_inf_nan=False, description="distance that counts most, in pixels"),
            OnlyWith(("scale",), ("clip",)),
        ] = 32.0,
        relative: Annotated[
            bool, Field(description="0 for a perfect mask; false: the form of the paper")
        ] = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.scale = scale
        self.max_distance = max_distance
        self.relative = relative
        self._warned = False

    def distance_maps_of(self, masks: NDArray[np.generic]) -> NDArray[np.float32]:
        """phi of one image's masks (C, *spatial), float32, for the loader."""
        return self._exact(masks).astype(np.float32)

    def forward(
        self, logits: Tensor, targets: Tensor, distance_maps: Tensor | None = None
    ) -> Tensor:
        logits, targets = self.checked(logits, targets)
        if logits.ndim < 3:
            raise InputError(
                f"loss {self.name()} needs masks (batch, classes, *spatial), found image labels "
                f"of shape {tuple(targets.shape)}: give data with masks, or choose another loss"
            )
        if distance_maps is None:
            distance_maps = self._distance_maps(targets)
        if distance_maps.shape != logits.shape:
            raise ValueError(
                f"distance_maps {tuple(distance_maps.shape)}: expected {tuple(logits.shape)}"
            )
        predicted = torch.sigmoid(logits)
        beyond = predicted - targets if self.relative else predicted
        return reduced(beyond * distance_maps.to(logits.dtype), self.reduction)

    @torch.compiler.disable
    def _distance_maps(self, targets: Tensor) -> Tensor:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"loss {self.name()} computes distance maps in each step, which is slow: compute "
                "them in the loader by distance_maps_of and pass distance_maps",
                stacklevel=3,
            )
        maps = [self._exact(masks) for masks in targets.detach().cpu().numpy()]
        return torch.from_numpy(np.stack(maps)).to(targets)

    def _exact(self, masks: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.stack(
            [scaled_distance_map(mask, self.scale, self.max_distance) for mask in masks]
        )


def signed_distance_map(mask: NDArray[np.generic]) -> NDArray[np.float64]:
    """Exact Euclidean distance to the border of one class's mask, negative inside.

    0 on the inner side of the border. A mask without pixels, or without background, has no
    border: all zeros. `mask` has spatial axes only.

    Units: pixels.
    Source: Kervadec et al., "Boundary loss for highly unbalanced segmentation", 2019.
    """
    inside = np.asarray(mask) > 0.5
    if not inside.any() or inside.all():
        return np.zeros(inside.shape)
    inward = distance_transform_edt(inside)
    return distance_transform_edt(~inside) - np.where(inside, inward - 1, 0)


def scaled_distance_map(
    mask: NDArray[np.generic], scale: Scale = "clip", max_distance: float = 32.0
) -> NDArray[np.float64]:
    """`signed_distance_map` within [-1, 1], so that its size does not depend on the image's.

    `clip` cuts distances off at `max_distance` and divides by it; `diagonal` divides by the
    image's diagonal; `none` leaves them as they are. A pure function of one mask, for the
    loader's workers, after every flip and crop.
    """
    distances = signed_distance_map(mask)
    if scale == "clip":
        distances = np.clip(distances / max_distance, -1, 1)
    if scale == "diagonal":
        distances = distances / np.linalg.norm(distances.shape)
    return distances

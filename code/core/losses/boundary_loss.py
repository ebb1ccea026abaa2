"""Boundary loss."""

import warnings
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from core.errors import InputError
from core.losses.base import BaseLoss, Reduction, checked, reduced
from core.losses.distance_map import Scale, scaled_distance_map
from core.losses.registry import get_registry


@get_registry().register("boundary_loss", tags=["masks"])
class BoundaryLoss(BaseLoss):
    """Boundary loss: predicted pixels weighed by their distance from the mask's border.

    mean((p - t) phi), phi the signed distance map of the mask, negative inside: the further
    outside a false positive, or inside a false negative, the more it costs. Its gradient is that
    of the paper's mean(p phi), but it is never negative, and 0 for a perfect mask;
    `relative=false` is the paper's form. A class without pixels contributes nothing. To be used
    beside a loss of regions, its weight rising with the epochs (`weight_step` of `compound`).

    The loader makes phi by `distance_maps_of`; without it, it is computed here, slowly.

    Shape: (batch, C, *spatial) with at least one spatial axis, targets in {0, 1}.
    Units: `max_distance` in pixels.
    Source: Kervadec et al., "Boundary loss for highly unbalanced segmentation", 2019.
    """

    requires_masks = True
    uses_distance_maps = True
    # The paper's form is, and either form is 0 on every batch without defects, which weighting
    # by uncertainty takes for certainty.
    may_be_negative = True

    def __init__(
        self,
        scale: Scale = "clip",
        max_distance: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 32.0,
        relative: bool = True,
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
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        distance_maps: torch.Tensor | None = None,
    ) -> torch.Tensor:
        logits, targets = checked(logits, targets)
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
    def _distance_maps(self, targets: torch.Tensor) -> torch.Tensor:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"loss {self.name()} computes distance maps in each step, which is slow: make "
                "them in the loader by distance_maps_of and pass distance_maps",
                stacklevel=3,
            )
        maps = [self._exact(masks) for masks in targets.detach().cpu().numpy()]
        return torch.from_numpy(np.stack(maps)).to(targets)

    def _exact(self, masks: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.stack(
            [scaled_distance_map(mask, self.scale, self.max_distance) for mask in masks]
        )

"""The baseline that learns nothing: what differs from its surroundings."""

from collections.abc import Iterable
from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from core.errors import InputError
from core.novelty.detectors.base import OnePassDetector
from core.novelty.detectors.registry import get_registry


@get_registry().register("high_pass")
class HighPass(OnePassDetector):
    """The size of the local high-pass residual; nothing is learned.

    The grey image in 0..1, less its mean over a window, squared, averaged over cells of `stride`
    pixels; the map is the square root. An image of one grey value has a map of zeros.
    """

    def __init__(
        self,
        window: Annotated[int, Field(ge=3, le=255)] = 15,
        stride: Annotated[int, Field(ge=1, le=64)] = 8,
    ) -> None:
        """`window` is the width in pixels of the mean; an even width is made odd by one more."""
        super().__init__()
        self.window, self.stride = window | 1, stride

    def distance_maps(self, images: Tensor) -> Tensor:
        grey = images.float().mean(dim=1, keepdim=True) / 255
        padding = self.window // 2
        padded = F.pad(grey, (padding,) * 4, mode="replicate")
        residual = grey - F.avg_pool2d(padded, self.window, stride=1)
        cells = F.avg_pool2d(residual.square(), self.stride, ceil_mode=True)
        return cells.sqrt().squeeze(1)

    def fit(self, batches: Iterable[Tensor], seed: int) -> dict[str, Any]:
        number = sum(len(batch) for batch in batches)
        if not number:
            raise InputError("detector: no images to learn from: expected at least one")
        return {}

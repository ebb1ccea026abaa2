"""Detectors that compare the patch features of a backbone that is not trained."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from core.errors import InputError
from core.novelty.detectors.base import OnePassDetector
from core.novelty.detectors.patch_features import Options, PatchFeatures, build_backbone


class PatchDetector(OnePassDetector):
    """A detector over `features`, of which it keeps a copy of the backbone.

    The arguments of `__init__` are those that name the backbone, and then those of `PatchFeatures`.
    """

    def __init__(
        self,
        backbone: str | None,
        backbone_options: Options,
        pretrained: bool,
        weights: str | None,
        **of_features: Any,
    ) -> None:
        super().__init__()
        model, self._rebuilt = build_backbone(backbone, backbone_options, pretrained, weights)
        self.features = PatchFeatures(model, **of_features)
        self.stride = None if model.input_layer.size else self.features.strides[0]

    def rebuilt_by(self) -> dict[str, Any]:
        return {**self._rebuilt, "pretrained": False, "weights": None}

    def finite_features(self, batches: Iterable[Tensor]) -> Iterable[Tensor]:
        """The features of each batch. Raises InputError where one is not finite."""
        for images in batches:
            features = self.features(images)
            if not torch.isfinite(features).all():
                raise InputError(
                    "detector: a feature of the training images is not finite (NaN or infinite): "
                    "the weights of its network are damaged: copy or train them again"
                )
            yield features

"""One Gaussian of the features of clean patches, wherever they lie."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from core.errors import InputError
from core.novelty.detectors.patch_features import (
    EvenLight,
    Options,
    Stages,
    Standardized,
)
from core.novelty.detectors.patches import PatchDetector
from core.novelty.detectors.registry import get_registry


@get_registry().register("gaussian")
class Gaussian(PatchDetector):
    """The Mahalanobis distance of each patch to one Gaussian of all clean patches.

    It has no bank: its file and its time do not depend on how many strips there are. Of the
    features in units of their deviation, `regularization` is added to each variance. Patches at the
    border are never quite like those inside, and are few: their distances are scaled to the same
    mean square.

    Source: Rippel et al. 2021, "Modeling the Distribution of Normal Data in Pre-Trained Deep
    Features for Anomaly Detection"
    """

    def __init__(
        self,
        backbone: str | None = None,
        backbone_options: Options = None,
        pretrained: bool = True,
        weights: str | None = None,
        stages: Stages = (3, 4),
        even_light: EvenLight = 8.0,
        standardized: Standardized = True,
        regularization: Annotated[float, Field(gt=0, le=1)] = 0.001,
    ) -> None:
        """`weights` is an experiment or a file of weights, else the backbone has ImageNet's."""
        named = (backbone, backbone_options, pretrained, weights)
        super().__init__(
            *named, stages=stages, even_light=even_light, standardized=standardized, mirrored=False
        )
        self.regularization = regularization
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("whitening", torch.empty(0, 0))
        self.register_buffer("border", torch.ones(()))

    def distance_maps(self, images: Tensor) -> Tensor:
        if not self.mean.numel():
            raise InputError("detector gaussian: fit it on images first")
        features = self.features(images)
        patches = features.flatten(2).transpose(1, 2)
        whitened = (patches - self.mean) @ self.whitening
        distances = whitened.square().sum(-1).sqrt().unflatten(1, features.shape[-2:])
        is_border = _is_border(features)
        return torch.where(is_border, distances / self.border, distances)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], seed: int) -> dict[str, Any]:
        inside, border = Moments(), Moments()
        for features in self.finite_features(batches):
            is_border = _is_border(features)
            inside.add(features[..., ~is_border])
            border.add(features[..., is_border])
        both = inside + border
        if not both.number:
            raise InputError("detector gaussian: no images to learn from")
        mean = both.sums / both.number
        covariance = both.around(mean)
        deviation = covariance.diagonal().clamp_min(0).sqrt()
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        correlation = covariance / (deviation[:, None] * deviation)
        correlation.diagonal().add_(self.regularization)
        factor, problem = torch.linalg.cholesky_ex(correlation)
        if problem:
            raise InputError(
                f"detector.regularization={self.regularization}: is too small for these images: "
                "give a larger one"
            )
        identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
        inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
        whitening = inverse.T / deviation[:, None]
        self.mean, self.whitening = mean.float(), whitening.float().contiguous()
        if inside.number:
            precision = whitening @ whitening.T
            squares = [(precision * part.around(mean)).sum() for part in (border, inside)]
            if squares[1] > 0:
                self.border = (squares[0] / squares[1]).sqrt().float().to(self.border.device)
        return {"num_patches_seen": both.number, "num_features": len(mean)}


@dataclass
class Moments:
    """The number of patches, and the sums of their features and of products of two of these."""

    number: int = 0
    sums: Tensor | float = 0.0
    products: Tensor | float = 0.0

    def add(self, features: Tensor) -> None:
        """Take patches into account. Shape: (batch, features, patches)"""
        patches = features.transpose(0, 1).flatten(1).double()
        self.number += patches.shape[1]
        self.sums = self.sums + patches.sum(1)
        self.products = self.products + patches @ patches.T

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.number + other.number, self.sums + other.sums, self.products + other.products
        )

    def around(self, mean: Tensor) -> Tensor:
        """The mean of products of what the features differ from this mean by."""
        own = self.sums / self.number
        centred = self.products / self.number - own[:, None] * own
        return centred + (own - mean)[:, None] * (own - mean)


def _is_border(features: Tensor) -> Tensor:
    """Which cells of the maps lie at their border. Shape: bool (rows, columns)"""
    rows, columns = (
        torch.arange(int(length), device=features.device) for length in features.shape[-2:]
    )
    edges = [(each == 0) | (each == len(each) - 1) for each in (rows, columns)]
    return edges[0][:, None] | edges[1]

"""A Gaussian of the features at each position of an image."""

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from core.errors import InputError
from core.novelty.detectors.patch_features import Options, Stages
from core.novelty.detectors.patches import PatchDetector
from core.novelty.detectors.registry import get_registry


@get_registry().register("gaussians")
class Gaussians(PatchDetector):
    """The Mahalanobis distance to the Gaussian of the features at the same position (PaDiM).

    It requires aligned images: what is normal at one position must be what is normal there on
    every image. Strips are not aligned, except for their borders. Of the features, `num_features`
    are drawn at random. The covariance of each position has `regularization` times the mean
    variance added to its diagonal.

    Source: Defard et al. 2021, "PaDiM: A Patch Distribution Modeling Framework for Anomaly
    Detection and Localization"
    """

    def __init__(
        self,
        backbone: str | None = None,
        backbone_options: Options = None,
        pretrained: bool = True,
        weights: str | None = None,
        stages: Stages = (2, 3),
        num_features: Annotated[int, Field(ge=1, le=512)] = 40,
        regularization: Annotated[float, Field(gt=0, le=1)] = 0.01,
    ) -> None:
        """`weights` is an experiment or a file of weights, else the backbone has ImageNet's."""
        named = (backbone, backbone_options, pretrained, weights)
        super().__init__(*named, stages=stages)
        self.num_features, self.regularization = num_features, regularization
        self.register_buffer("chosen", torch.empty(0, dtype=torch.int64))
        self.register_buffer("means", torch.empty(0, 0))
        self.register_buffer("whitening", torch.empty(0, 0, 0))

    def distance_maps(self, images: Tensor) -> Tensor:
        features = self.features(images)
        rows, columns = features.shape[-2:]
        if rows * columns != len(self.means):
            raise InputError(
                f"detector gaussians: images with {rows * columns} positions; expected "
                f"{len(self.means)}: give images of the size that it was fitted on"
            )
        centred = self._chosen(features) - self.means
        # Position by position: (positions, batch, features) times (positions, features, features).
        whitened = centred.transpose(0, 1) @ self.whitening
        return whitened.square().sum(-1).sqrt().T.unflatten(1, (rows, columns))

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], seed: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(seed)
        number, origin, sums, products = 0, None, 0.0, 0.0
        for features in self.finite_features(batches):
            if origin is None:
                order = torch.randperm(features.shape[1], generator=generator)
                self.chosen = order[: self.num_features].sort().values.to(features.device)
            patches = self._chosen(features)
            # Less the first image, so that products of large numbers do not cancel.
            origin = patches[0].clone() if origin is None else origin
            centred = (patches - origin).transpose(0, 1)
            sums, products = sums + centred.sum(1), products + centred.mT @ centred
            number += len(features)
        if number < 2:
            raise InputError(
                f"detector gaussians: {number} images to learn from; expected at least 2"
            )
        mean = sums / number
        covariance = (products - number * mean[:, :, None] * mean[:, None]) / (number - 1)
        diagonal = covariance.diagonal(dim1=1, dim2=2)
        added = self.regularization * float(diagonal.mean()) or self.regularization
        diagonal += added
        factor, problems = torch.linalg.cholesky_ex(covariance)
        if problems.any():
            raise InputError(
                f"detector.regularization={self.regularization}: is too small for the covariance "
                f"of {number} images: give a larger one"
            )
        identity = torch.eye(factor.shape[-1], device=factor.device)
        inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
        self.means, self.whitening = origin + mean, inverse.mT.contiguous()
        return {"num_positions": len(mean), "num_features": len(self.chosen), "added": added}

    def _chosen(self, features: Tensor) -> Tensor:
        """(batch, positions, chosen features)"""
        return features.index_select(1, self.chosen).flatten(2).transpose(1, 2)

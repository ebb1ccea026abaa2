"""Nearest neighbours among the patches of defect-free images."""

from collections.abc import Iterable
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

# Patches of the bank that are compared at once: a batch of strips then takes some 100 MiB.
_CHUNK = 256
# Greedy choices are made in so many random directions; lengths are kept to about a tenth.
_PROJECTED = 64


@get_registry().register("memory_bank")
class MemoryBank(PatchDetector):
    """The distance of each patch's features to the nearest patch of a memory bank (PatchCore).

    The bank is a greedy coreset of patches that are drawn from all training images, so that its
    size bounds memory and time. The published weighting of a score by its neighbours is left out.

    Source: Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection"
    """

    def __init__(
        self,
        backbone: str | None = None,
        backbone_options: Options = None,
        pretrained: bool = True,
        weights: str | None = None,
        stages: Stages = (2, 3),
        even_light: EvenLight = None,
        standardized: Standardized = False,
        num_patches: Annotated[int, Field(ge=1, le=100_000)] = 4000,
        num_candidates: Annotated[int, Field(ge=1, le=1_000_000)] = 40_000,
    ) -> None:
        """`weights` is an experiment or a file of weights, else the backbone has ImageNet's.

        The bank of `num_patches` is chosen from `num_candidates` that are drawn at random.
        """
        named = (backbone, backbone_options, pretrained, weights)
        super().__init__(*named, stages=stages, even_light=even_light, standardized=standardized)
        self.num_patches, self.num_candidates = num_patches, num_candidates
        self.register_buffer("bank", torch.empty(0, 0))

    def distance_maps(self, images: Tensor) -> Tensor:
        if not self.bank.numel():
            raise InputError("detector memory_bank: the bank is empty: fit it on images first")
        features = self.features(images)
        patches = features.flatten(2).transpose(1, 2)
        # |a - b|^2 = |a|^2 - 2 ab + |b|^2, of which |a|^2 does not choose the neighbour.
        nearest = None
        for part in self.bank.split(_CHUNK):
            partial = (part.square().sum(1) - 2 * (patches @ part.T)).amin(-1)
            nearest = partial if nearest is None else torch.minimum(nearest, partial)
        squared = (nearest + patches.square().sum(-1)).clamp_min(0)
        return squared.sqrt().unflatten(1, features.shape[-2:])

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], seed: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(seed)
        candidates = Reservoir(self.num_candidates, generator)
        for features in self.finite_features(batches):
            for patches in features.flatten(2).transpose(1, 2).cpu():
                candidates.add(patches)
        if not candidates.num_seen:
            raise InputError("detector memory_bank: no images to learn from: the bank is empty")
        drawn = candidates.patches()
        chosen = greedy_coreset(drawn, self.num_patches, generator)
        self.bank = drawn[chosen].to(self.bank.device)
        return {
            "num_patches_seen": candidates.num_seen,
            "num_candidates": len(drawn),
            "num_patches": len(chosen),
        }


class Reservoir:
    """Rows drawn at random, each with the same probability, from any number that are added."""

    def __init__(self, most: int, generator: torch.Generator) -> None:
        self.most, self.generator, self.num_seen = most, generator, 0
        self._keys, self._rows = torch.empty(0), None

    def add(self, rows: Tensor) -> None:
        """Take these rows into account. Shape: (rows, features)"""
        keys = torch.rand(len(rows), generator=self.generator)
        self.num_seen += len(rows)
        if len(self._keys) >= self.most:
            rows, keys = rows[keys < self._keys[-1]], keys[keys < self._keys[-1]]
        both = rows if self._rows is None else torch.cat([self._rows, rows])
        keys, order = torch.cat([self._keys, keys]).sort(stable=True)
        self._keys, self._rows = keys[: self.most], both[order[: self.most]]

    def patches(self) -> Tensor:
        """What was drawn, in a random order."""
        return self._rows


def greedy_coreset(patches: Tensor, size: int, generator: torch.Generator) -> list[int]:
    """The rows of a coreset: each next one is the farthest from those that were chosen.

    Distances are those of random projections. Patches that are equal to a chosen one are not
    chosen. Shape: (patches, features)
    Source: Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks"
    """
    directions = torch.randn(patches.shape[1], _PROJECTED, generator=generator)
    projected = patches @ directions / _PROJECTED**0.5
    squares = projected.square().sum(1)
    rounding = 1e-6 * float(squares.max())
    chosen, nearest = [0], torch.full((len(patches),), torch.inf)
    while len(chosen) < min(size, len(patches)):
        last = chosen[-1]
        distances = squares - 2 * (projected @ projected[last]) + squares[last]
        nearest = torch.minimum(nearest, distances)
        farthest = int(nearest.argmax())
        if nearest[farthest] <= rounding:
            break
        chosen.append(farthest)
    return chosen

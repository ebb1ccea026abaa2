"""One detector of the sweep, fitted on rows of a pool, and its scores of others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.novelty_strips import Pool
from core.novelty.choosing import Part
from core.novelty.detectors import Detector, get_registry
from core.novelty.detectors.autoencoder import AutoencoderDetector
from core.novelty.learning import Learning
from core.novelty.score import scores
from core.novelty.settings import SETTINGS, NoveltyConfig, check_values, default_values
from core.novelty.smoothing import smoothed
from core.pretraining.strips import Strips
from core.training.epoch_progress import EpochProgress
from core.training.seeding import seed_everything
from core.training.trainer import train_epoch

_BATCH = 8
# Smaller than by default, so that the sweep takes minutes.
_BANK = {"num_patches": 1000, "num_candidates": 20_000}
_EVEN = {"stages": (3, 4), "even_light": 8.0, "standardized": True}
_FINE = {"stages": (2, 3), "even_light": None, "standardized": False}
_CODES = {"bottleneck_options": {"num_quantizers": 2, "codebook_size": 32}}
_KL = {"weights": {"kl": 0.01}}  # by default it is 1e-6, which limits nothing


@dataclass(frozen=True)
class Variant:
    """A detector with its options; the learning rate is for those that are trained."""

    detector: str
    params: Mapping[str, Any] = field(default_factory=dict)
    learning_rate: float = 1e-3


def _autoencoder(bottleneck: str, *options: Mapping[str, Any]) -> Variant:
    params = {"bottleneck": bottleneck}
    for each in options:
        params |= each
    return Variant("autoencoder", params)


VARIANTS = {
    "high_pass": Variant("high_pass"),
    "gaussians": Variant("gaussians"),
    "memory_bank": Variant("memory_bank", _BANK),
    "memory_bank_even": Variant("memory_bank", {**_BANK, **_EVEN}),
    "gaussian": Variant("gaussian"),
    "gaussian_fine": Variant("gaussian", _FINE),
    "autoencoder_none": Variant("autoencoder"),
    "autoencoder_vae": _autoencoder("vae", _KL),
    "autoencoder_rvq": _autoencoder("rvq", _CODES),
    "autoencoder_rvq_vae": _autoencoder("rvq_vae", _CODES, _KL),
    "autoencoder_dac_rvq": _autoencoder("dac_rvq", _CODES),
    "autoencoder_dac_rvq_vae": _autoencoder("dac_rvq_vae", _CODES, _KL),
    "autoencoder_wasserstein": _autoencoder("wasserstein"),
    "synthetic_defects": Variant("synthetic_defects", learning_rate=4e-3),
}


@dataclass(frozen=True)
class Scoring:
    """As `scoring.*`: the smoothing in pixels, and how many distances are averaged."""

    smoothing: float
    largest: int


class KeptFeatures(nn.Module):
    """The features of all images of a pool, computed once; takes rows in the place of images."""

    def __init__(self, features: nn.Module, images: np.ndarray) -> None:
        super().__init__()
        with torch.inference_mode():
            parts = [features(torch.from_numpy(images[rows])).half() for rows in _batches(images)]
        self.kept = torch.cat(parts)

    def forward(self, rows: Tensor) -> Tensor:
        return self.kept[rows].float()


class PoolDetectors:
    """Detectors over one pool, which share the features of patches that are not trained."""

    def __init__(self, pool: Pool, num_steps: int, threads: int) -> None:
        self.pool, self.num_steps, self.threads = pool, num_steps, threads
        self._kept: dict[str, KeptFeatures] = {}

    def fitted(self, name: str, rows: np.ndarray, seed: int) -> Detector:
        """The detector after it has learned from these rows."""
        variant = VARIANTS[name]
        seed_everything(seed)
        detector = get_registry().instantiate(variant.detector, **variant.params)
        detector.attach(1, self.pool.images.shape[-2:])
        if detector.learned_by_gradient:
            return self._trained(detector, variant, rows, seed)
        if hasattr(detector, "features"):
            detector.features = self._features(detector.features)
        detector.fit((self._inputs(detector, part) for part in rows_by_batch(rows)), seed)
        return detector.eval()

    @torch.inference_mode()
    def scored(
        self, detector: Detector, rows: np.ndarray, scoring: Scoring
    ) -> tuple[np.ndarray, Tensor]:
        """The scores of these rows, and their smoothed maps."""
        found = []
        for part in rows_by_batch(rows):
            maps = detector(self._inputs(detector, part))
            cell = self.pool.images.shape[-2] / maps.shape[-2]
            found.append(smoothed(maps, scoring.smoothing / cell))
        maps = torch.cat(found)
        return scores(maps, scoring.largest).numpy(), maps

    @torch.inference_mode()
    def reconstruction(self, detector: AutoencoderDetector, rows: np.ndarray) -> dict[str, Any]:
        """How well an autoencoder reconstructs these rows, and how many of its codes they use.

        `error` is the squared error as a share of that of predicting each image's mean grey;
        `codes_used` the share of all codes of all quantizers, None where there are none.
        """
        network = detector.network
        error = variance = 0.0
        codes: list[Tensor] = []
        for part in rows_by_batch(rows):
            images = torch.from_numpy(self.pool.images[part])
            output, scaled = network(images), network.scaled(images)
            error += float((output["reconstruction"] - scaled).square().sum())
            variance += float((scaled - scaled.mean((1, 2, 3), keepdim=True)).square().sum())
            if "codes" in output:
                codes.append(output["codes"].transpose(0, 1).flatten(1))
        return {"error": error / variance, "codes_used": _share_used(codes)}

    def _features(self, features: nn.Module) -> KeptFeatures:
        own = features.indices, features.even_light, features.standardized, features.mirrored
        key = str(own)
        if key not in self._kept:
            self._kept[key] = KeptFeatures(features, self.pool.images)
        return self._kept[key]

    def _inputs(self, detector: Detector, rows: np.ndarray) -> Tensor:
        if isinstance(getattr(detector, "features", None), KeptFeatures):
            return torch.from_numpy(rows)
        return torch.from_numpy(self.pool.images[rows])

    def _trained(
        self, detector: Detector, variant: Variant, rows: np.ndarray, seed: int
    ) -> Detector:
        epochs = max(1, round(self.num_steps / -(-0.9 * len(rows) // _BATCH)))
        config = self._config(variant, epochs, seed)
        images = _Planes(self.pool.images)
        part = Part(Strips(images, range(len(self.pool.images))), rows, self.pool.groups[rows])
        learning = Learning.of(config, part, detector, torch.device("cpu"))
        task = learning.task
        for epoch in range(1, epochs + 1):
            task.begin_epoch(epoch)
            task.train_batches.set_epoch(epoch)
            train_epoch(learning.learner, task, task.train_batches, EpochProgress(epoch, 0.0))
        return detector.eval()

    def _config(self, variant: Variant, epochs: int, seed: int) -> NoveltyConfig:
        values = {section: default_values(section) for section in SETTINGS}
        values["data"] |= {"batch_size": _BATCH, "num_workers": 0}
        values["training"] |= {"num_epochs": epochs, "learning_rate": variant.learning_rate}
        values["training"]["warmup_epochs"] = 0.15 * epochs
        values["experiment"]["seed"] = seed
        values["runtime"] |= {"precision": "float32", "channels_last": False, "device": "cpu"}
        values["runtime"]["num_threads"] = self.threads
        return check_values({"detector": {"name": variant.detector, **variant.params}, **values})


@dataclass(frozen=True)
class _Planes:
    """A source of grey images."""

    images: np.ndarray

    def read(self, row: int) -> np.ndarray:
        return self.images[row, 0]


def _share_used(codes: Sequence[Tensor]) -> float | None:
    """Of parts of shape (quantizers, positions)."""
    if not codes:
        return None
    used = [stage.unique().numel() for stage in torch.cat(list(codes), dim=1)]
    return sum(used) / (len(used) * _CODES["bottleneck_options"]["codebook_size"])


def rows_by_batch(rows: np.ndarray) -> Iterator[np.ndarray]:
    """The rows in the batches in which they are scored."""
    for first in range(0, len(rows), _BATCH):
        yield rows[first : first + _BATCH]


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    return rows_by_batch(np.arange(len(images)))

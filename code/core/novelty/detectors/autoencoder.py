"""What an autoencoder of clean strips cannot reconstruct."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from core.data.image_source import ImageSource
from core.errors import InputError
from core.novelty.autoencoder import Autoencoder
from core.novelty.bottleneck_losses import AutoencoderLoss, check_loss_settings
from core.novelty.bottlenecks import get_registry as bottlenecks
from core.novelty.detectors.learned import LearnedDetector
from core.novelty.detectors.registry import get_registry
from core.pretraining.views import PairOfViews
from core.training.progress import Criterion

Options = dict[str, Any] | None


@dataclass(frozen=True)
class ReconstructedViews:
    """A view of an image, which is its own target; a pure function of (seed, epoch, index)."""

    views: PairOfViews

    def __call__(
        self, image: np.ndarray, *, epoch: int, index: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shape: uint8 (H, W) or (H, W, 3) -> the same twice, or the window's size"""
        key = np.random.SeedSequence((self.views.seed, epoch, index))
        view = self.views.one(image, np.random.default_rng(key))
        return view, view


@get_registry().register("autoencoder", tags=["learned"])
class AutoencoderDetector(LearnedDetector):
    """The residual of an autoencoder that learned to reconstruct clean strips.

    The map is the absolute difference between image and reconstruction in 0..1, as a mean over
    channels and over cells of `cell` pixels.

    Source: Bergmann et al. 2019, "Improving Unsupervised Defect Segmentation by Applying Structural
    Similarity to Autoencoders"
    """

    criterion = Criterion("reconstruction_loss", "reconstruction loss", larger_is_better=False)
    network: Autoencoder

    def __init__(
        self,
        bottleneck: Annotated[
            str,
            Field(description="none, vae, rvq, rvq_vae, dac_rvq, dac_rvq_vae or wasserstein"),
        ] = "none",
        bottleneck_options: Annotated[
            Options, Field(description="such as {codebook_size: 32, num_quantizers: 2}")
        ] = None,
        latent_channels: Annotated[int, Field(ge=1, description="channels of the latent")] = 16,
        stride: Annotated[
            Literal[8, 16], Field(description="pixels of the image per place of the latent")
        ] = 8,
        reconstruction: Annotated[
            Literal["l1", "l2", "ssim"], Field(description="how reconstructions are compared")
        ] = "l1",
        reconstruction_weight: Annotated[
            float, Field(gt=0, allow_inf_nan=False, description="weight of the reconstruction")
        ] = 100.0,
        weights: Annotated[
            Options, Field(description="weights of the bottleneck's terms, such as {kl: 1e-3}")
        ] = None,
        cell: Annotated[
            int, Field(ge=1, le=64, description="pixels of the image per place of the map")
        ] = 4,
    ) -> None:
        super().__init__()
        self.stride = cell
        self.values: Mapping[str, Any] = {
            "bottleneck": bottleneck,
            "latent_channels": latent_channels,
            "stride": stride,
            "bottleneck_options": bottleneck_options,
        }
        if "channels" in (bottleneck_options or {}):
            raise InputError(
                "detector.bottleneck_options: channels: is detector.latent_channels: give that"
            )
        try:
            self.loss = check_loss_settings(
                {
                    "reconstruction": {"type": reconstruction, "weight": reconstruction_weight},
                    "bottleneck": {"weights": weights or {}},
                }
            )
            bottlenecks().instantiate(
                bottleneck, channels=latent_channels, **(bottleneck_options or {})
            )
        except InputError as error:
            raise InputError(f"detector: {error}") from None

    def attach(self, channels: int, size: tuple[int, int]) -> None:
        self.network = Autoencoder(image_channels=channels, **self.values)

    def create_loss(self) -> AutoencoderLoss:
        return AutoencoderLoss(self.network.bottleneck, self.loss)

    def pairs(
        self, views: PairOfViews, images: ImageSource, rows: np.ndarray
    ) -> ReconstructedViews:
        return ReconstructedViews(views)

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        self.network.bottleneck.follow(optimizer)

    def distance_maps(self, images: Tensor) -> Tensor:
        residual = self.network(images)["reconstruction"].float() - images.float() / 255
        distances = residual.abs().mean(dim=1, keepdim=True)
        return F.avg_pool2d(distances, self.stride, ceil_mode=True).squeeze(1)

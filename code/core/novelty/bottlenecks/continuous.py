"""Bottlenecks without codes: none, and the variational and the Wasserstein autoencoder's."""

import math
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from core.novelty.bottlenecks.base import Bottleneck, Count, normal_noise
from core.novelty.bottlenecks.divergences import (
    Estimator,
    Kernel,
    kl_from_standard_normal,
    mmd,
)
from core.novelty.bottlenecks.registry import get_registry

# Keeps the logarithm of a standard deviation finite.
_LEAST_STD = 1e-4
_FIRST_STD = 0.1
# Figures in evaluation are the same each time.
_EVALUATION_SEED = 0


@get_registry().register("none")
class NoBottleneck(Bottleneck):
    """Nothing but the size of the latent: a plain autoencoder."""

    losses: ClassVar = ()

    def compress(self, features: Tensor, generator: torch.Generator | None) -> dict[str, Any]:
        return {"latent": features}


class GaussianLatent(nn.Module):
    """A normal distribution at each position: a sample of it in training, else its mean.

    `kl` is summed over the channels, and a mean over images and positions, in nats.

    Shape: (batch, channels, height, width) -> latent of the same shape, and the scalar `kl`
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.parameters_of_latent = nn.Conv2d(channels, 2 * channels, kernel_size=1)
        # Codebooks behind it then start from features, and not from noise.
        start = math.log(math.expm1(_FIRST_STD))
        nn.init.constant_(self.parameters_of_latent.bias[channels:], start)

    def forward(self, features: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        mean, scale = self.parameters_of_latent(features).chunk(2, dim=1)
        std = F.softplus(scale) + _LEAST_STD
        kl = kl_from_standard_normal(mean, std).sum(dim=1).mean()
        return (mean + std * normal_noise(mean, generator) if self.training else mean), kl


@get_registry().register("vae", tags=["variational"])
class VAEBottleneck(Bottleneck):
    """Normally distributed latents, held near a standard normal distribution by their KL.

    Source: Kingma and Welling 2014
    """

    losses: ClassVar = ("kl",)

    def __init__(self, channels: Count) -> None:
        super().__init__(channels)
        self.gaussian = GaussianLatent(channels)

    def compress(self, features: Tensor, generator: torch.Generator | None) -> dict[str, Any]:
        latent, kl = self.gaussian(features, generator)
        return {"latent": latent, "kl": kl}


@get_registry().register("wasserstein")
class WassersteinBottleneck(Bottleneck):
    """Latents whose distribution over all positions is drawn towards a standard normal one.

    `mmd` compares at most `num_positions` of a batch with as many draws: memory grows with the
    square of their number. Kernels and estimators are those of `divergences.mmd`.

    Source: Tolstikhin et al. 2018
    """

    losses: ClassVar = ("mmd",)

    def __init__(
        self,
        channels: Count,
        kernel: Kernel = "inverse_multiquadric",
        estimator: Estimator = "biased",
        bandwidth: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
        num_positions: Annotated[int, Field(ge=2)] = 256,
    ) -> None:
        super().__init__(channels)
        self.kernel, self.estimator, self.bandwidth = kernel, estimator, bandwidth
        self.num_positions = num_positions

    def compress(self, features: Tensor, generator: torch.Generator | None) -> dict[str, Any]:
        if torch.compiler.is_exporting():  # no generator can be, and the decoder takes the latent
            return {"latent": features}
        if generator is None and not self.training:
            generator = torch.Generator().manual_seed(_EVALUATION_SEED)
        rows = features.movedim(1, -1).flatten(0, 2)
        device = rows.device if generator is None else generator.device
        drawn = torch.randperm(len(rows), generator=generator, device=device)[: self.num_positions]
        rows = rows[drawn.to(rows.device)]
        prior = normal_noise(rows, generator)
        value = mmd(rows, prior, self.kernel, self.estimator, self.bandwidth)
        return {"latent": features, "mmd": value}

"""Bottlenecks with codes: residual quantisation of two kinds, alone or behind a Gaussian latent."""

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from core.errors import InputError
from core.novelty.bottlenecks.base import Bottleneck, Count, Share
from core.novelty.bottlenecks.codebook import AveragedCodebook, LearnedCodebook
from core.novelty.bottlenecks.continuous import GaussianLatent
from core.novelty.bottlenecks.registry import get_registry
from core.novelty.bottlenecks.residual_quantizer import (
    AveragedQuantizer,
    FactorizedQuantizer,
    Quantized,
    ResidualQuantizer,
    straight_through,
)

Size = Annotated[int, Field(ge=2)]


class QuantizedBottleneck(Bottleneck):
    """A bottleneck whose `latent` is a sum of codes. A subclass sets `quantizer`.

    It also puts out `codes` (batch, stages, height, width), and for each stage `codes_used`, the
    number of different codes in the batch, and `perplexity`. In training, both count the batches
    of all processes. Codebooks change by `after_optimizer_step` only.
    """

    quantizer: ResidualQuantizer

    def after_optimizer_step(self) -> None:
        self.quantizer.after_optimizer_step()


@get_registry().register("rvq", tags=["quantized"])
class RVQBottleneck(QuantizedBottleneck):
    """Residual vector quantisation by codebooks that are exponential averages of the data.

    `quantizer_loss` is the commitment: the squared error between the features and their codes,
    whose gradient reaches the encoder only, as a mean over elements and stages.

    Source: Zeghidour et al. 2021 (SoundStream), van den Oord et al. 2017
    """

    losses: ClassVar = ("quantizer",)

    def __init__(
        self,
        channels: Count,
        num_quantizers: Count = 4,
        codebook_size: Size = 64,
        quantizer_dropout: Share = 0.0,
        decay: Share = 0.9,
        revive_below: Share = 0.1,
    ) -> None:
        super().__init__(channels)
        _check_dropout(num_quantizers, quantizer_dropout)
        stages = [
            AveragedQuantizer(
                AveragedCodebook(codebook_size, channels, decay, revive_below, number)
            )
            for number in range(num_quantizers)
        ]
        self.quantizer = ResidualQuantizer(stages, quantizer_dropout)

    def compress(self, features: Tensor, generator: torch.Generator | None) -> dict[str, Any]:
        quantized = self.quantizer(features, generator)
        return {
            "latent": straight_through(features, quantized.quantized),
            "quantizer_loss": quantized.commitment.mean(),
            **_codes_of(quantized),
        }


@get_registry().register("rvq_vae", tags=["quantized", "variational"])
class RVQVAEBottleneck(RVQBottleneck):
    """A Gaussian latent, of which a sample is quantised as in `rvq`.

    Source: Kingma and Welling 2014, Zeghidour et al. 2021
    """

    losses: ClassVar = ("kl", "quantizer")

    def __init__(self, channels: Count, **options: Any) -> None:
        super().__init__(channels, **options)
        self.gaussian = GaussianLatent(channels)

    def compress(self, features: Tensor, generator: torch.Generator | None) -> dict[str, Any]:
        sample, kl = self.gaussian(features, generator)
        return {**super().compress(sample, generator), "kl": kl}


@get_registry().register("dac_rvq", tags=["quantized"])
class DACRVQBottleneck(QuantizedBottleneck):
    """Residual vector quantisation by cosine in few channels, with codebooks learned by gradient.

    Residuals are differences of the unnormalised features. `vq/codebook_loss` draws codes to the
    features, `vq/commitment_loss` features to their codes: one value, the squared error as a mean
    over elements and stages, and two gradients.

    Source: Kumar et al. 2023 (Descript audio codec)
    """

    losses: ClassVar = ("codebook", "commitment")

    def __init__(
        self,
        channels: Count,
        num_quantizers: Count = 4,
        codebook_size: Size = 64,
        codebook_channels: Count = 8,
        quantizer_dropout: Share = 0.0,
        decay: Share = 0.9,
        revive_below: Share = 0.1,
    ) -> None:
        super().__init__(channels)
        _check_dropout(num_quantizers, quantizer_dropout)
        books = [
            LearnedCodebook(codebook_size, codebook_channels, decay, revive_below, number)
            for number in range(num_quantizers)
        ]
        stages = [FactorizedQuantizer(channels, book) for book in books]
        self.quantizer = ResidualQuantizer(stages, quantizer_dropout)

    def compress(self, features: Tensor, generator: torch.Generator | None) -> dict[str, Any]:
        quantized = self.quantizer(features, generator)
        return {
            "latent": quantized.quantized,
            "vq/codebook_loss": quantized.codebook.mean(),
            "vq/commitment_loss": quantized.commitment.mean(),
            **_codes_of(quantized),
        }


@get_registry().register("dac_rvq_vae", tags=["quantized", "variational"])
class DACRVQVAEBottleneck(DACRVQBottleneck):
    """A Gaussian latent, of which a sample is quantised as in `dac_rvq`.

    Source: Kingma and Welling 2014, Kumar et al. 2023
    """

    losses: ClassVar = ("kl", "codebook", "commitment")

    def __init__(self, channels: Count, **options: Any) -> None:
        super().__init__(channels, **options)
        self.gaussian = GaussianLatent(channels)

    def compress(self, features: Tensor, generator: torch.Generator | None) -> dict[str, Any]:
        sample, kl = self.gaussian(features, generator)
        return {**super().compress(sample, generator), "kl": kl}


def _codes_of(quantized: Quantized) -> dict[str, Tensor]:
    return {name: getattr(quantized, name) for name in ("codes", "codes_used", "perplexity")}


def _check_dropout(num_quantizers: int, dropout: float) -> None:
    if dropout and num_quantizers == 1:
        raise InputError(
            f"bottleneck: quantizer_dropout={dropout}: has no effect with num_quantizers=1: give "
            "0, or more quantizers"
        )

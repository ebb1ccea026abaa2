"""Residual vector quantisation: each stage quantises what the stages before it left over."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.novelty.bottlenecks.codebook import (
    AveragedCodebook,
    LearnedCodebook,
    summed_over_processes,
)


class Stage(NamedTuple):
    """What one stage makes of its residual; the two errors are means of each image.

    `commitment` and `codebook` have one value: the gradient of the first reaches the features only,
    that of the second the codebook only.
    """

    quantized: Tensor
    codes: Tensor
    commitment: Tensor
    codebook: Tensor


class Quantized(NamedTuple):
    """What all stages make of features; `commitment` and `codebook` have one entry per stage."""

    quantized: Tensor
    codes: Tensor
    commitment: Tensor
    codebook: Tensor
    codes_used: Tensor
    perplexity: Tensor


class AveragedQuantizer(nn.Module):
    """A stage whose codebook follows the data by exponential averages, without a gradient."""

    def __init__(self, codebook: AveragedCodebook) -> None:
        super().__init__()
        self.codebook = codebook

    def forward(self, residual: Tensor, counted: Tensor) -> Stage:
        codes = _codes(self.codebook, residual, counted)
        quantized = F.embedding(codes, self.codebook.vectors).movedim(-1, 1)
        commitment = _squared_error(residual, quantized)
        return Stage(quantized, codes, commitment, commitment.detach())


class FactorizedQuantizer(nn.Module):
    """A stage that quantises in fewer channels, with a codebook learned by gradient.

    Source: Kumar et al. 2023
    """

    def __init__(self, channels: int, codebook: LearnedCodebook) -> None:
        super().__init__()
        code_channels = codebook.vectors.shape[1]
        self.to_code = nn.Conv2d(channels, code_channels, kernel_size=1)
        self.from_code = nn.Conv2d(code_channels, channels, kernel_size=1)
        self.codebook = codebook

    def forward(self, residual: Tensor, counted: Tensor) -> Stage:
        encoded = self.to_code(residual)
        codes = _codes(self.codebook, encoded, counted)
        vectors = F.embedding(codes, self.codebook.vectors).movedim(-1, 1)
        return Stage(
            self.from_code(straight_through(encoded, vectors)),
            codes,
            _squared_error(encoded, vectors.detach()),
            _squared_error(encoded.detach(), vectors),
        )


class ResidualQuantizer(nn.Module):
    """Stages one after another, each on the residual of those before it.

    With `dropout`, that share of the training images passes only a random number of the first
    stages, so that the first ones learn to do without the rest.

    Source: Zeghidour et al. 2021
    """

    def __init__(self, stages: Sequence[nn.Module], dropout: float) -> None:
        super().__init__()
        self.stages, self.dropout = nn.ModuleList(stages), dropout

    def forward(self, features: Tensor, generator: torch.Generator | None) -> Quantized:
        num_kept = self._stages_per_image(features, generator)
        residual, total, made = features, torch.zeros_like(features), []
        for number, stage in enumerate(self.stages):
            is_kept = number < num_kept
            step = stage(residual, is_kept)
            total = total + step.quantized * is_kept.view(-1, 1, 1, 1)
            residual = residual - step.quantized
            made.append((step, is_kept, _counts(step.codes, is_kept, stage.codebook.size)))
        counts = torch.stack([counts for *_, counts in made])
        if self.training:
            counts = summed_over_processes(counts)
        return Quantized(
            total,
            torch.stack([step.codes for step, *_ in made], dim=1),
            torch.stack([(step.commitment * is_kept).mean() for step, is_kept, _ in made]),
            torch.stack([(step.codebook * is_kept).mean() for step, is_kept, _ in made]),
            (counts > 0).sum(1),
            perplexity(counts),
        )

    def after_optimizer_step(self) -> None:
        for stage in self.stages:
            stage.codebook.update()

    def _stages_per_image(self, features: Tensor, generator: torch.Generator | None) -> Tensor:
        count, batch = len(self.stages), features.shape[0]
        device = features.device if generator is None else generator.device
        if not (self.training and self.dropout):
            return torch.full((batch,), count, device=features.device)
        is_short = torch.rand(batch, generator=generator, device=device) < self.dropout
        drawn = torch.randint(1, count + 1, (batch,), generator=generator, device=device)
        return torch.where(is_short, drawn, count).to(features.device)


def straight_through(features: Tensor, quantized: Tensor) -> Tensor:
    """The value of `quantized`, with the gradient of `features`."""
    return features + (quantized - features).detach()


def perplexity(counts: Tensor) -> Tensor:
    """How many codes the assignments would fill evenly: exp of their entropy.

    Shape: (stages, codes) -> (stages,)
    """
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    return torch.special.entr(shares).sum(1).exp()


def _codes(codebook: nn.Module, features: Tensor, counted: Tensor) -> Tensor:
    """The code of each position. Shape: (batch, channels, height, width) -> without channels"""
    last = features.movedim(1, -1)
    shape = last.shape[:-1]
    counted = counted.view(-1, 1, 1).expand(shape).flatten()
    return codebook(last.flatten(0, 2), counted).view(shape)


def _counts(codes: Tensor, is_kept: Tensor, size: int) -> Tensor:
    """How often each code occurs in the images that are kept. torch.bincount is not exportable."""
    ones = is_kept.float().view(-1, 1, 1).expand(codes.shape).flatten()
    return torch.zeros(size, device=codes.device).scatter_add_(0, codes.flatten(), ones)


def _squared_error(a: Tensor, b: Tensor) -> Tensor:
    """The mean over each image."""
    return (a - b).square().mean((1, 2, 3))

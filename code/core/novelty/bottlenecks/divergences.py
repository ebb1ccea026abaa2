"""How far latents are from a standard normal distribution."""

from typing import Literal

import torch
from torch import Tensor

Kernel = Literal["inverse_multiquadric", "gaussian"]
Estimator = Literal["biased", "unbiased"]


def kl_from_standard_normal(mean: Tensor, std: Tensor) -> Tensor:
    """KL divergence of N(mean, std^2) from N(0, 1), of each element, in nats.

    (mean^2 + std^2 - 2 log std - 1) / 2. Some implementations, stable-audio-tools among them, leave
    out the 1/2: with the same weight, their term counts twice.

    Source: Kingma and Welling 2014
    """
    return (mean.square() + std.square() - 2 * std.log() - 1) / 2


def mmd(
    x: Tensor,
    y: Tensor,
    kernel: Kernel = "inverse_multiquadric",
    estimator: Estimator = "biased",
    bandwidth: float | None = None,
) -> Tensor:
    """Squared maximum mean discrepancy between two samples.

    With the squared distance d and the bandwidth b, the kernel `inverse_multiquadric` is
    b / (b + d), where b is 2 * channels by default: the mean squared distance between two draws of
    a standard normal distribution. `gaussian` is exp(-d / b), where b is channels^2 by default, as
    in stable-audio-tools. The latter is almost linear in d from about 16 channels on.

    Shape: (rows, channels) and (other rows, channels) -> scalar

    Source: Tolstikhin et al. 2018 for the kernel, Gretton et al. 2012 for the estimators
    """
    channels = x.shape[1]
    default = channels**2 if kernel == "gaussian" else 2 * channels
    scale = default if bandwidth is None else bandwidth

    def kernel_of(a: Tensor, b: Tensor) -> Tensor:
        distances = _squared_distances(a, b)
        if kernel == "gaussian":
            return torch.exp(-distances / scale)
        return scale / (scale + distances)

    return mmd_of_kernels(kernel_of(x, x), kernel_of(y, y), kernel_of(x, y), estimator)


def mmd_of_kernels(of_x: Tensor, of_y: Tensor, between: Tensor, estimator: Estimator) -> Tensor:
    """Squared discrepancy from the matrices of a kernel: within x, within y, and between both.

    `biased` is the V-statistic: it includes each row's kernel with itself and is never negative.
    `unbiased` is the U-statistic: it leaves those out and may be negative.

    Raises:
        ValueError: fewer than two rows for the unbiased estimator.
    """
    if estimator == "biased":
        return of_x.mean() + of_y.mean() - 2 * between.mean()
    if min(len(of_x), len(of_y)) < 2:
        raise ValueError("an unbiased estimate requires at least two rows of each sample")
    return _mean_off_diagonal(of_x) + _mean_off_diagonal(of_y) - 2 * between.mean()


def _mean_off_diagonal(kernel: Tensor) -> Tensor:
    rows = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (rows * (rows - 1))


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    # Unlike torch.cdist, this has a finite gradient where two rows are equal.
    inner = x @ y.T
    return (x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * inner).clamp(min=0)

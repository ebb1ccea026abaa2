"""Batch normalisation over the whole batch that several processes share."""

from typing import Any

import core.machine.torchvision_ops  # noqa: F401  timm imports torchvision, so this stands before timm

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from core.machine.distributed import gathered_rows, rank, size


def share_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """The model, with each batch normalisation taken over the images of all processes.

    On CUDA this is torch's SyncBatchNorm, which does not run on a CPU. Parameters, buffers and
    their names do not change.
    """
    if device.type == "cuda":
        return convert_sync_batchnorm(model)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            # In place, so that every reference to the module sees the new one.
            module.__class__ = SharedBatchNorm
    return model


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation of whole batches; with the activation of timm's variant, if it is one.

    Let process r have n_r numbers per channel, with mean m_r and variance v_r, and n = sum n_r. The
    mean is m = sum n_r m_r / n, the variance sum n_r (v_r + (m_r - m)^2) / n.
    """

    def forward(self, images: Tensor) -> Tensor:
        images = self._normalized(images)
        return self.act(self.drop(images)) if hasattr(self, "act") else images

    def _normalized(self, images: Tensor) -> Tensor:
        if not self.training and self.running_mean is not None:
            running = self.running_mean, self.running_var
            return F.batch_norm(images, *running, self.weight, self.bias, eps=self.eps)
        values = images.float()
        axes = [axis for axis in range(values.ndim) if axis != 1]
        mean, variance, number = _statistics(values, axes)
        if self.training and self.running_mean is not None:
            self._remember(mean.detach(), variance.detach(), number)
        scale = torch.rsqrt(variance + self.eps)
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        shape = [-1 if axis == 1 else 1 for axis in range(values.ndim)]
        return (values * scale.view(shape) + shift.view(shape)).to(images.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, number: Tensor) -> None:
        self.num_batches_tracked += 1
        # Without a momentum: the mean over all batches.
        share = self.momentum or 1 / float(self.num_batches_tracked)
        unbiased = variance * (number / (number - 1).clamp(min=1))
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(unbiased.to(self.running_var), share)


def _statistics(values: Tensor, axes: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and count of numbers per channel, over all processes."""
    variance, mean = torch.var_mean(values, axes, correction=0)
    number = torch.full_like(mean, values.numel() / values.shape[1])
    rows = _GatheredWithSummedGradient.apply(torch.stack([mean, variance, number]))
    means, variances, numbers = rows.unbind(1)
    total = numbers.sum(0)
    mean = (numbers * means).sum(0) / total
    variance = (numbers * (variances + (means - mean) ** 2)).sum(0) / total
    # A batch with fewer images than processes is read whole by each of them: count it once.
    return mean, variance, number if torch.equal(rows, rows[:1].expand_as(rows)) else total


class _GatheredWithSummedGradient(torch.autograd.Function):
    """The rows of all processes, (processes, *shape); the gradients of each row are summed."""

    @staticmethod
    def forward(ctx: Any, row: Tensor) -> Tensor:
        return gathered_rows(row[None], [1] * size())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[rank()]

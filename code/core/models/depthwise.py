"""The weight gradient of depthwise convolutions as matrix products, in bfloat16 on CPUs.

torch's own routine takes a third or more of a ConvNeXt's training step there, and is slower in
bfloat16 than in float32; batched matrix products have fast bfloat16 instructions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Rows of an image that are multiplied at once. Only the products of neighbouring rows are used:
# fewer rows waste less, more rows compute faster.
ROWS = 64
# For 3x3 kernels torch has a faster routine.
SMALLEST_KERNEL = 5


def use_matmul_gradients(model: nn.Module) -> int:
    """Let the model's depthwise convolutions compute weight gradients by `weight_gradient`.

    Weights, names and outputs stay the same. Returns how many convolutions are concerned: those
    with one filter per channel of at least 5x5, stride 1, no dilation, and zero padding that keeps
    the size.
    """
    concerned = large_depthwise(model)
    for convolution in concerned:
        # In place, so that every reference to the module sees the new one.
        convolution.__class__ = DepthwiseConv2d
    return len(concerned)


def large_depthwise(model: nn.Module) -> list[nn.Conv2d]:
    """The convolutions that `use_matmul_gradients` changes."""
    return [module for module in model.modules() if _is_concerned(module)]


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution that keeps the size, trained by `weight_gradient` where that pays.

    That is in bfloat16 on a CPU, by autocast or by its inputs; everything else is left to torch.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Shape: (batch, channels, height, width) to the same."""
        weight, bias = self.weight, self.bias
        if images.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            images, weight = images.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        if images.device.type != "cpu" or images.dtype != torch.bfloat16:
            return super().forward(images)
        return DepthwiseConvolution.apply(images, weight, bias)


class DepthwiseConvolution(torch.autograd.Function):
    """Convolution of each channel with its own filter, stride 1, the size kept."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Shape: images (batch, channels, height, width), weight (channels, 1, odd, odd)."""
        ctx.save_for_backward(images, weight)
        return functional.conv2d(images, weight, bias, padding=_padding(weight), groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        for_images, for_weight, for_bias = ctx.needs_input_grad
        # Only that of the images: asked for the bias's, torch computes the weight's as well.
        of_images, _, _ = torch.ops.aten.convolution_backward(
            gradient, images, weight, None, [1, 1], _padding(weight), [1, 1], False,
            [0, 0], len(weight), [for_images, False, False],
        )  # fmt: skip
        of_weight = weight_gradient(images, gradient, weight.shape[2:]) if for_weight else None
        return of_images, of_weight, gradient.sum(dim=(0, 2, 3)) if for_bias else None


def weight_gradient(images: Tensor, gradient: Tensor, kernel_size: tuple[int, int]) -> Tensor:
    """That of a depthwise convolution that keeps the size, from its input and output gradient.

    For each horizontal shift, the product of all rows of the gradient with all rows of the images
    holds the terms of a kernel row on a diagonal. They are summed in float32 or float64.

    Shape: images and gradient (batch, channels, height, width); returns (channels, 1, *kernel_size)
    in their type. Kernel sizes are odd.
    """
    batch, channels, height, width = images.shape
    above, beside = (size // 2 for size in kernel_size)
    # Rows so wide that what is shifted past the end of a row meets zeros of the gradient.
    padded = width + 2 * beside
    row, tall = batch * padded, height + 2 * above
    length = channels * tall * row
    source = images.new_zeros(length + 2 * beside)
    inner = source[:length].view(channels, tall, batch, padded)
    inner[:, above : above + height, :, beside : beside + width] = images.permute(1, 2, 0, 3)
    wanted = gradient.new_zeros(channels, height, batch, padded)
    wanted[..., :width] = gradient.permute(1, 2, 0, 3)
    wanted = wanted.view(channels, height, row)
    exact = torch.promote_types(images.dtype, torch.float32)
    total = images.new_zeros(channels, kernel_size[0], kernel_size[1], dtype=exact)
    for start in range(0, height, ROWS):
        rows = wanted[:, start : start + ROWS]
        count = rows.shape[1]
        for shift in range(kernel_size[1]):
            shifted = source.as_strided(
                (channels, row, count + 2 * above), (tall * row, 1, row), start * row + shift
            )
            products = torch.bmm(rows, shifted)
            total[:, :, shift] += _diagonals(products, kernel_size[0]).to(exact).sum(dim=1)
    return total.to(images.dtype)[:, None]


def _diagonals(products: Tensor, count: int) -> Tensor:
    """Shape: (channels, rows, rows + count - 1) to (channels, rows, count), the first diagonals."""
    channels, rows, _ = products.shape
    by_channel, by_row, by_column = products.stride()
    return products.as_strided((channels, rows, count), (by_channel, by_row + by_column, by_column))


def _padding(weight: Tensor) -> list[int]:
    return [size // 2 for size in weight.shape[2:]]


def _is_concerned(module: nn.Module) -> bool:
    if type(module) is not nn.Conv2d or module.groups == 1:
        return False
    large = all(size % 2 and size >= SMALLEST_KERNEL for size in module.kernel_size)
    same = tuple(size // 2 for size in module.kernel_size)
    depthwise = module.groups == module.in_channels == module.out_channels
    plain = module.stride == module.dilation == (1, 1) and module.padding_mode == "zeros"
    return depthwise and large and plain and module.padding == same

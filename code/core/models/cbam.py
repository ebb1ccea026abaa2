"""CBAM: what to look at (channels), then where (positions), after the stages of a backbone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import InputError
from core.models.stages import Stage, pick_stage, stage_module, trial_images


class ChannelGate(nn.Module):
    """A gate per channel from the average- and the max-pooled map, through one shared MLP.

    gate = 2 sigmoid(MLP(average(x)) + MLP(max(x))), MLP = linear, ReLU, linear.

    Shape: (batch, channels, height, width) -> (batch, channels, 1, 1)
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, features: Tensor) -> Tensor:
        score = self._mlp(features.mean((2, 3))) + self._mlp(features.amax((2, 3)))
        return 2 * torch.sigmoid(score)[:, :, None, None]

    def _mlp(self, descriptor: Tensor) -> Tensor:
        return self.expand(torch.relu(self.reduce(descriptor)))


class SpatialGate(nn.Module):
    """A gate per position from the mean and the maximum over channels, through one convolution.

    gate = 2 sigmoid(conv([mean(x), max(x)]))

    Shape: (batch, channels, height, width) -> (batch, 1, height, width)
    """

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        nn.init.zeros_(self.conv.weight)

    def forward(self, features: Tensor) -> Tensor:
        pooled = torch.cat((features.mean(1, keepdim=True), features.amax(1, keepdim=True)), 1)
        return 2 * torch.sigmoid(self.conv(pooled))


class CBAM(nn.Module):
    """Convolutional block attention: multiply by a channel gate, then by a spatial gate.

    It starts as the exact identity, so that pretrained features pass undamped, which takes two
    departures from the paper: gates are scaled by 2, and the last layer of each starts at zero,
    so that every gate is 2 sigmoid(0) = 1 (the paper's gates start near 1/2, and would scale the
    features by about 1/4). The last layers have a gradient from the first step on, the MLP's
    first layer from the second step on. The spatial gate has the paper's convolution without the
    batch normalisation of its published code, which would undo the zero start.

    Shape: (batch, channels, height, width) -> the same
    Source: Woo et al. 2018, "CBAM: Convolutional Block Attention Module"
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        self.channel_gate = ChannelGate(channels, reduction)
        self.spatial_gate = SpatialGate(kernel_size)

    def forward(self, features: Tensor) -> Tensor:
        features = features * self.channel_gate(features)
        return features * self.spatial_gate(features)


class AfterStage:
    """A forward hook that passes a stage's feature map through its CBAM.

    An object, not a closure: a copied or pickled model takes the copy's own CBAM along. A hook,
    not a wrapper: the backbone's modules keep timm's names, and so its checkpoints' keys.
    """

    def __init__(self, cbam: CBAM, stage: Stage, channels_last: bool) -> None:
        self.cbam, self.stage, self.channels_last = cbam, stage, channels_last

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        position = 3 if self.channels_last else 1
        is_map = isinstance(output, Tensor) and output.dim() == 4
        if not is_map or output.shape[position] != self.stage.channels:
            raise InputError(
                f"model: cbam_stages: the output of stage {self.stage.number} of this backbone is "
                "not a feature map: give model.cbam_stages=[], or choose a convolutional backbone"
            )
        if self.channels_last:
            return self.cbam(output.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.cbam(output)


def attach_cbam(
    backbone: nn.Module,
    stages: Sequence[Stage],
    numbers: Sequence[int],
    size: tuple[int, int] | None,
    **options: int,
) -> nn.ModuleDict:
    """Put a CBAM after each stage in `numbers`, and return them as `stage1`, `stage2`, ...

    `size` is the height and width that the backbone requires, if any; `options` are CBAM's. Raises
    InputError where the backbone has no such stage, or its output is not a feature map.
    """
    attention = nn.ModuleDict()
    key = f"cbam_stages={list(numbers)}"
    if len(set(numbers)) < len(numbers):
        raise InputError(f"model: {key}: name each stage once")
    layout = getattr(backbone, "output_fmt", "NCHW")
    channels_last = getattr(layout, "value", layout) == "NHWC"
    for number in sorted(numbers):
        stage = pick_stage(stages, number, key)
        cbam = CBAM(stage.channels, **options)
        hook = AfterStage(cbam, stage, channels_last)
        stage_module(backbone, stage, key).register_forward_hook(hook)
        attention[f"stage{number}"] = cbam
    for name in attention_left_out(backbone, attention, size):
        raise InputError(
            f"model: cbam_stages: {name} of this backbone does not run as a module of its own: "
            "choose other stages or another backbone"
        )
    return attention


@torch.no_grad()
def attention_left_out(
    backbone: nn.Module, attention: nn.ModuleDict, size: tuple[int, int] | None
) -> list[str]:
    """Names of the attention that an image does not pass on its way through the backbone."""
    if not attention:
        return []
    reached = []
    handles = [
        cbam.register_forward_hook(lambda module, inputs, output: reached.append(module))
        for cbam in attention.values()
    ]
    was_training = backbone.training
    backbone.eval()(trial_images(backbone, size))
    backbone.train(was_training)
    for handle in handles:
        handle.remove()
    return [name for name, cbam in attention.items() if cbam not in reached]

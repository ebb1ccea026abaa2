"""CBAM: what to look at (channels), then where (positions)."""

import torch
from torch import Tensor, nn


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

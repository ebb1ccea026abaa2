"""What every bottleneck has in common."""

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Bottleneck(nn.Module, ABC):
    """What stands between the encoder and the decoder, and limits what passes.

    The output is a dict: `latent` is what the decoder takes, the other keys are what the losses
    read and what is logged. It computes in at least float32, also under autocast. Randomness comes
    from `generator`, by default torch's own. In evaluation nothing is random, and nothing changes.

    Shape: (batch, channels, height, width) -> `latent` of the same shape
    """

    losses: ClassVar[tuple[str, ...] | None] = None
    """Its terms of the loss, as keys of `bottleneck.weights`. None: they were not declared, and
    the factory refuses it."""

    def __init__(self, channels: Count) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> dict[str, Any]:
        if features.dim() != 4 or features.shape[1] != self.channels:
            raise ValueError(
                f"features of shape {tuple(features.shape)}: expected "
                f"(batch, {self.channels}, height, width)"
            )
        with torch.autocast(features.device.type, enabled=False):
            precise = features if features.dtype == torch.float64 else features.float()
            return self.compress(precise, generator)

    @abstractmethod
    def compress(self, features: Tensor, generator: torch.Generator | None) -> dict[str, Any]:
        """The output for features of at least float32."""

    def after_optimizer_step(self) -> None:
        """Called after each step of the optimizer; only codebooks change."""
        return None

    def follow(self, optimizer: torch.optim.Optimizer) -> RemovableHandle:
        """Have the optimizer call `after_optimizer_step` after each of its steps."""
        return optimizer.register_step_post_hook(lambda *_: self.after_optimizer_step())


def normal_noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal noise of the same shape, type and device."""
    device = like.device if generator is None else generator.device
    noise = torch.randn(like.shape, generator=generator, device=device, dtype=like.dtype)
    return noise.to(like.device)

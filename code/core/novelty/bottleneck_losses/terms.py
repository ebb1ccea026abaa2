"""Terms of a loss that a bottleneck has computed already."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from core.errors import InputError


class MissingValueError(InputError, KeyError):
    """The model's output lacks a key. A KeyError and a ValueError, so either idiom catches it."""


class ValueLoss(nn.Module):
    """A value that stands in the model's output under `key`, times its weight."""

    def __init__(self, key: str, weight: float, name: str) -> None:
        super().__init__()
        self.key, self.weight, self.name = key, weight, name

    def forward(self, output: Mapping[str, Any]) -> Tensor:
        """Raises MissingValueError, which names the keys that are there."""
        if self.key not in output:
            raise MissingValueError(
                f"loss {self.name}: the model's output has no {self.key!r}; it has "
                f"{', '.join(map(repr, output)) or 'no keys'}"
            )
        return self.weight * output[self.key]

    def extra_repr(self) -> str:
        return f"key={self.key!r}, weight={self.weight}, name={self.name!r}"


class BottleneckLosses(nn.ModuleList):
    """The terms of one bottleneck, in order; empty for a bottleneck that needs none."""

    def forward(self, output: Mapping[str, Any]) -> dict[str, Tensor]:
        """The weighted value of each term by its name."""
        return {loss.name: loss(output) for loss in self}

    def get_total_weight(self) -> float:
        """The sum of the weights."""
        return sum(loss.weight for loss in self)

    def get_loss_by_name(self, name: str) -> ValueLoss:
        """Raises InputError, which names the terms that there are."""
        for loss in self:
            if loss.name == name:
                return loss
        names = ", ".join(loss.name for loss in self) or "none"
        raise InputError(f"bottleneck losses: no loss {name!r}: there are: {names}")

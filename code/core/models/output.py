"""What a model answers with, and its first answer, by which lazy layers get their shapes."""

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

Output = Tensor | Mapping[str, Tensor]


def logits_of(output: Output) -> Tensor:
    """A model answers with logits, or with a dict that holds them among other things."""
    return output["logits"] if isinstance(output, Mapping) else output


@torch.no_grad()
def initialize_lazy_layers(model: nn.Module, image_shape: Sequence[int]) -> None:
    """Give lazy layers, if any, their parameters by a black image (channels, height, width)."""
    if any(map(is_lazy, chain(model.parameters(), model.buffers()))):
        was_training = model.training
        model.eval()(torch.zeros(1, *image_shape, dtype=torch.uint8))
        model.train(was_training)

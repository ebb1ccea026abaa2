"""The small network between features and embeddings, thrown away after pretraining."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import nn

HiddenSize = Annotated[
    int, Field(ge=1, le=16384, description="units of the projector's hidden layers")
]
EmbeddingSize = Annotated[int, Field(ge=2, le=16384, description="dimensions of the embeddings")]


def projector(*sizes: int, batch_norm: bool = True) -> nn.Sequential:
    """Linear layers of these sizes with ReLU between them, and batch normalisation before it."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=2):
        is_last = number == len(sizes)
        normalised = batch_norm and not is_last
        layers.append(nn.Linear(inputs, outputs, bias=not normalised))
        if normalised:
            layers.append(nn.BatchNorm1d(outputs))
        if not is_last:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)

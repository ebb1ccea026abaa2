"""A classifier without its last layers: an encoder, whose output is the pooled features."""

from torch import nn

from core.errors import InputError
from core.models.classifier import TimmClassifier


def as_encoder(model: nn.Module, where: str) -> TimmClassifier:
    """Take the last layers, a mask head and its fusion off the `model`, in place.

    The names of all other tensors stay. Raises InputError, naming `where`, for a model that has no
    backbone of its own.
    Shape: of the encoder, (batch, channels, height, width) -> (batch, features)
    """
    if not isinstance(model, TimmClassifier):
        raise InputError(
            f"{where}: this model has no backbone with features: choose one that has, such as "
            "model.name=resnet10_slim"
        )
    for layer in model.last_layers:
        model.set_submodule(layer, nn.Identity())
    model.mask_head = model.fusion = None
    return model

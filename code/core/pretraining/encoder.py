"""The encoder that is pretrained: a classifier without its last layers, and its file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from core.errors import InputError
from core.files.writing import replacing, to_json, write_text
from core.models.classifier import TimmClassifier
from core.models.registry import get_registry
from core.models.stages import trial_images
from core.training.classification.objective import logits_of

ENCODER_FILE = "encoder.safetensors"
CARD_FILE = "ENCODER_CARD.md"


def build_encoder(
    values: Mapping[str, Any], image_size: tuple[int, int], mask_head: bool = False
) -> nn.Module:
    """The backbone of the model that these values of `model.*` name, attention and stem included.

    Its last layers pass features on. With `mask_head` it also has masks of one class. The names of
    all its tensors are those of the classifier. Raises InputError for a model that has no backbone,
    and for a mask head that is not learned.
    """
    name, params = values["name"], {k: v for k, v in values.items() if k != "name"}
    where = f"model.name={name}"
    if not issubclass(get_registry().get(name), TimmClassifier):
        raise InputError(
            f"{where}: has no backbone that could be pretrained alone: choose another, such as "
            "model.name=resnet10_slim"
        )
    if mask_head:
        params |= {"mask_head": True, "fusion": False, "num_classes": 1}
    elif params.get("mask_head"):
        raise InputError(
            "model.mask_head=true: a mask head learns from masks, which only "
            "method.name=synthetic_defects has: leave it out, and add it in the training that "
            "follows"
        )
    if params.get("num_classes", 0) is None:
        params["num_classes"] = 1  # of a head that is taken off
    model = get_registry().instantiate(name, **params)
    model.check_image_size(*image_size)
    for layer in model.last_layers:
        model.set_submodule(layer, nn.Identity())
    return model


@torch.no_grad()
def num_features(encoder: nn.Module) -> int:
    """How many features the encoder has of an image."""
    image = trial_images(encoder.backbone, encoder.input_layer.size)
    was_training = encoder.training
    features = logits_of(encoder.eval()(image))
    encoder.train(was_training)
    return features.shape[1]


def save_encoder(
    folder: Path, encoder: nn.Module, card: Mapping[str, Any], left_out: Sequence[str] = ()
) -> None:
    """Write encoder.safetensors with the `card` as its metadata, and the card as a page.

    Tensors whose names begin with one of `left_out` are not written.
    """
    tensors = {
        key: value.cpu().contiguous()
        for key, value in encoder.state_dict().items()
        if not key.startswith(tuple(left_out))
    }
    has_masks = any(key.startswith("mask_head.") for key in tensors)
    with_masks = " model.mask_head=true" if has_masks else ""
    known = {key: value for key, value in to_json(card).items() if value is not None}
    metadata = {"format": "pt", **{key: str(value) for key, value in known.items()}}
    with replacing(folder / ENCODER_FILE) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt", **metadata})
    rows = [
        f"| {key.replace('_', ' ')} | {value} |"
        for key, value in to_json(card).items()
        if value is not None
    ]
    path = folder / ENCODER_FILE
    text = [
        "# Encoder",
        "",
        f"`{ENCODER_FILE}` holds the weights of a backbone that was pretrained. To go on from it:",
        "",
        f"    python code/train.py model.name={card.get('model')}{with_masks} model.weights={path}",
        "",
        "| | |",
        "|---|---|",
        *rows,
        "",
    ]
    write_text(folder / CARD_FILE, "\n".join(text))

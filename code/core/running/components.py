"""Build the model and the loss that a config names, for the data at hand."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from core.command.config import TrainConfig
from core.data.label_table import LabelTable
from core.errors import InputError
from core.losses.factory import get_loss
from core.models.depthwise import use_matmul_gradients
from core.models.output import initialize_lazy_layers
from core.models.registry import get_registry as get_model_registry
from core.running.mask_supervision import usable_model, warn_of_head_left_out
from core.training.precision import choose_precision


def with_num_classes(config: TrainConfig, table: LabelTable) -> TrainConfig:
    """The config with as many classes as the data has, where nobody set `model.num_classes`."""
    if config.model.get("num_classes", 0) is not None:
        return config
    return replace(config, model={**config.model, "num_classes": len(table.class_names)})


def build_model(
    values: Mapping[str, Any], table: LabelTable, shares: np.ndarray, image_shape: tuple[int, ...]
) -> nn.Module:
    """Build the model by its name; its head's bias starts at the log-odds of the class shares.

    `image_shape` is (channels, height, width).

    Raises:
        InputError: the model does not fit the number of classes or the image size.
    """
    warn_of_head_left_out(values, table)
    params = {key: v for key, v in usable_model(values, table).items() if key != "name"}
    num_classes = len(table.class_names)
    if params.get("num_classes", num_classes) != num_classes:
        raise InputError(
            f"model.num_classes={params['num_classes']}: {table.source} has {num_classes} "
            f"classes ({', '.join(table.class_names)}): leave it out, or give {num_classes}"
        )
    model = get_model_registry().instantiate(values["name"], **params)
    # Optional methods of a model.
    if check_image_size := getattr(model, "check_image_size", None):
        check_image_size(*image_shape[1:])
    initialize_lazy_layers(model, image_shape)
    if set_class_shares := getattr(model, "set_class_shares", None):
        set_class_shares(shares)
    return model


def checkpoint_gradients(model: nn.Module, name: str) -> None:
    """Make the model recompute its activations in the backward pass."""
    switch = getattr(model, "set_grad_checkpointing", None)
    if switch is None:
        raise InputError(
            f"training.gradient_checkpointing=true: {name} has no set_grad_checkpointing: use "
            "false, or another model"
        )
    switch()


def multiply_depthwise(model: nn.Module, config: TrainConfig, device: torch.device) -> None:
    """Make depthwise convolutions compute their weight gradients as matrix products.

    Raises:
        InputError: this would change nothing.
    """
    wanted = "runtime.depthwise_gradient='matmul'"
    precision = choose_precision(config.runtime.precision, device).name
    if (device.type, precision) != ("cpu", "bfloat16"):
        raise InputError(
            f"{wanted}: is for bfloat16 on a CPU, and this computes in {precision} on "
            f"{device.type}: use torch, or runtime.precision=bfloat16 runtime.device=cpu"
        )
    if not use_matmul_gradients(model):
        raise InputError(
            f"{wanted}: {config.model['name']} has no depthwise convolution of 5x5 or larger with "
            "stride 1: use torch, or a ConvNeXt"
        )


def build_loss(
    values: Mapping[str, Any], table: LabelTable, counts: np.ndarray, total: int
) -> nn.Module:
    """Build the loss by its type, and give it the class counts of the training part."""
    if values.get("reduction") == "none":
        raise InputError("loss.reduction='none': a training minimises one number: use mean or sum")
    # This loss gets image labels only: a loss for masks, or for a single class, is refused here.
    loss = get_loss(values, masks=False)
    if loss.index_targets:
        raise InputError(
            f"loss.type={values['type']}: takes one class per image, but a strip has none, one or "
            "several: use focal_loss"
        )
    loss.set_class_statistics(counts, total, source="train_split", class_names=table.class_names)
    return loss

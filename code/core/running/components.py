"""Build the model and the loss that a config names, for the data at hand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from core.command.config import TrainConfig
from core.data.label_table import LabelTable
from core.errors import InputError
from core.losses.base import BaseLoss
from core.losses.factory import loss_for_training, resolve_name
from core.losses.registry import get_registry as get_loss_registry
from core.models.depthwise import use_matmul_gradients
from core.models.mask_head import mask_size
from core.models.output import initialize_lazy_layers
from core.models.registry import get_registry as get_model_registry
from core.running.component_errors import check_forward, naming_the_line
from core.training.classification.objective import Objective
from core.training.precision import choose_precision
from core.training.settings import TrainingSettings


def with_num_classes(config: TrainConfig, table: LabelTable) -> TrainConfig:
    """The config with as many classes as the data has, where nobody set `model.num_classes`."""
    if config.model.get("num_classes", 0) is not None:
        return config
    return replace(config, model={**config.model, "num_classes": len(table.class_names)})


def build_model(
    values: Mapping[str, Any], table: LabelTable, shares: np.ndarray, image_shape: tuple[int, ...]
) -> nn.Module:
    """Build the model by its name; its head's bias starts at the log-odds of the class shares.

    Raises InputError where it does not fit the classes, or `image_shape` (channels, height, width).
    """
    params = {key: value for key, value in values.items() if key != "name"}
    num_classes = len(table.class_names)
    if params.get("num_classes", num_classes) != num_classes:
        raise InputError(
            f"model.num_classes={params['num_classes']}: {table.source} has {num_classes} "
            f"classes ({', '.join(table.class_names)}): leave it out, or give {num_classes}"
        )
    name, where = values["name"], f"model {values['name']}"
    component = get_model_registry().get(name)
    check_forward(where, component)
    with naming_the_line(where, component):
        model = get_model_registry().instantiate(name, **params)
    with naming_the_line(where, model):
        # Optional methods of a model.
        if check_image_size := getattr(model, "check_image_size", None):
            check_image_size(*image_shape[1:])
        initialize_lazy_layers(model, image_shape)
        if set_class_shares := getattr(model, "set_class_shares", None):
            set_class_shares(shares)
    return model


def choose_gradients(model: nn.Module, config: TrainConfig, device: torch.device) -> None:
    """Recompute activations in the backward pass, multiply depthwise gradients, each if wanted."""
    name = config.model["name"]
    if config.training.gradient_checkpointing:
        switch = getattr(model, "set_grad_checkpointing", None)
        if switch is None:
            raise InputError(
                f"training.gradient_checkpointing=true: {name} has no set_grad_checkpointing: use "
                "false, or another model"
            )
        switch()
    if config.runtime.depthwise_gradient != "matmul":
        return
    wanted = "runtime.depthwise_gradient='matmul'"
    precision = choose_precision(config.runtime.precision, device).name
    if (device.type, precision) != ("cpu", "bfloat16"):
        raise InputError(
            f"{wanted}: is for bfloat16 on a CPU, and this computes in {precision} on "
            f"{device.type}: use torch, or runtime.precision=bfloat16 runtime.device=cpu"
        )
    if not use_matmul_gradients(model):
        raise InputError(
            f"{wanted}: {name} has no depthwise convolution of 5x5 or larger with "
            "stride 1: use torch, or a ConvNeXt"
        )


def build_loss(
    values: Mapping[str, Any],
    class_names: Sequence[str],
    counts: np.ndarray,
    total: int,
    drawn: np.ndarray,
) -> BaseLoss:
    """Build the loss by its type, and give it the class counts of the training part.

    `drawn` has the share of positives of each class among what the sampler draws.
    """
    loss = _loss(values, "loss", masks=False)
    loss.set_class_statistics(
        counts, total, source="train_split", class_names=class_names, drawn_shares=drawn.tolist()
    )
    return loss


def build_mask_loss(
    config: TrainConfig,
    table: LabelTable,
    train: np.ndarray,
    pixel_shares: np.ndarray | None,
    drawn: np.ndarray,
) -> tuple[BaseLoss | None, float]:
    """The loss of masks and its weight; it gets the number of mask cells per class.

    `drawn` has the share of images of each class among what the sampler draws: a class that is
    drawn twice as often shows twice as many cells.
    """
    if config.mask_loss is None:
        return None, 1.0
    values = dict(config.mask_loss)
    weight = values.pop("weight")
    loss = _loss(values, "mask_loss", masks=True)
    cells = len(train) * math.prod(mask_size(config.data.image_format.size))
    counts = np.rint(pixel_shares * cells).astype(np.int64).tolist()
    shown = table.labels[train].mean(axis=0)
    drawn_cells = pixel_shares * np.divide(drawn, shown, where=shown > 0, out=np.ones(len(shown)))
    loss.set_class_statistics(
        counts, cells, source="train_split_masks", class_names=table.class_names,
        drawn_shares=drawn_cells.tolist(),
    )  # fmt: skip
    return loss, weight


def check_objective(objective: Objective, settings: TrainingSettings) -> None:
    """Raise InputError where an epoch would train nothing, or batches cannot be accumulated."""
    for epoch in (1, settings.num_epochs):
        objective.set_epoch(epoch - 1)
        if objective.weighs_nothing:
            raise InputError(
                f"training.num_epochs={settings.num_epochs}: in epoch {epoch} the weight of every "
                "component of the loss is 0, so nothing would be trained: change a weight or a "
                "weight_step, or give a weight_limit above 0"
            )
    objective.set_epoch(0)
    accumulation_steps = settings.accumulation_steps
    # No weight of a batch suits both.
    if accumulation_steps > 1 and objective.sums_over_images is None:
        raise InputError(
            f"training.accumulation_steps={accumulation_steps}: cannot weigh batches of losses of "
            "which some are sums over the images and others means: give all of them "
            "reduction=sum (those that count over the batch also batch=false, a compound fixed "
            "weights), or none"
        )


def _loss(values: Mapping[str, Any], key: str, *, masks: bool) -> BaseLoss:
    where = f"{key} {values['type']}"
    component = get_loss_registry().get(resolve_name(values["type"]))
    check_forward(where, component)
    with naming_the_line(where, component):
        return loss_for_training(values, key, masks=masks)

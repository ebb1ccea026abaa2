"""From a checked config to a finished experiment: where the rooms meet."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.analysis.model_card import write_model_card
from core.analysis.report import write_report
from core.augmentation.pipelines import AugmentationPipeline
from core.config import TrainConfig
from core.data.annotations import LabelTable
from core.data.sampling import expected_shares, image_weights
from core.data.splitting import Split
from core.errors import InputError
from core.losses.factory import get_loss
from core.models.depthwise import use_matmul_gradients
from core.models.registry import get_registry as get_model_registry
from core.running.device import choose_device, keep_freed_memory
from core.running.experiment_record import Data, Parts, describe
from core.running.loading import build_loaders, choose_split, read_data
from core.running.mask_supervision import (
    build_mask_loss,
    check_mask_supervision,
    known_masks,
    pixel_shares_of,
    usable_model,
    warn_of_head_left_out,
)
from core.running.out_of_memory import (
    explaining_out_of_memory,
    settle_batch_size,
    settled_values,
)
from core.training.callbacks import TensorBoard
from core.training.distributed import first_before_others, is_first
from core.training.experiment import ExperimentFolder
from core.training.learner import Learner
from core.training.objective import Objective
from core.training.precision import choose_precision
from core.training.process_group import others_may_fail
from core.training.seeding import seed_everything, set_determinism
from core.training.summary import summary_table
from core.training.task import Task
from core.training.trainer import Trainer

log = logging.getLogger(__name__)


def train(config: TrainConfig) -> dict[str, Any]:
    """Run one experiment and return what its results.json holds.

    All input is read and checked, and everything is built, before a folder is made: a mistake
    leaves nothing behind.
    """
    data = read_data(config.data)
    split = choose_split(config, data)
    settled = settle_batch_size(config, partial(build, data=data, split=split))
    parts = build(settled, data, split)
    folder = ExperimentFolder.create(Path(config.experiment.results_dir), config.experiment.name)
    folder.note_settled(settled_values(config))
    return run(settled, parts, folder)


def run(
    config: TrainConfig,
    parts: Parts,
    folder: ExperimentFolder,
    checkpoint: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train what was built into a folder, and report it.

    With a `checkpoint`, to which the learner has been restored, go on from there.
    """
    with folder.running():
        log.info("Experiment %s on %s", folder.path, parts.learner.device)
        if is_first():
            describe(folder, config, parts)
        trainer = build_trainer(config, parts, folder)
        if checkpoint:
            trainer.continue_from(checkpoint)
        with others_may_fail(), explaining_out_of_memory(config):
            results = trainer.fit()
        for part in ("train", "test"):
            if part in results:
                log.info(
                    "\n%s part, %d images, epoch %d, threshold 0.5:\n%s",
                    part.capitalize(),
                    results[part]["num_images"],
                    results["tested_epoch"],
                    summary_table(results[part]),
                )
    if not is_first():
        return results
    # Only now: the report reads what a completed experiment wrote, as it would on another day.
    log.info("\nReport: %s", write_report(folder.path))
    log.info("Model card: %s", write_model_card(folder.path))
    log.info("Results: %s", folder.results_file)
    return results


def build(config: TrainConfig, data: Data, split: Split) -> Parts:
    """Build what the config names, for these data and this split.

    Raises:
        InputError: a value is not what it should be, or does not fit the data.
    """
    device = choose_device(config.runtime)
    keep_freed_memory()
    set_determinism(config.runtime.deterministic)
    table, seed = data.table, config.experiment.seed
    pipeline = AugmentationPipeline(
        config.augmentation,
        channels=config.data.channels,
        seed=seed,
        learns_masks=config.mask_loss is not None,
    )
    check_mask_supervision(config, table, pipeline)
    labels = table.labels[split["train"]]
    counts = labels.sum(axis=0)
    seed_everything(seed)
    drawn = expected_shares(labels, image_weights(labels, config.data.sampler))
    with first_before_others():
        model = build_model(config.model, table, drawn, config.data.image_size)
    pixel_shares = pixel_shares_of(model, table, known_masks(config, table, split["train"]))
    objective = Objective(
        build_loss(config.loss, table, counts, total=len(labels)),
        *build_mask_loss(config, table, split["train"], pixel_shares),
    )
    loaders = build_loaders(config, data, split, pipeline, objective.mask_loss)
    if config.training.gradient_checkpointing:
        checkpoint_gradients(model, config.model["name"])
    if config.runtime.depthwise_gradient == "matmul":
        multiply_depthwise(model, config, device)
    learner = Learner.create(
        model,
        objective,
        config.training,
        steps_per_epoch=len(loaders["train"]),
        device=device,
        runtime=config.runtime,
    )
    return Parts(data, split, pipeline, loaders, learner)


def build_trainer(config: TrainConfig, parts: Parts, folder: ExperimentFolder) -> Trainer:
    """The trainer of one experiment."""
    return Trainer(
        parts.learner,
        Task(parts.loaders, parts.data.table.class_names, config.experiment.seed),
        folder,
        settings=config.training,
        evaluation=config.evaluation,
        model_card={
            "model": usable_model(config.model, parts.data.table),
            "image_size": list(config.data.image_size),
            "channels": config.data.channels,
        },
        callbacks=[TensorBoard(folder.path)] if config.training.tensorboard and is_first() else [],
    )


def build_model(
    values: Mapping[str, Any], table: LabelTable, shares: np.ndarray, image_size: tuple[int, int]
) -> nn.Module:
    """The registered model of that name, its head's bias at the log-odds of the class shares.

    Raises:
        InputError: a model for other numbers of classes, or for images of another size alone.
    """
    warn_of_head_left_out(values, table)
    params = {key: v for key, v in usable_model(values, table).items() if key != "name"}
    num_classes = len(table.class_names)
    if params.get("num_classes", num_classes) != num_classes:
        raise InputError(
            f"model.num_classes={params['num_classes']}: {table.source} has {num_classes} "
            f"classes ({', '.join(table.class_names)}): set model.num_classes={num_classes}"
        )
    model = get_model_registry().instantiate(values["name"], **params)
    # A model of a newcomer need not have these.
    if check_image_size := getattr(model, "check_image_size", None):
        check_image_size(*image_size)
    if set_class_shares := getattr(model, "set_class_shares", None):
        set_class_shares(shares)
    return model


def checkpoint_gradients(model: nn.Module, name: str) -> None:
    """Have the model compute its activations again in the backward pass."""
    switch = getattr(model, "set_grad_checkpointing", None)
    if switch is None:
        raise InputError(
            f"training.gradient_checkpointing=true: {name} has no set_grad_checkpointing: use "
            "false, or another model"
        )
    switch()


def multiply_depthwise(model: nn.Module, config: TrainConfig, device: torch.device) -> None:
    """Have the model's depthwise convolutions compute their weight gradients as matrix products.

    Raises:
        InputError: where that would change nothing.
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
    """The registered loss of that type, told of the class counts of the training part."""
    if values.get("reduction") == "none":
        raise InputError("loss.reduction='none': a training minimises one number: use mean or sum")
    # The trainer has image labels only: a loss of masks, or of a single class, is refused here.
    loss = get_loss(values, masks=False)
    if loss.index_targets:
        raise InputError(
            f"loss.type={values['type']}: takes one class per image, but a strip has none, one or "
            "several: use focal_loss"
        )
    loss.set_class_statistics(counts, total, source="train_split", class_names=table.class_names)
    return loss

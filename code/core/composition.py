"""From a checked config to a finished experiment: where the rooms meet."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from core.analysis.report import write_report
from core.augmentation.pipelines import AugmentationPipeline
from core.config import TrainConfig
from core.data.annotations import LabelTable, read_label_table
from core.data.dataset import StripDataset
from core.data.duplicates import find_duplicate_pairs, strip_descriptors
from core.data.label_noise import flip_labels
from core.data.loaders import make_loader
from core.data.settings import DataSettings
from core.data.splitting import Split, split_by_strategy
from core.data.synthetic.store import ensure_strips
from core.errors import InputError
from core.experiment_record import Data, Parts, describe
from core.losses.factory import get_loss
from core.models.registry import get_registry as get_model_registry
from core.training.callbacks import TensorBoard
from core.training.epoch import Learner
from core.training.experiment import ExperimentFolder
from core.training.seeding import seed_everything, set_determinism
from core.training.settings import RuntimeSettings
from core.training.summary import summary_table
from core.training.trainer import Task, Trainer

log = logging.getLogger(__name__)


def train(config: TrainConfig) -> dict[str, Any]:
    """Run one experiment and return what its results.json holds.

    All input is read and checked, and everything is built, before a folder is made: a mistake
    leaves nothing behind.
    """
    data = read_data(config.data)
    parts = build(config, data, choose_split(config, data))
    folder = ExperimentFolder.create(Path(config.experiment.results_dir), config.experiment.name)
    return run(config, parts, folder)


def run(config: TrainConfig, parts: Parts, folder: ExperimentFolder) -> dict[str, Any]:
    """Train what was built into a folder, and report it."""
    with folder.running():
        log.info("Experiment %s on %s", folder.path, parts.learner.device)
        describe(folder, config, parts)
        results = build_trainer(config, parts, folder).fit()
        for part in ("train", "test"):
            if part in results:
                log.info(
                    "\n%s part, %d images, epoch %d, threshold 0.5:\n%s",
                    part.capitalize(),
                    results[part]["num_images"],
                    results["tested_epoch"],
                    summary_table(results[part]),
                )
    # Only now: the report reads what a completed experiment wrote, as it would on another day.
    log.info("\nReport: %s", write_report(folder.path))
    log.info("Results: %s", folder.results_file)
    return results


def read_data(data: DataSettings) -> Data:
    """The label table and its near-duplicates.

    Raises:
        InputError: the data set is not what it should be.
    """
    table = read_table(data)
    return Data(table, find_duplicates(table, data))


def choose_split(config: TrainConfig, data: Data) -> Split:
    """The split that `data.split_strategy` names, near-duplicates in one part."""
    return split_by_strategy(
        data.table,
        config.data.split_strategy,
        config.experiment.seed,
        config.data.split_file,
        groups=data.groups,
    )


def build(config: TrainConfig, data: Data, split: Split) -> Parts:
    """Build what the config names, for these data and this split.

    Raises:
        InputError: a value is not what it should be, or does not fit the data.
    """
    device = choose_device(config.runtime)
    set_determinism(config.runtime.deterministic)
    table, seed = data.table, config.experiment.seed
    pipeline = AugmentationPipeline(config.augmentation, channels=config.data.channels, seed=seed)
    loaders = build_loaders(config, table, split, pipeline, pin_memory=device.type == "cuda")
    counts = table.labels[split["train"]].sum(axis=0)
    seed_everything(seed)
    model = build_model(config.model, table, counts / len(split["train"]))
    loss = build_loss(config.loss, table, counts, total=len(split["train"]))
    learner = Learner.create(
        model, loss, config.training, steps_per_epoch=len(loaders["train"]), device=device
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
            "model": config.model,
            "image_size": list(config.data.image_size),
            "channels": config.data.channels,
        },
        callbacks=[TensorBoard(folder.path)] if config.training.tensorboard else [],
    )


def read_table(data: DataSettings) -> LabelTable:
    """The label table of `data.root`; synthetic strips are generated into it first.

    Labels are wrong in it where `data.label_noise` asks for that.
    """
    root = Path(data.root)
    if data.source == "synthetic":
        root = ensure_strips(
            root,
            num_images=data.num_images,
            image_size=data.image_size,
            class_shares=data.class_shares,
            seed=data.generation_seed,
            # A process takes seconds to start: one for each few hundred strips.
            num_workers=max(1, min(os.cpu_count() or 1, data.num_images // 250)),
        )
    table = read_label_table(root, class_names=data.class_names, image_size=data.image_size)
    return flip_labels(table, data.label_noise, data.generation_seed)


def find_duplicates(table: LabelTable, data: DataSettings) -> list[tuple[int, int]]:
    """Pairs of near-duplicate strips, which must not straddle the split; none where not wanted."""
    if not data.group_duplicates:
        return []
    descriptors = strip_descriptors(table.image_paths, data.image_size, os.cpu_count() or 1)
    pairs = find_duplicate_pairs(descriptors)
    if pairs:
        log.info("%d pairs of near-duplicate strips are kept in one part each", len(pairs))
    return pairs


def build_loaders(
    config: TrainConfig,
    table: LabelTable,
    split: Split,
    pipeline: AugmentationPipeline,
    *,
    pin_memory: bool = False,
) -> dict[str, DataLoader]:
    """A loader per part; only the one that is trained on is shuffled and augmented."""
    data, seed = config.data, config.experiment.seed

    def loader(part: str, training: bool) -> DataLoader:
        dataset = StripDataset(
            table,
            split[part],
            data.image_size,
            transform=pipeline if training else None,
            channels=data.channels,
        )
        return make_loader(
            dataset,
            data.batch_size,
            seed=seed,
            shuffle=training,
            num_workers=data.num_workers,
            pin_memory=pin_memory,
        )

    loaders = {part: loader(part, training=part == "train") for part in split}
    if config.training.evaluate_train_part:
        loaders["train_evaluation"] = loader("train", training=False)
    return loaders


def build_model(values: Mapping[str, Any], table: LabelTable, shares: np.ndarray) -> nn.Module:
    """The registered model of that name, its head's bias at the log-odds of the class shares."""
    params = {key: value for key, value in values.items() if key != "name"}
    num_classes = len(table.class_names)
    if params.get("num_classes", num_classes) != num_classes:
        raise InputError(
            f"model.num_classes={params['num_classes']}: {table.source} has {num_classes} "
            f"classes ({', '.join(table.class_names)}): set model.num_classes={num_classes}"
        )
    model = get_model_registry().instantiate(values["name"], **params)
    # A model of a newcomer need not have such a head.
    if set_class_shares := getattr(model, "set_class_shares", None):
        set_class_shares(shares)
    return model


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


def choose_device(runtime: RuntimeSettings) -> torch.device:
    """The device asked for, and torch's number of threads."""
    if runtime.num_threads:
        torch.set_num_threads(runtime.num_threads)
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "runtime.device='cuda': torch finds no CUDA device here: use runtime.device=cpu or auto"
        )
    wanted = runtime.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)

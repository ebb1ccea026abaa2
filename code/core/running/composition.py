"""Compose an experiment from a checked config, and run it."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from core.analysis.model_card import write_model_card
from core.analysis.report import write_report
from core.analysis.text_tables import summary_table
from core.augmentation.pipelines import AugmentationPipeline
from core.command.config import TrainConfig
from core.data.sampling import expected_shares, image_weights
from core.data.split_file import Split
from core.experiments.folder import ExperimentFolder
from core.machine.device import choose_device, keep_freed_memory
from core.machine.distributed import first_before_others, from_first, is_first
from core.machine.interruption import Interruption
from core.machine.process_group import others_may_fail
from core.metrics.thresholds import check_costs
from core.predicting.trained_model import MODEL_SCHEMA_VERSION
from core.running.autotuning import build_fastest
from core.running.components import (
    build_loss,
    build_mask_loss,
    build_model,
    check_objective,
    choose_gradients,
    with_num_classes,
)
from core.running.computation import Computation, applied
from core.running.experiment_record import LoadedData, TrainingSetup, describe, overview
from core.running.loading import build_loaders, choose_split, read_data, with_image_size
from core.running.mask_supervision import (
    check_mask_supervision,
    check_missing_masks,
    pixel_shares_of,
    usable_model,
)
from core.running.out_of_memory import explaining_out_of_memory, note_settled, settle_batch_size
from core.running.pretrained_images import check_unseen
from core.running.trial_step import try_step
from core.training.callbacks import Callback, chosen_callbacks
from core.training.classification.history_plot import HistoryPlot
from core.training.classification.objective import Objective
from core.training.classification.task import ClassificationTask
from core.training.frozen_features import FrozenFeatures
from core.training.learner import Learner
from core.training.seeding import seed_everything, set_determinism
from core.training.trackers import tracked
from core.training.trainer import Trainer

log = logging.getLogger(__name__)

UNLIMITED = nullcontext()


def train(config: TrainConfig, callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """Run one experiment, with these callbacks too, and return what its results.json holds.

    Everything is read, checked and built before a folder is made: a mistake leaves nothing behind.
    """
    given, config = config, replace(config, data=with_image_size(config.data))
    data = read_data(config.data)
    check_missing_masks(config, data.table)
    config = with_num_classes(config, data.table)
    split = choose_split(config, data)
    from_first(partial(check_unseen, config, data.table, [split]))
    of_config = partial(build, data=data, split=split)
    settled = settle_batch_size(config, of_config)
    setup = build_fastest(settled, of_config, try_step)
    folder = ExperimentFolder.create(Path(config.experiment.results_dir), config.experiment.name)
    note_settled(folder, given)
    return run(settled, setup, folder, callbacks=callbacks)


def run(
    config: TrainConfig,
    setup: TrainingSetup,
    folder: ExperimentFolder,
    checkpoint: dict[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
) -> dict[str, Any]:
    """Train, from the `checkpoint` that the learner was restored to, if any; write the report."""
    with tracked(folder, config.training.trackers):
        results = _run(config, setup, folder, checkpoint, callbacks)
        if is_first():
            # At the end, because they read what a completed experiment wrote; the report links the
            # card.
            card = write_model_card(folder.path)
            log.info("\nReport: %s", write_report(folder.path))
            log.info("Model card: %s", card)
            log.info("Results: %s", folder.results_file)
    return results


def _run(
    config: TrainConfig,
    setup: TrainingSetup,
    folder: ExperimentFolder,
    checkpoint: dict[str, Any] | None,
    callbacks: Sequence[Callback],
) -> dict[str, Any]:
    interruption = Interruption()
    with folder.running(interruption):
        log.info("Experiment %s", folder.path)
        if is_first():
            describe(folder, config, setup)
            log.info("%s\n", overview(folder.results))
        trainer = build_trainer(config, setup, folder, interruption, callbacks)
        if checkpoint:
            trainer.continue_from(checkpoint)
        settled = applied(config, setup.computation)
        with others_may_fail(), explaining_out_of_memory(settled):
            results = trainer.fit()
        text = "\n%s part, %d images, epoch %d, threshold 0.5:\n%s"
        for part in ("train", "test"):
            if figures := results.get(part):
                about = (part.capitalize(), figures["num_images"], results["tested_epoch"])
                log.info(text, *about, summary_table(figures))
    return results


def build(
    config: TrainConfig,
    data: LoadedData,
    split: Split,
    limits: AbstractContextManager[None] = UNLIMITED,
) -> TrainingSetup:
    """Build what the config names, the model within `limits`.

    Raises InputError for values that do not fit the data, or the limits.
    """
    device = choose_device(config.runtime.device, config.runtime.num_threads)
    keep_freed_memory()
    set_determinism(config.runtime.deterministic)
    table, seed = data.table, config.experiment.seed
    config = with_num_classes(config, table)
    check_costs(config.evaluation, table.class_names)
    pipeline = AugmentationPipeline(
        config.augmentation,
        channels=config.data.channels,
        seed=seed,
        learns_masks=config.mask_loss is not None,
    )
    check_mask_supervision(config, table, pipeline)
    values = usable_model(config.model, table)
    labels = table.labels[split["train"]]
    counts = labels.sum(axis=0)
    seed_everything(seed)
    drawn = expected_shares(labels, image_weights(labels, config.data.sampler))
    with first_before_others(), limits:
        image_shape = (config.data.channels, *config.data.image_format.size)
        model = build_model(values, table, drawn, image_shape)
    pixel_shares = pixel_shares_of(model, config, table, split["train"])
    objective = Objective(
        build_loss(config.loss, table.class_names, counts, len(labels), drawn),
        *build_mask_loss(config, table, split["train"], pixel_shares, drawn),
    )
    check_objective(objective, config.training)
    loaders = build_loaders(config, data, split, pipeline, objective.mask_loss)
    choose_gradients(model, config, device)
    learner = Learner.create(
        model,
        objective,
        config.training,
        steps_per_epoch=len(loaders["train"]),
        device=device,
        runtime=config.runtime,
        features=_features_of_unchanged(split, pipeline),
    )
    task = ClassificationTask(
        objective,
        loaders,
        table.class_names,
        seed,
        config.evaluation,
        final_model={
            "schema_version": MODEL_SCHEMA_VERSION,
            "model": values,
            "image_size": list(data.image_format.size),
            "resize_mode": config.data.resize_mode if config.data.resize else None,
            "channels": config.data.channels,
            "bit_depth": data.image_format.bit_depth,
        },
        groups=data.group_by_id,
    )
    return TrainingSetup(data, split, pipeline, task, learner, Computation.of(config, device))


def _features_of_unchanged(split: Split, pipeline: AugmentationPipeline) -> FrozenFeatures | None:
    """Where a frozen backbone's features are kept; None: the training images change."""
    if pipeline.is_empty and pipeline.batch_transform is None:
        return FrozenFeatures(len(split["train"]) + len(split["validation"]))
    return None


def build_trainer(
    config: TrainConfig,
    setup: TrainingSetup,
    folder: ExperimentFolder,
    interruption: Interruption,
    callbacks: Sequence[Callback] = (),
) -> Trainer:
    """The trainer of one experiment."""
    curves = [HistoryPlot(folder.path / "history.png")] if is_first() else []
    chosen = chosen_callbacks(config.training, folder.path, setup.task.criterion)
    return Trainer(
        setup.learner,
        setup.task,
        folder,
        settings=config.training,
        interruption=interruption,
        callbacks=[*curves, *chosen, *callbacks],
    )

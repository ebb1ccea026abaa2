"""Compose a pretraining from a checked config, run it, and continue it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import gt
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from core.analysis.report import write_report
from core.data.dataset import StripDataset
from core.data.loaders import make_loader
from core.data.sampling import BatchShard
from core.errors import InputError
from core.experiments.folder import ExperimentFolder
from core.experiments.reading import read_results
from core.experiments.schema import PretrainingResults
from core.experiments.strips import SPLIT_FILE
from core.machine.device import choose_device, keep_freed_memory
from core.machine.distributed import first_before_others, from_first, is_first, rank, size
from core.machine.interruption import Interruption
from core.machine.process_group import others_may_fail
from core.models.parameters import without_weights
from core.pretraining.choosing import Chosen, choose_strips
from core.pretraining.contact_sheet import write_pairs
from core.pretraining.encoder import ENCODER_FILE, build_encoder, num_features
from core.pretraining.methods import Method, get_registry
from core.pretraining.probe import Probe
from core.pretraining.record import describe, encoder_card
from core.pretraining.settings import PretrainConfig
from core.pretraining.strips import ViewDataset
from core.pretraining.task import PretrainingTask
from core.pretraining.views import PairOfViews
from core.running.components import choose_gradients
from core.running.continuation import describe_resumption, newest_checkpoint
from core.running.out_of_memory import explaining_out_of_memory
from core.training.callbacks import chosen_callbacks
from core.training.checkpoint import Checkpoints, restore
from core.training.learner import Learner
from core.training.seeding import seed_everything, set_determinism
from core.training.trackers import tracked
from core.training.trainer import Trainer

log = logging.getLogger(__name__)

SCRIPT = "code/pretrain.py"


@dataclass(frozen=True)
class Setup:
    """Everything that a pretraining needs, built from a config."""

    chosen: Chosen
    task: PretrainingTask
    learner: Learner


def pretrain(config: PretrainConfig) -> dict[str, Any]:
    """Run one pretraining and return what its results.json holds.

    Everything is read, checked and built before a folder is made: a mistake leaves nothing behind.
    """
    setup = build(config, choose_strips(config))
    folder = ExperimentFolder.create(Path(config.experiment.results_dir), config.experiment.name)
    return run(config, setup, folder)


def continue_pretraining(
    config: PretrainConfig, path: Path, changed: Mapping[str, Any]
) -> dict[str, Any]:
    """Continue in `path` from its newest whole checkpoint, or start over if there is none.

    Raises InputError where the strips are others, or the checkpoints do not fit.
    """
    chosen = choose_strips(_with_own_split(config, path))
    checkpoints = Checkpoints(path / "checkpoints")
    known = read_results(path).get("data", {}).get("fingerprint")
    if known not in (None, chosen.fingerprint):
        raise InputError(
            f"resume={path}: was begun with other strips than those of {chosen.source}: give the "
            "same"
        )
    found, built = from_first(lambda: newest_checkpoint(path)), config
    if found.state is not None:
        # The precision it began with: `auto` may choose another one on another device.
        precision = found.state.get("precision", config.runtime.precision)
        runtime = config.runtime.model_copy(update={"precision": precision})
        built = replace(config, model=without_weights(config.model), runtime=runtime)
    setup = build(built, chosen, described=config)
    if found.state is not None:
        restore(setup.learner, found.state, found.file)
        from_first(lambda: checkpoints.mend(found))
    for problem in found.problems:
        log.warning("%s", problem)
    resumption = describe_resumption(changed, found)
    log.info("Resuming %s from epoch %d, step %d", path, resumption["epoch"], resumption["step"])
    return run(config, setup, ExperimentFolder.reopen(path, resumption), found.state)


def _with_own_split(config: PretrainConfig, path: Path) -> PretrainConfig:
    """With the split that it began with, whatever data.split_file holds now."""
    file = path / SPLIT_FILE
    if not file.is_file():
        return config
    own = {"split_strategy": "file", "split_file": file}
    return replace(config, data=config.data.model_copy(update=own))


def build(config: PretrainConfig, chosen: Chosen, described: PretrainConfig | None = None) -> Setup:
    """Build what the config names. Raises InputError for values that do not fit the strips.

    `described` is the config for the encoder's card, where weights come from a checkpoint instead.
    """
    device = choose_device(config.runtime.device, config.runtime.num_threads)
    keep_freed_memory()
    set_determinism(config.runtime.deterministic)
    seed = config.experiment.seed
    seed_everything(seed)
    _check_window(config.views.window, chosen.image_format.size)
    image_size = config.views.window or chosen.image_format.size
    with first_before_others():
        has_masks = get_registry().get(config.method["name"]).mask_head
        encoder = build_encoder(config.model, image_size, has_masks)
    if chosen.labelled is not None:
        encoder.check_image_size(*chosen.labelled.image_format.size)  # whole strips are probed
    choose_gradients(encoder, config, device)
    params = {key: value for key, value in config.method.items() if key != "name"}
    method = get_registry().instantiate(config.method["name"], **params)
    labels = chosen.strips.labels
    method.attach(encoder, num_features(encoder), 0 if labels is None else labels.shape[1])
    loaders = build_loaders(config, chosen, method, pin_memory=device.type == "cuda")
    learner = Learner.create(
        encoder,
        method,
        config.training,
        steps_per_epoch=len(loaders["train"]),
        device=device,
        runtime=config.runtime,
        clips_objective=True,
    )
    probe = None
    if chosen.labelled is not None:
        every = min(config.training.probe_every, config.training.num_epochs)
        probe = Probe(loaders["probe_train"], loaders["probe_validation"], every)
    card = encoder_card(described or config, chosen, encoder)
    task = PretrainingTask(method, loaders["train"], loaders["watched"], seed, probe, card)
    return Setup(chosen, task, learner)


def _check_window(window: tuple[int, int] | None, size: tuple[int, int]) -> None:
    if window is not None and any(map(gt, window, size)):
        raise InputError(
            f"views.window={list(window)}: is larger than the strips, {size[0]}x{size[1]} pixels "
            "(height x width): give a smaller one, or null"
        )


def build_loaders(
    config: PretrainConfig, chosen: Chosen, method: Method, pin_memory: bool
) -> dict[str, DataLoader]:
    """Pairs to learn from, in processes that share batches, and to watch; strips of the probe."""
    data, seed = config.data, config.experiment.seed
    views, shard = PairOfViews(config.views, seed), None
    pairs = method.pairs(views, chosen.strips.images, chosen.train)
    if size() > 1:
        shard = BatchShard(rank(), size())
    watched = chosen.watched
    if len(watched) % data.batch_size == 1:  # of one image there are no statistics
        watched = watched[:-1]
    datasets: dict[str, Any] = {
        "train": ViewDataset(chosen.strips, chosen.train, pairs, shard),
        "watched": ViewDataset(chosen.strips, watched, pairs),
    }
    if chosen.labelled is not None:
        for part in ("train", "validation"):
            datasets[f"probe_{part}"] = StripDataset(
                chosen.labelled.table,
                chosen.split[part],
                chosen.labelled.image_format.size,
                channels=data.channels,
                images=chosen.labelled.images,
            )
    return {
        name: make_loader(
            dataset,
            data.batch_size,
            seed=seed,
            shuffle=name == "train",
            num_workers=data.workers,
            pin_memory=pin_memory,
        )
        for name, dataset in datasets.items()
    }


def run(
    config: PretrainConfig,
    setup: Setup,
    folder: ExperimentFolder,
    checkpoint: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train, from the `checkpoint` that the learner was restored to, if any."""
    folder.schema, folder.script = PretrainingResults, SCRIPT
    interruption = Interruption()
    with tracked(folder, config.training.trackers), folder.running(interruption):
        log.info("Pretraining %s", folder.path)
        if is_first():
            describe(folder, config, setup.chosen, setup.learner)
            write_pairs(folder.path, setup.task.train_batches.dataset)
        trainer = build_trainer(config, setup, folder, interruption)
        if checkpoint:
            trainer.continue_from(checkpoint)
        with others_may_fail(), explaining_out_of_memory(config):
            results = trainer.fit()
    if is_first():
        log.info("Encoder: %s", folder.path / ENCODER_FILE)
        log.info("Results: %s", folder.results_file)
        log.info("Report: %s", write_report(folder.path))
    return results


def build_trainer(
    config: PretrainConfig, setup: Setup, folder: ExperimentFolder, interruption: Interruption
) -> Trainer:
    """The trainer of one pretraining."""
    return Trainer(
        setup.learner,
        setup.task,
        folder,
        settings=config.training,
        interruption=interruption,
        callbacks=chosen_callbacks(config.training, folder.path, setup.task.criterion),
    )

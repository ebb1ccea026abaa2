"""Each `auto` of a computation replaced by what is fastest here: remembered, or measured."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from core.autotuning.budget import Budget, images_for_trial, seconds_for, too_little_work
from core.autotuning.remembered import machine_key, recall, remember
from core.command.config import TrainConfig
from core.experiments.environment import describe_environment
from core.machine.device import choose_device
from core.machine.distributed import from_first, size
from core.running.computation import (
    Computation,
    applied,
    automatic,
    given_values,
    read_computation,
    recorded,
    step_contenders,
)
from core.running.emulated_precision import (
    emulation_factor,
    is_emulated,
    warn_of_emulation,
)
from core.running.experiment_record import TrainingSetup
from core.running.step_trial import StepTrial

log = logging.getLogger(__name__)

Build = Callable[[TrainConfig], TrainingSetup]
Check = Callable[[TrainConfig, TrainingSetup], None]
Choice = dict[str, Any]
"""What results.json says about a choice, under `computation.choice`."""
Chosen = tuple[Computation, Choice]

# Compiling takes about as long: it is tried where a trial for the whole training may.
SECONDS_TO_COMPILE = 60.0


def build_fastest(config: TrainConfig, build: Build, check: Check) -> TrainingSetup:
    """Build what the config names, with each `auto` as it was measured before or is measured now.

    `check` is called with the setup before anything is measured. With several processes, the first
    one measures, and all take its choice.
    """
    known = from_first(lambda: remembered(config))
    setup = build(applied(config, known[0]) if known else config)
    check(config, setup)
    if known:
        return replace(setup, choice=known[1])
    computation, choice = from_first(lambda: choose(config, setup))
    if computation != setup.computation:
        setup = None  # its memory is free before the next one is built
        setup = build(applied(config, computation))
    return replace(setup, choice=choice)


def remembered(config: TrainConfig) -> Chosen | None:
    """What was measured before for this config on this machine, and how."""
    names = automatic(config)
    device = choose_device(config.runtime.device, config.runtime.num_threads)
    found = recall(_key(config, device)) if names else None
    computation = found and read_computation(found, Computation.of(config, device))
    if not computation:
        return None
    choice = found.get("choice")
    return computation, {**(choice if isinstance(choice, dict) else {}), "source": "remembered"}


def choose(config: TrainConfig, setup: TrainingSetup, num_images: int | None = None) -> Chosen:
    """What is fastest for epochs of so many images, and how that was found; it is remembered.

    By default they are the images of the training part.
    """
    names, usual, device = automatic(config), setup.computation, setup.learner.device
    num_images = num_images or len(setup.task.train_batches.dataset)
    if is_emulated(usual.precision, device):
        factor = emulation_factor(setup, num_images)
        warn_of_emulation(device, factor)
        reason = "bfloat16 is emulated here, so each step of a trial would take long"
        source = {"source": "not measured", "reason": reason} if names else {"source": "given"}
        return usual, {**source, "keys": names, "emulation_factor": factor}
    if not names:
        return usual, {"source": "given", "keys": names}
    ways = step_contenders(config, usual, device, setup.learner.model)
    begun = time.perf_counter()
    reason = _too_early(config, setup, ways, num_images)
    computation, found = usual, {"reason": reason}
    if not reason:
        log.info("Measuring what is fastest: %s", "; ".join(map(str, ways)))
        computation, found = _measured(config, setup, ways, num_images)
    source = "not measured" if found["reason"] else "measured"
    seconds = time.perf_counter() - begun
    choice = {"source": source, "keys": names, **found, "trial_seconds": seconds}
    if source == "measured":
        remember(_key(config, device), {**recorded(computation), "choice": choice})
        log.info("Chosen: %s", computation)
    return computation, choice


def _too_early(
    config: TrainConfig, setup: TrainingSetup, ways: Sequence[Computation], num_images: int
) -> str:
    """Why nothing needs to run to see that nothing can be measured; empty: something can."""
    names, device = automatic(config), setup.learner.device
    if setup.computation.compile:
        return "each contender would have to be compiled"
    compiling = "compile" in names and device.type == "cuda"
    if len(ways) == 1 and not compiling and "num_workers" not in names:
        return "there is only one way on this device"
    return too_little_work(num_images, max(2, len(ways)))


def _measured(
    config: TrainConfig, setup: TrainingSetup, ways: Sequence[Computation], num_images: int
) -> Chosen:
    """The chosen one, and what was measured: of a step, of compiling it, of reading for it."""
    names, trial = automatic(config), StepTrial(setup)
    outcome, images = trial.contest(ways, num_images, config.data.batch_size)
    computation = {str(way): way for way in ways}[outcome.chosen]
    times = dict(outcome.medians)
    found: Choice = {"reason": outcome.not_measured or None, "images": images}
    step = times.get(outcome.chosen)
    if step and "compile" in names and setup.learner.device.type == "cuda":
        of_all = images_for_trial(num_images * config.training.num_epochs) * step / images
        if of_all >= SECONDS_TO_COMPILE:
            compiling = trial.compiling(computation, images, Budget(of_all))
            times |= compiling.medians
            computation = replace(computation, compile=compiling.chosen != str(computation))
    if step and "num_workers" in names:
        own_batch = -(-config.data.batch_size // size())
        of_batch = step / images * own_batch
        budget = Budget(seconds_for(num_images, step / images))
        workers = trial.workers(computation, own_batch, of_batch, budget)
        computation = replace(computation, num_workers=int(workers.chosen))
        found["workers"] = {"reason": workers.not_measured or None, "seconds": workers.medians}
    found["seconds_per_image"] = {name: taken / images for name, taken in times.items()}
    return computation, found


def _key(config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """Everything that the times of a step depend on, and what there was to choose."""
    data, training = config.data, config.training
    return {
        **machine_key(describe_environment(device)),
        "purpose": "training",
        "model": config.model,
        "loss": {"image": config.loss["type"], "mask": (config.mask_loss or {}).get("type")},
        "images": [data.batch_size, data.channels, *data.image_format.size],
        "reading": [data.cache, config.augmentation.model_dump(mode="json")],
        "checkpointing": training.gradient_checkpointing,
        "deterministic": config.runtime.deterministic,
        "processes": size(),
        "given": given_values(config),
    }

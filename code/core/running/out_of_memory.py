"""Advice when memory runs out, and the largest batch that fits."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from core.command.config import TrainConfig
from core.errors import InputError
from core.experiments.folder import ExperimentFolder
from core.machine.device import choose_device
from core.running.experiment_record import TrainingSetup
from core.training.precision import choose_precision
from core.training.trainer import update

log = logging.getLogger(__name__)

AUTO = "auto"
# The share of a batch left free, because fragmented memory cannot be used.
_FREE_SHARE = 16
# How torch's error begins when the machine itself is out of memory.
_MACHINE_IS_FULL = "DefaultCPUAllocator"


@contextmanager
def explaining_out_of_memory(config: TrainConfig) -> Iterator[None]:
    """Turn running out of memory into an InputError, one line that says what to change."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(_advice(config)) from error


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the device or the machine ran out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or _MACHINE_IS_FULL in str(error)


def settle_batch_size(
    config: TrainConfig, build: Callable[[TrainConfig], TrainingSetup]
) -> TrainConfig:
    """The config with `data.batch_size=auto` replaced by a number.

    That is the largest batch whose training steps fit into the device's memory, found by trial,
    less a sixteenth. `build` builds what a config names. Raises InputError on a CPU, where a trial
    could kill the process, and where not even one image fits.
    """
    if config.data.batch_size != AUTO:
        return config
    device = choose_device(config.runtime.device, config.runtime.num_threads)
    if device.type != "cuda":
        raise InputError(
            f"data.batch_size=auto: finds what fits by trying, which needs CUDA: on {device.type} "
            "the system would end the process instead: give a number, such as data.batch_size=8"
        )

    def fits(size: int) -> bool:
        return _fits(_with_batch_size(config, size, num_workers=0), build)

    most = len(build(_with_batch_size(config, 1, num_workers=0)).split["train"])
    largest = largest_that(fits, most)
    if largest == 0:
        raise InputError(_advice(_with_batch_size(config, 1)))
    size = largest - largest // _FREE_SHARE
    log.info("data.batch_size=auto: %d images fit; %d are taken", largest, size)
    return _with_batch_size(config, size)


def note_settled(folder: ExperimentFolder, given: TrainConfig) -> None:
    """Note, by dotted key, the words in `given` that were replaced by numbers."""
    words = {"data.batch_size": given.data.batch_size, "data.resize": given.data.resize}
    if settled := {key: AUTO for key, word in words.items() if word == AUTO}:
        folder.results["experiment"]["settled"] = settled


def largest_that(fits: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to `most` that fits, if all below it fit too; 0: none does."""
    good, bad = 0, 1
    while bad <= most and fits(bad):
        good, bad = bad, 2 * bad
    bad = min(bad, most + 1)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def _fits(config: TrainConfig, build: Callable[[TrainConfig], TrainingSetup]) -> bool:
    """Whether two steps fit: only the second one runs with the optimizer's state allocated."""
    try:
        setup = build(config)
        setup.learner.model.train()
        batch = next(iter(setup.task.train_batches))
        for _ in range(2):
            update(setup.learner, setup.task, [batch])
        return True
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        setup = batch = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _with_batch_size(config: TrainConfig, size: int, **more: int) -> TrainConfig:
    return replace(config, data=config.data.model_copy(update={"batch_size": size, **more}))


def _advice(config: TrainConfig) -> str:
    data, training = config.data, config.training
    device = choose_device(config.runtime.device, config.runtime.num_threads)
    precision = choose_precision(config.runtime.precision, device).name
    changes = []
    if data.batch_size > 1:
        half = data.batch_size // 2
        steps = -(-data.batch_size // half) * training.accumulation_steps
        changes.append(f"data.batch_size={half} training.accumulation_steps={steps}")
    if precision == "float32":
        changes.append("runtime.precision=bfloat16")
    if not training.gradient_checkpointing:
        changes.append("training.gradient_checkpointing=true")
    changes.append("a smaller model.name")
    height, width = data.image_format.size
    return (
        f"out of memory on {device.type} with data.batch_size={data.batch_size}, images of "
        f"{height}x{width}, {precision} and {config.model['name']}: give {', or '.join(changes)}"
    )

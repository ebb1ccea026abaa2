"""What processes that train together do in tests: jobs, one after another in the same processes."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import scalings_found_once, undrawn_curves, unsynced_files

from core.command.config import TrainConfig
from core.data import dataset
from core.errors import InputError
from core.machine import distributed
from core.running import launching
from core.running.composition import train
from core.running.cross_validation import cross_validate
from core.running.resuming import find_training
from core.training import trainer
from core.training.trainer import Trainer

Job = Callable[[], object]


def with_devices(config: TrainConfig, devices: int) -> TrainConfig:
    runtime = config.runtime.model_copy(update={"devices": devices})
    return replace(config, runtime=runtime)


@contextmanager
def starting_quickly() -> Iterator[None]:
    """Processes of trainings are forked from this one.

    A process that is spawned, as they are otherwise, imports for longer than most jobs take.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launching, "_START_METHOD", "fork")
        # Each process configures its logging, which those of pytest would prevent.
        patched.setattr(logging.getLogger(), "handlers", [])
        yield


def do_together(config: TrainConfig, devices: int, jobs: Sequence[Job]) -> None:
    """Do the jobs in as many processes."""
    with starting_quickly():
        launching.launch(with_devices(config, devices), partial(do_all, list(jobs)))


def do_all(jobs: Sequence[Job]) -> dict:
    with undrawn_curves(), scalings_found_once(), unsynced_files():
        for job in jobs:
            job()
    return {}


def train_one(config: TrainConfig) -> None:
    train(config)


def validate_across(config: TrainConfig) -> None:
    cross_validate(config)


def stop_in_the_other_process(config: TrainConfig, updates: int) -> None:
    """A training of which only the second process is asked to stop, after so many updates."""
    after_step = Trainer._after_step

    def asked(self, progress):
        if distributed.rank() == 1 and self.learner.num_updates == updates:
            os.kill(os.getpid(), signal.SIGTERM)
        after_step(self, progress)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "_after_step", asked)
        with pytest.raises(KeyboardInterrupt):
            train(config)


def go_on(results_dir: Path) -> None:
    _, work = distributed.from_first(lambda: find_training("latest", {}, results_dir))
    work()


def lose_an_image(config: TrainConfig, reads: int) -> None:
    """A training of which the second process cannot read an image, after so many."""
    strip, count = dataset.StripDataset._strip, 0

    def missing(self, *args):
        nonlocal count
        count += 1
        if distributed.rank() == 1 and count > reads:
            raise InputError("strip_7.jpg: cannot be read")
        return strip(self, *args)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dataset.StripDataset, "_strip", missing)
        with pytest.raises(InputError, match=r"^strip_7\.jpg: cannot be read$"):
            train(config)


def end_the_other_process(config: TrainConfig, how: str) -> None:
    """A training whose second process runs out of memory, or is killed, in its third update.

    Or while the first one computes: it does not see a closed connection, but a launcher's signal.
    """
    if how == "killed later":
        Trainer._test = lambda _: (
            time.sleep(600) if distributed.is_first() else os.kill(os.getpid(), signal.SIGKILL)
        )
        train(config)
        return
    update, count = trainer.update, 0

    def failing(learner, task, group):
        nonlocal count
        count += 1
        if distributed.rank() == 1 and count == 3:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return update(learner, task, group)

    trainer.update = failing
    train(config)

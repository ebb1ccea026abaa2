"""Whole epochs of the trainer compared with a bare loop: what is not training costs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.measurement import Contender, measure_with_cpu, table
from benchmarks.options import Options
from benchmarks.workload import experiment, training
from core.command.config import TrainConfig
from core.experiments.folder import ExperimentFolder
from core.machine.interruption import Interruption
from core.running.composition import build_trainer
from core.running.experiment_record import TrainingSetup

ITEM = "strip"


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows of both, and their text with how many times as long our epoch takes."""
    rows = measure_with_cpu(contenders(options, folder), options.rounds)
    ours = rows[-1]
    wall, cpu = 1 / ours["ratio"], 1 / ours["cpu_ratio"]
    longer = f"an epoch takes {wall:.3f} times as long as the bare loop, and {cpu:.3f} times the"
    return rows, f"{table(rows, ITEM)}\n\n{longer} CPU time"


def contenders(options: Options, folder: Path) -> list[Contender]:
    """The bare loop first; ours also scores, logs and saves, and ends when all is written.

    Both have the same model, loaders, optimizer and validation, on strips from memory, unaugmented,
    in float32."""
    config = experiment(options, folder, "training.num_epochs=1000")
    bare, ours = training(config), training(config)
    num_images = num_strips(ours)
    return [
        Contender("bare loop", BareEpochs(bare), num_images),
        Contender("ours", OurEpochs(config, ours, folder), num_images),
    ]


def num_strips(setup: TrainingSetup) -> int:
    """How many strips an epoch reads, in the training and in the validation part."""
    return len(setup.split["train"]) + len(setup.split["validation"])


class BareEpochs:
    """Each call is one epoch: updates, then the validation loss."""

    def __init__(self, setup: TrainingSetup) -> None:
        self.learner, self.loaders = setup.learner, setup.task.loaders
        self.epoch = 0

    def __call__(self) -> None:
        model, optimizer = self.learner.model, self.learner.optimizer
        self.epoch += 1
        self.loaders["train"].set_epoch(self.epoch)
        model.train()
        for loss in self._losses("train"):
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            for loss in self._losses("validation"):
                loss.item()

    def _losses(self, part: str) -> Iterator[torch.Tensor]:
        device = self.learner.device
        for batch in self.loaders[part]:
            logits = self.learner.model(batch["image"].to(device))
            yield self.learner.objective.image_loss(logits, batch["labels"].to(device))


class OurEpochs:
    """Each call is one epoch of the trainer, and ends when all is written.

    In a training, the next epoch begins meanwhile. The picture of the curves is left out: it is
    drawn once a minute, by the clock, so it would count in some turns only.
    """

    def __init__(self, config: TrainConfig, setup: TrainingSetup, folder: Path) -> None:
        experiment = ExperimentFolder.create(folder / "results", "benchmark")
        self.trainer = build_trainer(config, setup, experiment, Interruption())
        self.trainer.callbacks = ()

    def __call__(self) -> None:
        self.trainer.run_epoch()
        self.trainer.checkpoints.wait()

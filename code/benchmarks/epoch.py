"""Whole epochs of the trainer compared with a bare loop over tensors already in memory."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from benchmarks.measurement import Contender
from benchmarks.options import Options
from benchmarks.workload import experiment, training
from core.command.config import TrainConfig
from core.experiments.folder import ExperimentFolder
from core.machine.interruption import Interruption
from core.running.composition import build_trainer
from core.running.experiment_record import TrainingSetup
from core.training.trainer import Trainer

ITEM = "strip"


def contenders(options: Options, folder: Path) -> list[Contender]:
    """The bare loop first, which validates as well; ours also scores, logs, plots and saves.

    Both compute in float32 with the same optimizer, on strips from memory, unaugmented.
    """
    config = experiment(options, folder, "training.num_epochs=1000")
    bare, ours = training(config), training(config)
    num_images = num_strips(ours)
    return [
        Contender("bare loop over tensors", BareEpochs(bare), num_images),
        Contender("ours", our_trainer(config, ours, folder).run_epoch, num_images),
    ]


def num_strips(setup: TrainingSetup) -> int:
    """How many strips an epoch reads, in the training and in the validation part."""
    return len(setup.split["train"]) + len(setup.split["validation"])


class BareEpochs:
    """Each call is one epoch: updates, then the validation loss."""

    def __init__(self, setup: TrainingSetup) -> None:
        self.learner = setup.learner
        self.batches = {name: list(loader) for name, loader in setup.task.loaders.items()}

    def __call__(self) -> None:
        model, optimizer = self.learner.model, self.learner.optimizer
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
        for batch in self.batches[part]:
            logits = self.learner.model(batch["image"].to(device))
            yield self.learner.objective.image_loss(logits, batch["labels"].to(device))


def our_trainer(config: TrainConfig, setup: TrainingSetup, folder: Path) -> Trainer:
    """The trainer, whose `run_epoch` is one epoch."""
    experiment = ExperimentFolder.create(folder / "results", "benchmark")
    return build_trainer(config, setup, experiment, Interruption())

"""Whole epochs of the trainer beside a bare loop over tensors already in memory."""

from pathlib import Path

import torch
from torch import nn

from benchmarks.measurement import Contender
from benchmarks.options import Options
from benchmarks.step import model_values
from core.augmentation.settings import AugmentationSettings
from core.command.config import TrainConfig
from core.data.settings import DataSettings
from core.experiments.folder import ExperimentFolder
from core.metrics.evaluation_settings import EvaluationSettings
from core.running.composition import build, build_trainer
from core.running.experiment_record import TrainingSetup
from core.running.loading import choose_split, read_data
from core.training.interruption import Interruption
from core.training.learner import Learner
from core.training.settings import ExperimentSettings, RuntimeSettings, TrainingSettings

ITEM = "strip"


def contenders(options: Options, folder: Path) -> list[Contender]:
    """The bare loop first. It too validates; ours also scores, logs, plots and keeps checkpoints.

    Both compute in float32 with the same optimizer, on strips from memory, unaugmented.
    """
    config = experiment(options, folder)
    data = read_data(config.data)
    split = choose_split(config, data)
    bare, ours = (build(config, data, split) for _ in range(2))
    runs = {"bare loop over tensors": BareEpochs(bare), "ours": OurEpochs(config, ours, folder)}
    num_images = len(split["train"]) + len(split["validation"])
    return [Contender(name, run, num_images) for name, run in runs.items()]


class BareEpochs:
    """One epoch a call: updates, then the validation loss."""

    def __init__(self, setup: TrainingSetup) -> None:
        self.learner: Learner = setup.learner
        self.batches = {name: list(loader) for name, loader in setup.task.loaders.items()}

    def __call__(self) -> None:
        learner, loss = self.learner, self.learner.objective.image_loss
        learner.model.train()
        for batch in self.batches["train"]:
            images, labels = (batch[key].to(learner.device) for key in ("image", "labels"))
            loss(learner.model(images), labels).backward()
            nn.utils.clip_grad_norm_(learner.model.parameters(), 1.0)
            learner.optimizer.step()
            learner.optimizer.zero_grad()
        learner.model.eval()
        with torch.no_grad():
            for batch in self.batches["validation"]:
                images, labels = (batch[key].to(learner.device) for key in ("image", "labels"))
                loss(learner.model(images), labels).item()


class OurEpochs:
    """One epoch of the trainer a call."""

    def __init__(self, config: TrainConfig, setup: TrainingSetup, folder: Path) -> None:
        experiment = ExperimentFolder.create(folder / "results", "benchmark")
        self.trainer = build_trainer(config, setup, experiment, Interruption())

    def __call__(self) -> None:
        self.trainer.run_epoch()


def experiment(
    options: Options,
    folder: Path,
    *,
    cache: str = "memory",
    augmentation: AugmentationSettings | None = None,
    runtime: RuntimeSettings | None = None,
) -> TrainConfig:
    """A training of the chosen model; of strips kept in memory, unaugmented, and in float32."""
    unchanged = AugmentationSettings(**dict.fromkeys(AugmentationSettings.model_fields))
    in_float32 = RuntimeSettings(precision="float32", device=options.device.type)
    source = {"source": "synthetic", "root": folder / "strips"}
    if options.data_root:
        source = {"source": "severstal", "root": options.data_root}
    return TrainConfig(
        model=model_values(options),
        loss={"type": "bce_with_logits"},
        mask_loss=None,
        data=DataSettings(
            **source,
            image_size=options.image_size,
            num_images=options.num_images,
            batch_size=options.batch_size,
            class_shares="flat",
            cache=cache,
            cache_dir=folder / "cache",
        ),
        augmentation=augmentation or unchanged,
        training=TrainingSettings(num_epochs=1000),
        evaluation=EvaluationSettings(),
        experiment=ExperimentSettings(),
        runtime=runtime or in_float32,
    )

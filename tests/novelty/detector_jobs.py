"""Clean strips for detectors, and what the processes that train one together do."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.data.sampling import BatchShard
from core.machine import distributed
from core.novelty.detectors import get_registry
from core.novelty.detectors.learned import LearnedDetector
from core.novelty.task import NoveltyTask
from core.pretraining.strips import Strips, ViewDataset
from core.pretraining.views import PairOfViews, ViewSettings
from core.training.epoch_progress import EpochProgress
from core.training.learner import Learner
from core.training.settings import RuntimeSettings, TrainingSettings
from core.training.task import Batch
from core.training.trainer import train_epoch

SIZE, NUM_STRIPS = (32, 48), 16


class Striped:
    """Clean strips: stripes across the strip, of another phase and brightness each."""

    def read(self, row: int) -> np.ndarray:
        generator = np.random.default_rng(row)
        columns = np.arange(SIZE[1]) + generator.integers(24)
        stripes = 128 + 60 * np.sin(columns * np.pi / 6) + generator.normal(0, 15)
        grain = generator.normal(0, 3, SIZE)
        return np.clip(stripes + grain, 0, 255).astype(np.uint8)


class Batches:
    """So many strips a batch, in the views of the epoch."""

    def __init__(self, dataset: ViewDataset, batch_size: int) -> None:
        self.dataset, self.batch_size = dataset, batch_size

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for first in range(0, len(self.dataset), self.batch_size):
            last = min(first + self.batch_size, len(self.dataset))
            yield self.dataset.__getitems__(list(range(first, last)))


def dataset_of(detector: LearnedDetector) -> ViewDataset:
    """All strips; processes that train together share each batch."""
    rows = np.arange(NUM_STRIPS)
    strips = Strips(Striped(), [f"{row}.png" for row in rows])
    pairs = detector.pairs(PairOfViews(ViewSettings(), seed=3), strips.images, rows)
    several = distributed.size() > 1
    shard = BatchShard(distributed.rank(), distributed.size()) if several else None
    return ViewDataset(strips, rows, pairs, shard)


def built(name: str, params: dict[str, Any], channels: int = 1) -> LearnedDetector:
    """The detector with the same first weights at each call."""
    torch.manual_seed(0)
    detector = get_registry().instantiate(name, **params)
    detector.attach(channels, SIZE)
    return detector


def learner_of(
    detector: LearnedDetector, batch_size: int = 4, num_epochs: int = 2, **settings: Any
) -> tuple[Learner, NoveltyTask]:
    batches = Batches(dataset_of(detector), batch_size)
    task = NoveltyTask(detector, batches, batches, seed=3)
    own = {"learning_rate": 3e-3, "warmup_epochs": 0, **settings}
    training = TrainingSettings(num_epochs=num_epochs, **own)
    learner = Learner.create(
        detector.network,
        task.objective,
        training,
        steps_per_epoch=len(batches),
        device=torch.device("cpu"),
        runtime=RuntimeSettings(precision="float32", channels_last=False),
    )
    detector.follow(learner.optimizer)
    return learner, task


def trained(
    detector: LearnedDetector, epochs: int, batch_size: int = 4
) -> tuple[Learner, NoveltyTask]:
    learner, task = learner_of(detector, batch_size, epochs)
    for epoch in range(1, epochs + 1):
        task.begin_epoch(epoch)
        task.train_batches.set_epoch(epoch)
        train_epoch(learner, task, task.train_batches, EpochProgress(epoch, 0.0))
    return learner, task


def train(params: dict[str, Any], path: Path) -> None:
    """Train on batches of five, which two processes share unevenly; the first one writes."""
    detector = built("autoencoder", params)
    _, task = trained(detector, epochs=2, batch_size=5)
    record = task.loss_record()
    first, *others = distributed.gathered(record)
    assert all(other == first for other in others)
    if distributed.is_first():
        weights = detector.network.state_dict()
        torch.save({"weights": weights, "terms": record["loss_terms"]}, path)


def jobs(params: dict[str, Any], path: Path) -> list[partial]:
    return [partial(train, params, path)]

"""An epoch of a learner on its own, without a trainer."""

from collections.abc import Sequence
from typing import Any

import torch

from core.training import trainer
from core.training.classification.task import ClassificationTask
from core.training.epoch_progress import EpochProgress
from core.training.learner import Learner


def batches(sizes: Sequence[int], image_size: tuple[int, int] = (8, 8)) -> list[dict[str, Any]]:
    """Batches of so many random images each, with labels of two classes."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for n in sizes:
        shape = (n, 1, *image_size)
        images = torch.randint(0, 255, shape, generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, 2, (n, 2), generator=generator).float()
        ids = [f"{n}_{place}.jpg" for place in range(n)]
        drawn.append({"image": images, "labels": labels, "image_id": ids})
    return drawn


def task_of(learner: Learner) -> ClassificationTask:
    """The classification of two classes by the learner's objective."""
    return ClassificationTask(learner.objective, {"train": []}, ("a", "b"), seed=0)


def train_epoch(learner: Learner, batches: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What the trainer does with the batches of an epoch."""
    begun = EpochProgress(1, learner.learning_rate)
    return trainer.train_epoch(learner, task_of(learner), batches, begun)

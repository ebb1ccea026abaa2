"""An epoch of a learner on its own, without a trainer."""

from collections.abc import Sequence
from typing import Any

from core.training import trainer
from core.training.classification.task import ClassificationTask
from core.training.epoch_progress import EpochProgress
from core.training.learner import Learner


def task_of(learner: Learner) -> ClassificationTask:
    """The classification of two classes by the learner's objective."""
    return ClassificationTask(learner.objective, {"train": []}, ("a", "b"), seed=0)


def train_epoch(learner: Learner, batches: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What the trainer does with the batches of an epoch."""
    begun = EpochProgress.begin(1, learner.learning_rate, learner.device)
    return trainer.train_epoch(learner, task_of(learner), batches, begun)

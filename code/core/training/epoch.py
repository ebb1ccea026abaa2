"""One pass over the training part."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import core.torchvision_ops  # noqa: F401

import torch
from timm.scheduler.scheduler import Scheduler
from torch import nn

from core.training.epoch_progress import EpochProgress
from core.training.finite_steps import Step
from core.training.objective import Objective
from core.training.optimization import create_optimizer, create_scheduler
from core.training.settings import TrainingSettings


@dataclass
class Learner:
    """What learning changes, and where it is computed."""

    model: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    device: torch.device
    gradient_clip_norm: float | None
    num_updates: int = 0
    gradient_norm: torch.Tensor | None = None

    @property
    def learning_rate(self) -> float:
        """That of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    @classmethod
    def create(
        cls,
        model: nn.Module,
        objective: Objective,
        settings: TrainingSettings,
        *,
        steps_per_epoch: int,
        device: torch.device,
    ) -> "Learner":
        """Move model and objective to the device and make optimizer and schedule for them."""
        model, objective = model.to(device), objective.to(device)
        optimizer = create_optimizer(model, objective, settings)
        scheduler = create_scheduler(optimizer, settings, steps_per_epoch)
        return cls(model, objective, optimizer, scheduler, device, settings.gradient_clip_norm)


class TimedBatches:
    """Hands on the batches of a loader and sums the seconds that were spent waiting for them."""

    def __init__(self, batches: Iterable[dict[str, Any]]) -> None:
        self.batches = batches
        self.waiting_seconds = 0.0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        started = time.perf_counter()
        for batch in self.batches:
            self.waiting_seconds += time.perf_counter() - started
            yield batch
            started = time.perf_counter()


def train_epoch(
    learner: Learner,
    batches: Iterable[dict[str, Any]],
    progress: EpochProgress | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Update the weights once for every batch, and count it in `progress`.

    Returns the mean loss, the images per second and the share of time spent waiting for data,
    over the whole epoch where `progress` has begun it.

    Raises:
        InputError: a loss or gradient that is not finite.
    """
    learner.model.train()
    learner.objective.train()
    progress = progress or EpochProgress.begin(1, learner.learning_rate, learner.device)
    timed, waited_before = TimedBatches(batches), progress.waiting_seconds
    for batch in timed:
        learning_rate = learner.learning_rate
        loss = update(learner, batch)
        number, images = progress.step + 1, batch["image_id"]
        progress.waiting_seconds = waited_before + timed.waiting_seconds
        progress.add(Step(number, images, learning_rate, loss, learner.gradient_norm))
        after_step()
    progress.finite_steps.check()
    return progress.report()


def update(learner: Learner, batch: dict[str, Any]) -> torch.Tensor:
    """Forward, backward and one step of the optimizer; returns the loss, detached."""
    images = batch["image"].to(learner.device, non_blocking=True)
    loss = learner.objective(learner.model(images), batch)
    loss.backward()
    largest = learner.gradient_clip_norm or math.inf
    learner.gradient_norm = nn.utils.clip_grad_norm_(learner.model.parameters(), largest)
    learner.optimizer.step()
    learner.optimizer.zero_grad(set_to_none=True)
    learner.num_updates += 1
    learner.scheduler.step_update(learner.num_updates)
    return loss.detach()

"""One pass over the training part."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import core.torchvision_ops  # noqa: F401

import torch
from timm.scheduler.scheduler import Scheduler
from torch import nn

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


def train_epoch(learner: Learner, batches: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Update the weights once for every batch.

    Returns the mean loss, the images per second and the share of time spent waiting for data.
    """
    learner.model.train()
    learner.objective.train()
    timed = TimedBatches(batches)
    started = time.perf_counter()
    # Summed on the device: reading a number each step would make the device wait for Python.
    total = torch.zeros((), dtype=torch.float64, device=learner.device)
    num_images = 0
    for batch in timed:
        total += update(learner, batch).double() * len(batch["labels"])
        num_images += len(batch["labels"])
    mean_loss = float(total) / max(1, num_images)
    seconds = time.perf_counter() - started
    return {
        "loss": mean_loss,
        "duration_seconds": seconds,
        "images_per_second": num_images / seconds,
        "data_wait_share": timed.waiting_seconds / seconds,
    }


def update(learner: Learner, batch: dict[str, Any]) -> torch.Tensor:
    """Forward, backward and one step of the optimizer; returns the loss, detached."""
    images = batch["image"].to(learner.device, non_blocking=True)
    loss = learner.objective(learner.model(images), batch)
    loss.backward()
    if learner.gradient_clip_norm:
        nn.utils.clip_grad_norm_(learner.model.parameters(), learner.gradient_clip_norm)
    learner.optimizer.step()
    learner.optimizer.zero_grad(set_to_none=True)
    learner.num_updates += 1
    learner.scheduler.step_update(learner.num_updates)
    return loss.detach()

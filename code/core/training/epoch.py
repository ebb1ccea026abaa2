"""One pass over the training part."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn

from core.training.epoch_progress import EpochProgress
from core.training.finite_steps import Step
from core.training.learner import Learner
from core.training.whole_batch import whole_batch

Batch = dict[str, Any]


class TimedBatches:
    """Hands on the batches of a loader and sums the seconds that were spent waiting for them."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = batches
        self.waiting_seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        started = time.perf_counter()
        for batch in self.batches:
            self.waiting_seconds += time.perf_counter() - started
            yield batch
            started = time.perf_counter()


def train_epoch(
    learner: Learner,
    batches: Iterable[Batch],
    progress: EpochProgress | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Update the weights once for every `accumulation_steps` batches, the last few included.

    Each update is counted in `progress`. Returns the mean loss, the images per second and the
    share of time spent waiting for data, over the whole epoch where `progress` has begun it.

    Raises:
        InputError: a loss or gradient that is not finite.
    """
    learner.model.train()
    learner.objective.train()
    progress = progress or EpochProgress.begin(1, learner.learning_rate, learner.device)
    timed, waited_before = TimedBatches(batches), progress.waiting_seconds
    for group in grouped(timed, learner.accumulation_steps):
        images, learning_rate = [batch["image_id"] for batch in group], learner.learning_rate
        losses, gradient_norm = update(learner, group)
        progress.waiting_seconds = waited_before + timed.waiting_seconds
        progress.add(Step(progress.step + 1, images, learning_rate, losses, gradient_norm))
        after_step()
    progress.finite_steps.check()
    return progress.report()


def grouped(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of `size` batches, the last one of what is left.

    A list is complete before anything is made of it: whatever happens while one of its batches is
    read, the learner stands between two updates.
    """
    iterator = iter(batches)
    while group := list(islice(iterator, size)):
        yield group


def update(
    learner: Learner, group: Sequence[Batch]
) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Forward and backward of each batch, then one step of the optimizer.

    Each batch counts by its images, so that for losses that are means over images the gradient is
    that of one batch of all of them. Several processes share every batch, and exchange gradients
    once an update.
    Returns the losses, detached, and what `apply_gradients` returns.
    """
    num_images = sum(len(batch["image_id"]) for batch in group)
    sums = getattr(learner.objective.image_loss, "reduction", "mean") == "sum"
    losses = []
    for batch in group:
        share = 1.0 if sums else len(batch["image_id"]) / num_images
        with learner.exchanging_gradients(batch is group[-1]):
            loss = batch_loss(learner, batch)
            learner.scaler.scale(loss if share == 1 else loss * share).backward()
        losses.append(loss.detach())
    return losses, apply_gradients(learner)


def batch_loss(learner: Learner, batch: Batch) -> torch.Tensor:
    """The loss of a batch; it is computed outside of the model's precision."""
    images = batch["image"].to(learner.device, non_blocking=True)
    with learner.precision.autocast():
        output = learner.trained_model(images)
    return learner.objective(*whole_batch(output, batch, learner.objective))


def apply_gradients(learner: Learner) -> torch.Tensor | None:
    """Clip the gradients and step optimizer, schedule and average; the norm before clipping.

    None with a scaler: it tries out how far it may scale, and leaves out a step whose gradients
    became infinite by that.
    """
    scaled = learner.scaler.is_enabled()
    norm = None
    if learner.gradient_clip_norm or not scaled:
        learner.scaler.unscale_(learner.optimizer)
        largest = learner.gradient_clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(learner.model.parameters(), largest)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    learner.optimizer.zero_grad(set_to_none=True)
    learner.num_updates += 1
    learner.scheduler.step_update(learner.num_updates)
    if learner.average is not None:
        learner.average.update(learner.model, step=learner.num_updates)
    return None if scaled else norm

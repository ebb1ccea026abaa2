"""Steps of a training, timed in each of several ways, on copies of its model."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from core.autotuning.budget import (
    FEWEST_IMAGES,
    LONGEST_SECONDS,
    Budget,
    images_of_a_turn,
    seconds_for,
    seconds_of,
)
from core.autotuning.contest import Outcome, Run, contest
from core.machine.distributed import size
from core.models.depthwise import use_matmul_gradients
from core.running.computation import Computation
from core.running.experiment_record import TrainingSetup
from core.running.loader_trial import workers_contest
from core.running.trial_step import compute_alone, read_images, unchanged
from core.training.precision import Precision

Batch = Mapping[str, Any]


class StepTrial:
    """Times forward and backward passes of a setup, and changes nothing by it.

    The optimizer, whose time is the same in all ways, is left out.
    """

    def __init__(self, setup: TrainingSetup) -> None:
        self.learner, self.task = setup.learner, setup.task
        self.dataset = setup.task.train_batches.dataset

    def contest(
        self, ways: Sequence[Computation], num_images: int, batch_size: int
    ) -> tuple[Outcome, int]:
        """The fastest of `ways`, of which the first is the default, for epochs of `num_images`.

        Also returns the images of a turn, 0 where there was no time for one.
        """
        own_batch = min(-(-batch_size // size()), len(self.dataset))
        with self.unchanged():
            looking = Budget(LONGEST_SECONDS)
            per_image = self.seconds_per_image(ways[0], own_batch)
            budget = Budget(seconds_for(num_images, per_image) - looking.spent)
            images = images_of_a_turn(budget.seconds, per_image, own_batch, len(ways))
            if not images:
                why = f"{max(0, budget.seconds):.2g} s are too few for {len(ways)} ways"
                return Outcome(str(ways[0]), not_measured=why), 0
            batch = self._batch(images)
            return contest({str(way): self.run(way, batch) for way in ways}, budget), images

    def compiling(self, way: Computation, images: int, budget: Budget) -> Outcome:
        """Whether compiling pays; its first turn takes a minute or more."""
        with self.unchanged():
            batch = self._batch(images)
            both = (way, replace(way, compile=True))
            return contest({str(one): self.run(one, batch) for one in both}, budget)

    def workers(
        self, way: Computation, batch_size: int, step_seconds: float, budget: Budget
    ) -> Outcome:
        """The number of workers, as a text."""
        with self.unchanged():
            step = self._prepared(way)
            return workers_contest(self.dataset, batch_size, step, step_seconds, budget)

    def seconds_per_image(self, way: Computation, batch_size: int) -> float:
        """That pass in a second turn; on a CPU, where large batches take long, of two images."""
        on_cpu = self.learner.device.type == "cpu"
        num_images = min(FEWEST_IMAGES, batch_size) if on_cpu else batch_size
        run = self.run(way, self._batch(num_images))
        run()
        passing = Budget(LONGEST_SECONDS)
        return max(run(), passing.spent) / num_images

    def run(self, way: Computation, batch: Batch) -> Run:
        """A step in one way, on a copy of the model that is made at its first turn.

        On a CPU, the first turn takes two images, and its seconds are those of a whole turn.
        """
        made: list[Callable[[Batch], None]] = []
        images = len(batch["image_id"])
        first = min(FEWEST_IMAGES, images) if self.learner.device.type == "cpu" else images

        def turn() -> float:
            try:
                if made:
                    return seconds_of(partial(made[0], batch), self.learner.device)
                made.append(self._prepared(way))
                few = {key: values[:first] for key, values in batch.items()}
                return seconds_of(partial(made[0], few), self.learner.device) * images / first
            except (RuntimeError, TypeError):  # out of memory, or what cannot be copied or computed
                made.clear()
                return math.inf

        return turn

    def unchanged(self) -> AbstractContextManager[None]:
        """Within, the setup is used, and afterwards it is as before."""
        return unchanged(self.learner.model, self.learner.objective, self.learner.device)

    def _batch(self, num_images: int) -> Batch:
        return self.task.train_batches.finish(read_images(self.dataset, num_images))

    def _prepared(self, way: Computation) -> Callable[[Batch], None]:
        layout = torch.channels_last if way.channels_last else torch.contiguous_format
        model = copy.deepcopy(self.learner.model).to(memory_format=layout)
        model.zero_grad(set_to_none=True)
        if way.depthwise_gradient == "matmul":
            use_matmul_gradients(model)
        if way.compile:
            model.compile()
        model.train()
        self.learner.objective.train()
        compute_alone(model)
        self.task.begin_epoch(1)
        precision = Precision(way.precision, self.learner.device.type)
        return partial(self._step, model, precision)

    def _step(self, model: nn.Module, precision: Precision, batch: Batch) -> None:
        with precision.autocast():
            output = model(batch["image"].to(self.learner.device))
        self.task.loss(output, batch).backward()
        for module in (model, self.learner.objective):
            module.zero_grad(set_to_none=True)

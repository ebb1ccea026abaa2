"""Model, objective and optimizer: the state that training changes."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import core.machine.torchvision_ops  # noqa: F401  timm imports torchvision, so this stands before timm

import torch
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from core.machine import distributed
from core.training.frozen_features import ByFeatures, FrozenFeatures, output_of
from core.training.head_phase import keep_still, parameters_that_wait
from core.training.optimization import create_optimizer, create_scheduler
from core.training.precision import FLOAT32, Precision, choose_precision
from core.training.settings import RuntimeSettings, TrainingSettings
from core.training.shared_batch_norm import share_batch_norm


@dataclass
class Learner:
    """Model, objective and optimizer on their device, and how they are computed there."""

    model: nn.Module
    objective: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    device: torch.device
    gradient_clip_norm: float | None
    num_updates: int = 0
    accumulation_steps: int = 1
    precision: Precision = FLOAT32
    average: ModelEmaV3 | None = None
    scaler: torch.amp.GradScaler = field(default_factory=FLOAT32.gradient_scaler)
    exchange: DistributedDataParallel | None = None
    waiting: Sequence[nn.Parameter] = ()
    head_only: bool = False
    features: FrozenFeatures | None = None
    clips_objective: bool = False

    @classmethod
    def create(
        cls,
        model: nn.Module,
        objective: nn.Module,
        settings: TrainingSettings,
        *,
        steps_per_epoch: int,
        device: torch.device,
        runtime: RuntimeSettings | None = None,
        features: FrozenFeatures | None = None,
        clips_objective: bool = False,
    ) -> "Learner":
        """Move model and objective to the device; create the optimizer and its schedule.

        `steps_per_epoch` is the number of batches. Without `runtime`, everything is in plain
        float32. `features` keeps what a frozen backbone computes, if images do not change. With
        `clips_objective`, gradients are clipped by the norm over model and objective together.
        """
        runtime = runtime or RuntimeSettings(precision="float32", channels_last=False)
        precision = choose_precision(runtime.precision, device)
        if distributed.size() > 1:
            model = share_batch_norm(model, device)
        is_last = runtime.uses_channels_last(device)
        layout = torch.channels_last if is_last else torch.preserve_format
        model, objective = model.to(device, memory_format=layout), objective.to(device)
        optimizer = create_optimizer(model, objective, settings)
        num_updates = -(-steps_per_epoch // settings.accumulation_steps)
        average = None
        if settings.ema_decay is not None:
            # Without the warm-up, an average over few updates would mostly be initial weights.
            average = ModelEmaV3(model, decay=settings.ema_decay, use_warmup=True)
        learner = cls(
            model,
            objective,
            optimizer,
            create_scheduler(optimizer, settings, num_updates),
            device,
            settings.gradient_clip_norm,
            accumulation_steps=settings.accumulation_steps,
            precision=precision,
            average=average,
            scaler=precision.gradient_scaler(),
            waiting=parameters_that_wait(model, settings.head_epochs),
            features=features,
            clips_objective=clips_objective,
        )
        if runtime.compile is True:
            # In place, so that parameters keep their names.
            learner.model.compile()
            learner.evaluated_model.compile()
        learner._exchange()
        return learner

    def train_head_only(self, wanted: bool) -> None:
        """Freeze what waits for the head, or thaw it."""
        if wanted == self.head_only:
            return
        self.head_only = wanted
        for parameter in self.waiting:
            parameter.requires_grad_(not wanted)
        if self.features is not None:
            self.features.forget()
        self._exchange()

    def train(self) -> None:
        """Training mode, except for what is frozen while the head trains alone."""
        self.model.train()
        self.objective.train()
        if self.head_only:
            keep_still(self.model)

    def output(self, batch: Mapping[str, Any]) -> Any:
        """The model's output for a batch; its backward pass exchanges gradients with the others."""
        if self.features is None:
            model = self.model if self.exchange is None else self.exchange
            with self.precision.autocast():
                return model(batch["image"].to(self.device, non_blocking=True))
        model = ByFeatures(self.model) if self.exchange is None else self.exchange
        batch = self.with_features(batch)
        with self.precision.autocast():
            return output_of(model, batch, self.device)

    def with_features(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """The batch with the features of its images, if those are kept."""
        if self.features is None:
            return batch
        return self.features.added_to(batch, self.model, self.device, self.precision)

    def clip_gradients(self) -> Tensor | None:
        """Clip the summed gradients; return their norm before, or None if it may be infinite.

        A scaler tries out how far it may scale, and leaves out a step whose gradients became
        infinite by that.
        """
        scaled = self.scaler.is_enabled()
        if scaled and not self.gradient_clip_norm:
            return None
        self.scaler.unscale_(self.optimizer)
        largest = self.gradient_clip_norm or math.inf
        parts = [self.model, self.objective] if self.clips_objective else [self.model]
        parameters = [parameter for part in parts for parameter in part.parameters()]
        norm = nn.utils.clip_grad_norm_(parameters, largest)
        return None if scaled else norm

    def step(self) -> None:
        """Step the optimizer, the schedule and the average; clear the gradients."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.num_updates += 1
        self.scheduler.step_update(self.num_updates)
        if self.average is not None:
            self.average.update(self.model, step=self.num_updates)

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizer state and the number of updates, which sets the learning rate.

        `model` is the evaluated model. If that is an average, `training_model` holds the weights
        that training continues from.
        """
        state = {
            "model": self.evaluated_model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "num_updates": self.num_updates,
            "precision": self.precision.name,
        }
        if self.average is not None:
            state["training_model"] = self.model.state_dict()
        if self.scaler.is_enabled():
            state["scaler"] = self.scaler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the learner; its own schedule sets the learning rate."""
        self.evaluated_model.load_state_dict(state["model"])
        if self.average is not None:
            self.model.load_state_dict(state["training_model"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.num_updates = int(state["num_updates"])
        self.scheduler.step_update(self.num_updates)

    def __str__(self) -> str:
        """The class names of model, loss and optimizer."""
        objective = getattr(self.objective, "name", type(self.objective).__name__)
        return f"{type(self.model).__name__}, {objective} and {type(self.optimizer).__name__}"

    def exchanging_gradients(self, wanted: bool) -> AbstractContextManager[None]:
        """Context in which a backward pass sums gradients over all processes, if `wanted`."""
        return nullcontext() if wanted or self.exchange is None else self.exchange.no_sync()

    def _exchange(self) -> None:
        """With several processes, exchange the gradients of what is trained now."""
        if distributed.size() > 1:
            # Buffers are equal in all processes without being sent.
            self.exchange = DistributedDataParallel(
                ByFeatures(self.model), forward_sync_buffers=False, gradient_as_bucket_view=True
            )

    @property
    def evaluated_model(self) -> nn.Module:
        """What is validated, saved and tested: the averaged weights, if there are any."""
        return self.model if self.average is None else self.average.module

    @property
    def learning_rate(self) -> float:
        """The rate of the next step; with layer decay, the rate of the last layers."""
        return max(group["lr"] for group in self.optimizer.param_groups)

"""What learning changes, and in what it is computed."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import core.torchvision_ops  # noqa: F401

import torch
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from core.training import distributed
from core.training.objective import Objective
from core.training.optimization import create_optimizer, create_scheduler
from core.training.precision import FLOAT32, Precision, choose_precision
from core.training.settings import RuntimeSettings, TrainingSettings
from core.training.shared_batch_norm import share_batch_norm


@dataclass
class Learner:
    """Model, objective and optimizer on their device, and how they are computed there."""

    model: nn.Module
    objective: Objective
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

    @classmethod
    def create(
        cls,
        model: nn.Module,
        objective: Objective,
        settings: TrainingSettings,
        *,
        steps_per_epoch: int,
        device: torch.device,
        runtime: RuntimeSettings | None = None,
    ) -> "Learner":
        """Move model and objective to the device and make optimizer and schedule for them.

        `steps_per_epoch` is the number of batches; `runtime` says how they are computed, and is
        float32 and nothing else without.

        Raises:
            InputError: an optimizer, or a way to compute, that is not to be had.
        """
        runtime = runtime or RuntimeSettings(precision="float32", channels_last=False)
        precision = choose_precision(runtime.precision, device)
        if distributed.size() > 1:
            model = share_batch_norm(model, device)
        layout = torch.channels_last if runtime.uses_channels_last(device) else None
        model = model.to(device, memory_format=layout) if layout else model.to(device)
        objective = objective.to(device)
        optimizer = create_optimizer(model, objective, settings)
        num_updates = -(-steps_per_epoch // settings.accumulation_steps)
        average = None
        if settings.ema_decay is not None:
            # With its warm-up an average of few updates is not one of the initial weights.
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
        )
        if runtime.compile:
            # In place, so that parameters keep their names.
            learner.model.compile()
            learner.evaluated_model.compile()
        if distributed.size() > 1:
            # Buffers are the same in all processes without being sent.
            learner.exchange = DistributedDataParallel(
                model, forward_sync_buffers=False, gradient_as_bucket_view=True
            )
        return learner

    @property
    def trained_model(self) -> nn.Module:
        """What a training step calls: among several processes `model` in its wrapper."""
        return self.model if self.exchange is None else self.exchange

    def exchanging_gradients(self, wanted: bool) -> AbstractContextManager[None]:
        """Whether a backward pass sums the gradients of all processes, or only its own."""
        return nullcontext() if wanted or self.exchange is None else self.exchange.no_sync()

    @property
    def evaluated_model(self) -> nn.Module:
        """What is validated, kept and tested: the averaged weights where there are any."""
        return self.model if self.average is None else self.average.module

    @property
    def learning_rate(self) -> float:
        """That of the next step, of the last layers where layers have rates of their own."""
        return max(group["lr"] for group in self.optimizer.param_groups)

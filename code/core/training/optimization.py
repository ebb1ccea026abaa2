"""Optimizer and learning-rate schedule, both from timm."""

import math
from functools import partial
from importlib.util import find_spec
from typing import Any

import core.machine.torchvision_ops  # noqa: F401  timm imports torchvision, so this stands before timm

from timm.optim import (
    create_optimizer_v2,
    get_optimizer_info,
    list_optimizers,
    param_groups_layer_decay,
    param_groups_weight_decay,
)
from timm.scheduler import CosineLRScheduler
from torch import nn, optim

from core.errors import InputError
from core.training.settings import TrainingSettings
from core.validation import nearest


def check_optimizer(given: str) -> None:
    """Raise InputError for a name that timm does not know, or an optimizer that cannot train here.

    Kron without opt_einsum takes gigabytes for the smallest network.
    """
    name = given.lower()
    if name not in list_optimizers():
        raise _refused(
            given, f"timm has no optimizer of that name{nearest(name, list_optimizers())}"
        )
    if get_optimizer_info(name).second_order:
        raise _refused(given, "needs second derivatives, which a step here does not compute")
    if name.startswith("kron") and not find_spec("opt_einsum"):
        raise _refused(given, "needs the package opt_einsum, which is not installed")


def _refused(given: str, reason: str) -> InputError:
    return InputError(
        f"training.optimizer={given!r}: {reason}: choose one such as adamw, lamb, lion or sgd"
    )


def create_optimizer(model: nn.Module, loss: nn.Module, settings: TrainingSettings):
    """The optimizer for the trainable parameters of the model and, if it has any, of the loss.

    Biases, norms and parameters of the loss get no weight decay: it would pull learned loss weights
    towards each other. Raises InputError for an optimizer that is unknown or cannot be built here,
    or where nothing is trainable.
    """
    check_optimizer(settings.optimizer)
    name = settings.optimizer.lower()
    groups = [group for group in _groups(model, settings) if group["params"]]
    if not groups:
        raise InputError(
            "model: no parameter is trainable: lower model.freeze_stages or set "
            "model.freeze_backbone=false"
        )
    loss_parameters = [p for p in loss.parameters() if p.requires_grad]
    if loss_parameters:
        groups.append({"params": loss_parameters, "weight_decay": 0.0})
    # torch's fused AdamW is several times faster than its default, also on the CPU.
    extra = {"fused": True} if name == "adamw" else {}
    try:
        return create_optimizer_v2(
            groups, opt=name, lr=settings.learning_rate, weight_decay=0.0, **extra
        )
    except (AssertionError, ImportError, RuntimeError) as error:
        reason = f"cannot be built here ({' '.join(str(error).split())})"
        raise _refused(settings.optimizer, reason) from None


def _groups(model: nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Trainable parameters by decay and, with `layer_decay`, by layer."""
    if settings.layer_decay is None:
        return param_groups_weight_decay(model, settings.weight_decay)
    groups = param_groups_layer_decay(
        model, settings.weight_decay, layer_decay=settings.layer_decay
    )
    if groups and not any(group["lr_scale"] < 1 for group in groups):
        raise InputError(
            f"training.layer_decay={settings.layer_decay}: no trainable layer below the head is "
            "known of this model: use null, or give the model a group_matcher as timm's have"
        )
    return groups


class HeadThenCosine(CosineLRScheduler):
    """The peak of the rate for `head_updates`, then timm's warm-up and cosine from their start."""

    def __init__(self, optimizer: optim.Optimizer, *, head_updates: int, **options: Any) -> None:
        self.head_updates = head_updates
        super().__init__(optimizer, **options)
        self.step_update(0)

    def _get_lr(self, t: int) -> list[float]:
        if t < self.head_updates:
            return list(self.base_values)
        return super()._get_lr(t - self.head_updates)


def create_scheduler(
    optimizer: optim.Optimizer, settings: TrainingSettings, steps_per_epoch: int
) -> CosineLRScheduler:
    """Linear warm-up, then a cosine to `min_learning_rate`; stepped once per update.

    The warm-up takes at most half of the training, so that short runs reach the peak too. Before
    both, the epochs of the head are at the peak.
    """
    total = (settings.num_epochs - settings.head_epochs) * steps_per_epoch
    warmup = min(math.ceil(settings.warmup_epochs * steps_per_epoch), total // 2)
    kind = CosineLRScheduler
    if settings.head_epochs:
        kind = partial(HeadThenCosine, head_updates=settings.head_epochs * steps_per_epoch)
    return kind(
        optimizer,
        t_initial=max(2, total - warmup),
        lr_min=min(settings.min_learning_rate, settings.learning_rate),
        warmup_t=warmup,
        warmup_lr_init=settings.learning_rate / 100,
        warmup_prefix=True,
        t_in_epochs=False,
    )

"""What every loss has in common."""

import functools
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from core.errors import InputError
from core.losses.class_weights import ClassWeight, Configured
from core.registry import checked_arguments, constructor_model

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Reduction = Literal["mean", "sum", "none"]


class BaseLoss(nn.Module):
    """A loss of logits (batch, C, *spatial) and multi-hot targets of the same shape.

    A subclass keeps each argument of its constructor where `get_params` finds it: as an attribute
    of that name, or, if it is a weight per class, by `add_class_weight`.
    """

    registered_name: ClassVar[str] = ""
    reductions: ClassVar[tuple[str, ...]] = get_args(Reduction)
    requires_masks: ClassVar[bool] = False
    """Whether targets must have spatial axes."""
    may_be_negative: ClassVar[bool] = False
    """Whether it has no lower bound, or vanishes: not for weighting by uncertainty."""
    uses_distance_maps: ClassVar[bool] = False
    """Whether forward takes `distance_maps`, (batch, C, *spatial), computed in the loader."""
    index_targets: ClassVar[bool] = False
    """Whether targets are class indices (batch, *spatial) instead."""
    recorded: ClassVar[tuple[str, ...]] = ("class_counts", "class_total")
    """What `get_params` has beyond the constructor's arguments and `<weight per class>_source`."""

    def __init_subclass__(cls) -> None:
        """Check the constructor's arguments against its signature, as the registry does."""
        super().__init_subclass__()
        init = vars(cls).get("__init__")
        if init is None:
            return

        @functools.wraps(init)
        def checked_init(self: BaseLoss, *args: Any, **params: Any) -> None:
            args, params = checked_arguments(cls, f"loss {self.name()}", args, params)
            init(self, *args, **params)

        cls.__init__ = checked_init

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        if reduction not in self.reductions:
            expected = " or ".join(map(repr, self.reductions))
            raise InputError(f"loss {self.name()}: reduction={reduction!r}: expected {expected}")
        self.reduction = reduction
        self.class_weights = nn.ModuleDict()

    @classmethod
    def name(cls) -> str:
        """The name it is registered under, else that of the class."""
        return cls.registered_name or cls.__name__

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar unless `reduction` is `none`."""
        raise NotImplementedError

    def set_class_statistics(
        self,
        counts: Sequence[int],
        total: int,
        source: str,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Take the class counts of the training part; a loss that needs none ignores them.

        Raises:
            InputError: a class without positives or negatives where weights are computed, or
                given weights that are not one for each class.
        """
        for weight in self.class_weights.values():
            weight.resolve(counts, total, source, class_names)

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch, counted from 0; only losses with a schedule change."""

    def names_needing_masks(self) -> list[str]:
        """The name of the loss, or of each of its components, that requires masks."""
        return [self.name()] if self.requires_masks else []

    def terms(self) -> dict[str, dict[str, float]]:
        """By component: `raw` and `weighted` means over the epoch's batches, current `weight`.

        Empty without components, and before the first training batch.
        """
        return {}

    def epoch_state(self) -> dict[str, Any]:
        """What `terms` needs beside the state_dict, for a checkpoint within an epoch."""
        return {}

    def restore_epoch_state(self, state: dict[str, Any]) -> None:
        """Continue within an epoch; call it after `set_epoch`."""

    def get_weights(self) -> dict[str, float]:
        """The current weight of each component, by its name; empty without components."""
        return {}

    def get_params(self) -> dict[str, Any]:
        """What `get_loss` needs to build the loss again, with resolved weights and their source."""
        params: dict[str, Any] = {"type": self.name()}
        for name in constructor_model(type(self), self.name()).model_fields:
            if name not in self.class_weights:
                params[name] = getattr(self, name)
                continue
            weight = self.class_weights[name]
            params[name], params[f"{name}_source"] = weight.record(), weight.source
            if weight.counts is not None:
                params |= {"class_counts": weight.counts, "class_total": weight.total}
        return params

    def restore_record(self, record: dict[str, Any]) -> None:
        """Restore what `get_params` has beyond the constructor's arguments."""
        for name, weight in self.class_weights.items():
            if weight.rule is None:
                weight.source = record.get(f"{name}_source", weight.source)
                weight.counts, weight.total = record.get("class_counts"), record.get("class_total")

    def add_class_weight(self, name: str, configured: Configured, **options: float) -> None:
        """Keep the constructor's argument `name` as a weight per class."""
        where = f"loss {self.name()}: {name}"
        self.class_weights[name] = ClassWeight(where, configured, **options)

    def class_weight_of(self, name: str, targets: Tensor) -> Tensor | None:
        """The argument `name` as a weight, (C,) or a scalar; None where it is None."""
        weight = self.class_weights[name]
        return None if weight.value is None else weight(targets)


def checked(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets in one floating type of at least 32 bits.

    Raises:
        ValueError: the shapes differ, are not (batch, C, *spatial), or are empty.
    """
    if logits.shape != targets.shape or logits.ndim < 2 or logits.numel() == 0:
        raise ValueError(
            f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}: expected one "
            "shape (batch, classes, *spatial), not empty"
        )
    logits = at_least_float32(logits)
    return logits, targets.to(logits.dtype)


def at_least_float32(logits: Tensor) -> Tensor:
    """Logits in float32 or float64: sums over a strip's pixels overflow float16."""
    if logits.dtype in (torch.float32, torch.float64):
        return logits
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def along_classes(values: Tensor, like: Tensor) -> Tensor:
    """`values`, (C,) or a scalar, in a shape that broadcasts against (batch, C, *spatial)."""
    values = values.to(like)
    return values.view(-1, *[1] * (like.ndim - 2)) if values.ndim else values


def reduced(values: Tensor, reduction: str) -> Tensor:
    """Mean or sum over all elements, or the elements themselves."""
    if reduction == "mean":
        return values.mean()
    return values.sum() if reduction == "sum" else values

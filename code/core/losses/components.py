"""The components of a compound loss: how each is built, and how much it weighs."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from core.errors import InputError
from core.losses.base import BaseLoss, NonNegative
from core.losses.factory import get_loss, resolve_name
from core.losses.loss_weighting import (
    LOG_VARIANCE_LIMIT,
    FixedWeights,
    SoftmaxWeights,
    UncertaintyWeights,
    Weighting,
)
from core.losses.registry import get_registry
from core.validation import Settings, validate


class ComponentWeight(Settings):
    """Weight in epoch 0, its change with each epoch, and the value where the change ends."""

    weight: NonNegative = 1.0
    weight_step: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    weight_limit: NonNegative | None = None

    @field_validator("weight_limit")
    @classmethod
    def _is_ahead(cls, limit: float | None, info: ValidationInfo) -> float | None:
        weight, step = info.data.get("weight"), info.data.get("weight_step")
        if limit is None or weight is None or step is None:
            return limit
        if step == 0:
            raise ValueError("has no effect without weight_step")
        if (limit - weight) * step < 0:
            side, way = ("least", "up") if step > 0 else ("most", "down")
            raise ValueError(
                f"expected at {side} weight={weight}, from which weight_step={step} leads {way}"
            )
        return limit

    def record(self) -> dict[str, Any]:
        """The weight, and what is set of its schedule."""
        return {**self.model_dump(exclude_defaults=True), "weight": self.weight}


class ModuleLoss(BaseLoss):
    """Any module of (logits, targets) as a component, such as `nn.BCEWithLogitsLoss()`.

    Its parameters are not known: `get_params` names the class, and `get_loss` cannot build it.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.warn_of_probabilities = False

    @property
    def sums_over_images(self) -> bool:
        return getattr(self.module, "reduction", "mean") == "sum"

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.module(logits, targets)

    def get_params(self) -> dict[str, Any]:
        kind = type(self.module)
        return {"type": kind.__name__, "module": kind.__module__}


def build_component(
    given: dict[str, Any] | nn.Module, index: int, reduction: str
) -> tuple[BaseLoss, ComponentWeight]:
    """The component at `index`, as a loss and its weight.

    Raises:
        InputError: names the component, and what is wrong with it.
    """
    where = f"loss compound: components.{index}"
    if isinstance(given, nn.Module):
        loss = given if isinstance(given, BaseLoss) else ModuleLoss(given)
        weight = ComponentWeight()
    else:
        own = {key: given[key] for key in ComponentWeight.model_fields if key in given}
        weight = validate(ComponentWeight, own, where)
        params = {key: value for key, value in given.items() if key not in own}
        try:
            loss = get_loss(_with_reduction(params, reduction))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    if loss.reduction == "none":
        raise InputError(f"{where}: reduction=none: expected a scalar: choose mean or sum")
    return loss, weight


def unique_names(losses: Sequence[BaseLoss]) -> list[str]:
    """Their registered names; the second of a kind is numbered, as `focal_loss_2`."""
    kinds = [loss.get_params()["type"] for loss in losses]
    numbers = [kinds[: i + 1].count(kind) for i, kind in enumerate(kinds)]
    return [k if n == 1 else f"{k}_{n}" for k, n in zip(kinds, numbers, strict=True)]


def build_weighting(
    mode: str | bool,
    losses: Mapping[str, BaseLoss],
    weights: Mapping[str, ComponentWeight],
    floor: float,
    prior_strength: float,
) -> Weighting:
    """The weighting of that mode: false, `softmax` or `uncertainty`.

    Raises:
        InputError: names the component that cannot be weighted so.
    """
    rows = [(w.weight, w.weight_step, w.weight_limit) for w in weights.values()]
    if not mode:
        if all(weight == 0 and step <= 0 for weight, step, _ in rows):
            raise InputError("loss compound: the weight of every component is 0: give one above 0")
        return FixedWeights(rows)
    for name, weight in weights.items():
        _check_learnable(mode, name, losses[name], weight)
    initial = [weight for weight, _, _ in rows]
    if mode == "softmax":
        return SoftmaxWeights(initial, floor, prior_strength)
    return UncertaintyWeights(initial)


def _check_learnable(
    mode: str | bool, name: str, loss: BaseLoss, configured: ComponentWeight
) -> None:
    weight, problem = configured.weight, ""
    lowest, highest = (math.exp(sign * LOG_VARIANCE_LIMIT) / 2 for sign in (-1, 1))
    if configured.weight_step:
        problem = f"weight_step={configured.weight_step}: a learned weight follows no schedule"
    elif weight == 0:
        problem = "weight=0: cannot be learned, give one above 0"
    elif mode == "uncertainty" and loss.may_be_negative:
        problem = "may be negative or vanish, and its learned weight would grow without bound"
    elif mode == "uncertainty" and not lowest <= weight <= highest:
        problem = f"weight={weight}: expected {lowest:.3g} to {highest:.3g}"
    if problem:
        raise InputError(
            f"loss compound: component {name}: {problem}: change it, or choose another "
            f"learnable_weights than {mode}"
        )


def _with_reduction(params: dict[str, Any], reduction: str) -> dict[str, Any]:
    """`params` with the compound's reduction, where the loss has one and it is not the default."""
    name = resolve_name(str(params.get("type")))
    known = name in get_registry() and "reduction" in get_registry().parameters(name).model_fields
    return {"reduction": reduction, **params} if known and reduction != "mean" else params

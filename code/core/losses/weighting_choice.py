"""Which weighting a compound loss gets, and what is refused for it."""

import math
from collections.abc import Mapping

from core.errors import InputError
from core.losses.component import Component
from core.losses.loss_weighting import (
    LOG_VARIANCE_LIMIT,
    FixedWeights,
    SoftmaxWeights,
    UncertaintyWeights,
    Weighting,
)


def build_weighting(
    mode: str | bool, parts: Mapping[str, Component], floor: float, prior_strength: float
) -> Weighting:
    """The weighting of that mode: false, `softmax` or `uncertainty`, for components by name.

    Raises:
        InputError: names the component that cannot be weighed so.
    """
    rows = [(p.weight.weight, p.weight.weight_step, p.weight.weight_limit) for p in parts.values()]
    if not mode:
        if all(weight == 0 and step <= 0 for weight, step, _ in rows):
            raise InputError("loss compound: the weight of every component is 0: give one above 0")
        return FixedWeights(rows)
    for name, part in parts.items():
        _check_learnable(mode, name, part)
    weights = [weight for weight, _, _ in rows]
    if mode == "softmax":
        return SoftmaxWeights(weights, floor, prior_strength)
    return UncertaintyWeights(weights)


def _check_learnable(mode: str | bool, name: str, part: Component) -> None:
    where = f"loss compound: component {name}: "
    instead = f"with learnable_weights={mode}: mend it, or choose learnable_weights=false"
    weight = part.weight.weight
    if part.weight.weight_step:
        raise InputError(f"{where}a learned weight has no schedule, found weight_step {instead}")
    if weight == 0:
        raise InputError(f"{where}weight=0 cannot be learned {instead}")
    if mode != "uncertainty":
        return
    if part.loss.may_be_negative:
        raise InputError(
            f"{where}it may be negative or vanish, and its learned weight would grow without "
            "sense: choose learnable_weights=softmax or false"
        )
    lowest, highest = (math.exp(sign * LOG_VARIANCE_LIMIT) / 2 for sign in (-1, 1))
    if not lowest <= weight <= highest:
        raise InputError(
            f"{where}weight={weight}: expected {lowest:.3g} to {highest:.3g} {instead}"
        )

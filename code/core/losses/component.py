"""One part of a compound loss: the loss itself, and what it weighs in which epoch."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from core.errors import InputError
from core.losses.base import BaseLoss
from core.losses.factory import get_loss, resolve_name
from core.losses.registry import get_registry
from core.validation import Settings, validate


class ComponentWeight(Settings):
    """Weight in epoch 0, its change with each epoch, and the value where the change ends."""

    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    weight_step: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    weight_limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


@dataclass(frozen=True)
class Component:
    """A loss with its weight."""

    loss: BaseLoss
    weight: ComponentWeight

    def get_params(self) -> dict[str, Any]:
        """What builds it again, unset parts of the schedule left out."""
        schedule = self.weight.model_dump(exclude_defaults=True)
        return self.loss.get_params() | schedule | {"weight": self.weight.weight}


def build_component(part: dict[str, Any] | BaseLoss, index: int, reduction: str) -> Component:
    """`part`, the component at `index`, as a loss with its weight.

    Raises:
        InputError: names the component, and what is wrong with it.
    """
    where = f"loss compound: components.{index}"
    if isinstance(part, BaseLoss):
        component = Component(part, ComponentWeight())
    else:
        given = {key: part[key] for key in ComponentWeight.model_fields if key in part}
        weight = validate(ComponentWeight, given, where)
        params = {key: value for key, value in part.items() if key not in given}
        try:
            component = Component(get_loss(_with_reduction(params, reduction)), weight)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    if component.loss.reduction == "none":
        raise InputError(f"{where}: reduction=none: expected a scalar: choose mean or sum")
    return component


def unique_names(losses: list[BaseLoss]) -> list[str]:
    """Their registered names; from the second of a kind on with its number, as `focal_loss_2`."""
    seen: Counter[str] = Counter()
    names = []
    for loss in losses:
        seen[loss.name()] += 1
        number = seen[loss.name()]
        names.append(loss.name() if number == 1 else f"{loss.name()}_{number}")
    return names


def _with_reduction(params: dict[str, Any], reduction: str) -> dict[str, Any]:
    """`params` with the compound's reduction, where it is not the default and has a place."""
    name = resolve_name(str(params.get("type")))
    known = name in get_registry() and "reduction" in get_registry().parameters(name).model_fields
    return {"reduction": reduction, **params} if known and reduction != "mean" else params

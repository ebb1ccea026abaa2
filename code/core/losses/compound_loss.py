"""A weighted sum of losses, with weights as configured or learned."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor, nn

from core.errors import InputError
from core.losses.base import BaseLoss, NonNegative
from core.losses.boundary_loss import BoundaryLoss
from core.losses.components import ModuleLoss, build_component, build_weighting, unique_names
from core.losses.registry import get_registry
from core.validation import OnlyForItems, OnlyWith

Learnable = bool | Literal["softmax", "uncertainty"]
_LEARNED = OnlyWith(("learnable_weights", "learnable"), ("softmax", True))


@get_registry().register("compound", tags=["masks", "image_labels", "learnable"])
class CompoundLoss(BaseLoss):
    """Weighted sum of other losses: sum_i w_i L_i.

    Each of `components` is a loss, or a mapping with its `type`, its own parameters, its
    `weight` (default 1) and, for a schedule over the epochs, `weight_step` and `weight_limit`;
    in Python also any other module of (logits, targets).
    `learnable_weights` (short: `learnable`) is false, `softmax` (= true) or `uncertainty`:
    `loss_weighting` says what they minimise, and what `floor` and `prior_strength` do.
    `reduction` applies to every component that does not set its own.

    Shape: (batch, C, *spatial), as the components expect it.
    Sources: Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses",
    2018; Liebel and Körner, "Auxiliary Tasks in Multi-task Learning", 2018. The softmax over
    ratios to running means is this project's own construction.
    """

    recorded = ("weights",)

    def __init__(
        self,
        components: Annotated[
            list[dict[str, Any] | SkipJsonSchema[nn.Module]],
            Field(
                min_length=1,
                description="losses, each with its type, weight and parameters",
                examples=["[{type:bce},{type:dice,weight:0.5}]"],
            ),
        ],
        learnable_weights: Annotated[
            Learnable, Field(description="learn the weights; true is softmax")
        ] = False,
        learnable: Annotated[
            Learnable | None, Field(description="a short name of learnable_weights")
        ] = None,
        floor: Annotated[
            float, Field(ge=0, le=0.5, description="smallest share of a learned weight"), _LEARNED
        ] = 0.05,
        prior_strength: Annotated[
            NonNegative,
            Field(description="how strongly learned weights keep to the given ones"),
            _LEARNED,
        ] = 1.0,
        reduction: Annotated[
            Literal["mean", "sum"],
            Field(description="of every component that does not set its own"),
            OnlyForItems(("components",), own="reduction"),
        ] = "mean",
    ) -> None:
        super().__init__(reduction)
        if learnable is not None and learnable_weights not in (False, learnable):
            raise InputError(
                f"loss compound: learnable={learnable} and learnable_weights={learnable_weights}: "
                "expected one of the two"
            )
        chosen = learnable_weights if learnable is None else learnable
        self.learnable_weights = "softmax" if chosen is True else chosen
        self.floor = floor
        self.prior_strength = prior_strength
        built = [build_component(given, i, reduction) for i, given in enumerate(components)]
        losses, weights = ([each[i] for each in built] for i in (0, 1))
        names = unique_names(losses)
        self.components = nn.ModuleDict(zip(names, losses, strict=True))
        self.configured_weights = dict(zip(names, weights, strict=True))
        _check_distance_maps(losses)
        self.index_targets = _shared_kind_of_target(self.components)
        self.from_logits = _shared_kind_of_input(self.components)
        self.requires_masks = any(loss.requires_masks for loss in losses)
        self.uses_distance_maps = any(loss.uses_distance_maps for loss in losses)
        self.may_be_negative = any(loss.may_be_negative for loss in losses)
        self.weighting = build_weighting(
            self.learnable_weights, self.components, self.configured_weights, floor, prior_strength
        )
        self._sums: Tensor | None = None
        self._steps = 0

    def forward(
        self, logits: Tensor, targets: Tensor, distance_maps: Tensor | None = None
    ) -> Tensor:
        if not self.index_targets:
            logits, targets = self.checked(logits, targets)
        values = torch.stack(
            [self._value(name, logits, targets, distance_maps) for name in self.components]
        )
        total = self.weighting(values)
        if self.training:
            self._remember(values.detach())
        return total

    @property
    def sums_over_images(self) -> bool | None:
        kinds = {loss.sums_over_images for loss in self.components.values()}
        if self.learnable_weights:
            kinds.add(False)  # what the weights minimise beside the components is no such sum
        return kinds.pop() if len(kinds) == 1 else None

    def set_class_statistics(self, counts: Sequence[int], *args: Any, **kwargs: Any) -> None:
        self.check_class_count(len(counts))
        for loss in self.components.values():
            loss.set_class_statistics(counts, *args, **kwargs)

    def set_epoch(self, epoch: int) -> None:
        self._sums, self._steps = None, 0
        self.weighting.set_epoch(epoch)
        for loss in self.components.values():
            loss.set_epoch(epoch)

    def terms(self) -> dict[str, dict[str, float]]:
        if self._sums is None:
            return {}
        raw, weighted = (self._sums / self._steps).tolist()
        rows = zip(self.get_weights().items(), raw, weighted, strict=True)
        return {
            name: {"raw": value, "weighted": product, "weight": weight}
            for (name, weight), value, product in rows
        }

    def epoch_state(self) -> dict[str, Any]:
        return {"sums": self._sums, "steps": self._steps}

    def restore_epoch_state(self, state: dict[str, Any]) -> None:
        sums, self._steps = state["sums"], state["steps"]
        self._sums = None if sums is None else sums.to(self.weighting.weights().device)

    def get_weights(self) -> dict[str, float]:
        return dict(zip(self.components, self.weighting.weights().tolist(), strict=True))

    def distance_maps_of(self, masks: NDArray[np.generic]) -> NDArray[np.float32]:
        """The distance maps, which are the same for all components that use them."""
        makers = [loss for loss in self.components.values() if loss.uses_distance_maps]
        return makers[0].distance_maps_of(masks)

    def names_needing_masks(self) -> list[str]:
        return [name for loss in self.components.values() for name in loss.names_needing_masks()]

    def get_params(self) -> dict[str, Any]:
        return {
            "type": self.name(),
            "components": [
                self.components[name].get_params() | weight.record()
                for name, weight in self.configured_weights.items()
            ],
            "learnable_weights": self.learnable_weights,
            "num_classes": self.num_classes,
            "floor": self.floor,
            "prior_strength": self.prior_strength,
            "reduction": self.reduction,
            "weights": self.get_weights(),
        }

    def restore_record(self, record: dict[str, Any]) -> None:
        if "weights" not in record:
            return
        try:
            values = [float(weight) for weight in record["weights"].values()]
        except (AttributeError, TypeError, ValueError):
            values = []
        if len(values) != len(self.components):
            raise InputError(
                f"loss compound: weights={record['weights']!r}: expected those of a record, one "
                f"number for each of {', '.join(self.components)}: leave it out"
            )
        self.weighting.start_at(values)

    def _value(
        self, name: str, logits: Tensor, targets: Tensor, distance_maps: Tensor | None
    ) -> Tensor:
        loss = self.components[name]
        extra = {"distance_maps": distance_maps} if loss.uses_distance_maps else {}
        try:
            value = loss(logits, targets, **extra)
        except InputError as error:
            raise InputError(f"loss compound: component {name}: {error}") from None
        except Exception as error:
            raise RuntimeError(f"loss compound: component {name} failed: {error}") from error
        if value.ndim:
            raise InputError(
                f"loss compound: component {name}: returned the shape {tuple(value.shape)}, "
                "expected a scalar: choose a reduction of mean or sum"
            )
        return value

    # A compiler would guard on the number of steps, and compile again in each step.
    @torch.compiler.disable
    @torch.no_grad()
    def _remember(self, values: Tensor) -> None:
        rows = torch.stack([values, values * self.weighting.weights().to(values)])
        self._sums = rows if self._sums is None else self._sums + rows
        self._steps += 1


def _shared_kind_of_target(components: nn.ModuleDict) -> bool:
    kinds = {name: loss.index_targets for name, loss in components.items()}
    if len(set(kinds.values())) > 1:
        indices = ", ".join(name for name, takes_indices in kinds.items() if takes_indices)
        raise InputError(
            f"loss compound: {indices} takes class indices, the other components multi-hot "
            "targets: expected one kind of target"
        )
    return next(iter(kinds.values()))


def _shared_kind_of_input(components: nn.ModuleDict) -> bool:
    own = {name: loss for name, loss in components.items() if not isinstance(loss, ModuleLoss)}
    kinds = {loss.from_logits for loss in own.values()}
    if len(kinds) > 1:
        raise InputError(
            "loss compound: components differ in from_logits, but all of them get the same: "
            "give all of them logits, or all of them probabilities"
        )
    for loss in own.values():
        loss.warn_of_probabilities = False
    return kinds != {False}


def _check_distance_maps(losses: Sequence[BaseLoss]) -> None:
    kinds = {
        (module.scale, module.max_distance if module.scale == "clip" else None)
        for loss in losses
        for module in loss.modules()
        if isinstance(module, BoundaryLoss)
    }
    if len(kinds) > 1:
        raise InputError(
            "loss compound: components of boundary_loss differ in scale or max_distance, but a "
            "batch carries one kind of distance map: give all of them the same"
        )

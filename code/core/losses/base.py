"""What every loss has in common."""

import functools
import inspect
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from core.errors import InputError
from core.losses.class_weights import ClassWeight, Configured
from core.losses.elementwise import at_least_float32
from core.losses.posterior import posterior_scaling
from core.registry import checked_arguments, constructor_model

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Reductions = Literal["mean", "sum", "none"]
Reduction = Annotated[Reductions, Field(description="how the losses of all elements become one")]
Classes = Annotated[int | None, Field(ge=1, description="only for so many classes; null: for any")]
FEWEST_TO_JUDGE = 16  # fewer logits lie within 0..1 by chance too often


class BaseLoss(nn.Module):
    """A loss of logits (batch, C, *spatial) and multi-hot targets of the same shape.

    A subclass has `forward(logits, targets)`, which returns a scalar unless `reduction` is `none`.
    It keeps each argument of its constructor where `get_params` finds it: as an attribute
    of that name, or, if it is a weight per class, by `add_class_weight`. Each loss also takes
    `num_classes`, though its constructor does not name it: weights per class, class counts and
    logits of another number of classes are then refused.
    """

    registered_name: ClassVar[str] = ""
    reductions: ClassVar[tuple[str, ...]] = get_args(Reductions)
    requires_masks: ClassVar[bool] = False
    """Whether targets must have spatial axes."""
    may_be_negative: ClassVar[bool] = False
    """Whether it has no lower bound, or vanishes: not for weighting by uncertainty."""
    uses_distance_maps: ClassVar[bool] = False
    """Whether forward takes `distance_maps`, (batch, C, *spatial), computed in the loader."""
    is_elementwise: ClassVar[bool] = False
    """Whether it adds up a loss of each element that is linear in its target."""
    index_targets: ClassVar[bool] = False
    """Whether targets are class indices (batch, *spatial) instead."""
    from_logits: bool = True
    """Whether it takes logits, and not probabilities."""
    recorded: ClassVar[tuple[str, ...]] = ("class_counts", "class_total")
    """What `get_params` has beyond the constructor's arguments and `<weight per class>_source`."""

    def __init_subclass__(cls) -> None:
        """Check the constructor's arguments against its signature, as the registry does."""
        super().__init_subclass__()
        init = vars(cls).get("__init__")
        if init is None:
            return
        signature = inspect.signature(init, eval_str=True)

        @functools.wraps(init)
        def checked_init(self: BaseLoss, *args: Any, **params: Any) -> None:
            args, params = checked_arguments(cls, f"loss {self.name()}", args, params)
            own = "num_classes" in signature.parameters
            num_classes = None if own else params.pop("num_classes", None)
            init(self, *args, **params)
            if num_classes is not None:
                self._set_num_classes(num_classes)

        checked_init.__signature__ = _with_num_classes(signature)
        cls.__init__ = checked_init

    def __init__(self, reduction: Reduction = "mean", num_classes: Classes = None) -> None:
        super().__init__()
        if reduction not in self.reductions:
            expected = " or ".join(map(repr, self.reductions))
            raise InputError(f"loss {self.name()}: reduction={reduction!r}: expected {expected}")
        self.reduction = reduction
        self.num_classes = num_classes
        self.class_weights = nn.ModuleDict()
        self.warn_of_probabilities = True

    @classmethod
    def name(cls) -> str:
        """The name it is registered under, else that of the class."""
        return cls.registered_name or cls.__name__

    def set_class_statistics(
        self,
        counts: Sequence[int],
        total: int,
        source: str,
        class_names: Sequence[str] | None = None,
        drawn_shares: Sequence[float] | None = None,
    ) -> None:
        """Take the class counts of the training part; a loss that needs none ignores them.

        `drawn_shares` is the share of positives of each class among what a sampler draws; without
        one it is that of the training part, counts / total.

        Raises:
            InputError: a class without positives or negatives where weights are computed, or
                given weights that are not one for each class.
        """
        self.check_class_count(len(counts))
        for weight in self.class_weights.values():
            weight.resolve(counts, total, source, class_names)
        shares = [n / total for n in counts] if drawn_shares is None else drawn_shares
        self.use_drawn_shares([float(share) for share in shares])

    def use_drawn_shares(self, shares: list[float]) -> None:
        """Take the share of positives of each class among what is drawn; most losses do not."""

    def check_class_count(self, count: int) -> None:
        """Refuse data with another number of classes than `num_classes`."""
        if self.num_classes not in (None, count):
            raise InputError(
                f"loss {self.name()}: num_classes={self.num_classes}: expected {count}, the "
                "number of classes of the data"
            )

    @property
    def sums_over_images(self) -> bool | None:
        """Whether the loss of a batch is a sum over its images, not a mean; None: in part."""
        return self.reduction == "sum"

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

    def posterior_scaling(self, num_classes: int) -> tuple[list[float], list[float]] | None:
        """Slope and intercept per class that turn logits into those of the posterior.

        None where they already are, and where it is not known: the loss is not element-wise.
        """
        return posterior_scaling(self, num_classes) if self.is_elementwise else None

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

    def checked(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and targets in one floating type of at least 32 bits; warns of probabilities.

        Raises:
            ValueError: the shapes differ, are not (batch, C, *spatial), or are empty.
            InputError: C is not `num_classes`.
        """
        if logits.shape != targets.shape:
            raise _shape_error(logits, targets, "one shape (batch, classes, *spatial)")
        self.check_logits(logits, targets)
        logits = at_least_float32(logits)
        return logits, targets.to(logits.dtype)

    def check_logits(self, logits: Tensor, targets: Tensor) -> None:
        """The checks of `checked` that hold for every kind of target."""
        if logits.ndim < 2 or logits.numel() == 0:
            raise _shape_error(logits, targets, "(batch, classes, *spatial) logits")
        if self.num_classes not in (None, logits.shape[1]):
            raise InputError(
                f"loss {self.name()}: num_classes={self.num_classes}: logits have the shape "
                f"{tuple(logits.shape)}, expected (batch, {self.num_classes}, *spatial)"
            )
        if not torch.compiler.is_compiling() and self.warn_of_probabilities:
            self._look_at_first(logits)

    def _set_num_classes(self, num_classes: int) -> None:
        self.num_classes = num_classes
        for module in self.modules():
            if isinstance(module, ClassWeight):
                module.check_length(num_classes)

    def _look_at_first(self, logits: Tensor) -> None:
        """Warn if the first logits look like probabilities, an error without a symptom."""
        self.warn_of_probabilities = False
        if not self.from_logits or logits.numel() < FEWEST_TO_JUDGE:
            return
        lowest, highest = (bound.item() for bound in logits.detach().aminmax())
        if 0 <= lowest < highest <= 1:
            takes = "from_logits" in constructor_model(type(self), self.name()).model_fields
            remedy = "from_logits=false takes probabilities" if takes else "leave the sigmoid out"
            warnings.warn(
                f"loss {self.name()} takes logits, and all values of the first batch lie in 0..1, "
                f"as probabilities do: {remedy}",
                stacklevel=4,
            )


def _shape_error(logits: Tensor, targets: Tensor, expected: str) -> ValueError:
    shapes = f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}"
    return ValueError(f"{shapes}: expected {expected}, not empty")


def _with_num_classes(signature: inspect.Signature) -> inspect.Signature:
    """The signature with the keyword `num_classes`, which every loss takes."""
    own = list(signature.parameters.values())
    if "num_classes" in signature.parameters:
        return signature
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = inspect.Parameter("num_classes", keyword, default=None, annotation=Classes)
    last = own and own[-1].kind is inspect.Parameter.VAR_KEYWORD
    return signature.replace(parameters=[*own[:-1], added, own[-1]] if last else [*own, added])

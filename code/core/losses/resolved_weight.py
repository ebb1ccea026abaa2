"""A weight per class that is given, or computed from the class counts of the training part."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from core.errors import InputError
from core.losses.class_weights import RULES, check_counts, class_weights

FIRST_BATCH = "first_batch"
CONFIGURED = "configured"


class ResolvedWeight(nn.Module):
    """None, a number, one number per class, or a rule of `class_weights.RULES`.

    A rule is resolved by the counts of the training part, handed over before the first step.
    Without them it is resolved by the first training batch, Laplace-smoothed (a class absent
    from four labels gets alpha 1 - 1/6, not 1), with one warning. The value is a buffer, NaN
    until it is resolved, so that a checkpoint keeps it.
    """

    def __init__(
        self,
        where: str,
        configured: float | Sequence[float] | str | None,
        **options: float,
    ) -> None:
        super().__init__()
        self.where = where
        self.rule = configured if isinstance(configured, str) else None
        if self.rule is not None and self.rule not in RULES:
            raise InputError(f"{where}={self.rule!r}: expected one of {', '.join(RULES)}")
        self.options = options
        self.source = None if configured is None or self.rule else CONFIGURED
        self.counts: list[float] | None = None
        self.total: float | None = None
        value = torch.tensor(float("nan") if self.rule else configured or 0.0)
        self.register_buffer("value", None if configured is None else value)

    def resolve(
        self,
        counts: Sequence[float],
        total: float,
        source: str,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Take the class counts of the training part; given numbers only check their length."""
        if self.value is not None and self.rule is None:
            self._check_length(len(counts))
        if self.rule is not None:
            check_counts(counts, total, f"{self.where}={self.rule}", class_names)
            self._set(counts, total, source)

    def forward(self, targets: torch.Tensor) -> torch.Tensor:
        """The weight, (C,) or a scalar; `targets` is (batch, C, *spatial).

        Raises:
            RuntimeError: evaluated before any counts or training batch.
        """
        if self.source is None:
            self._resolve_from_batch(targets)
        self._check_length(targets.shape[1])
        return self.value

    def record(self) -> Any:
        """The value that is used, in JSON's types; the rule's name while it is unresolved."""
        return self.rule if self.value is not None and self.source is None else _plain(self.value)

    def get_extra_state(self) -> dict[str, Any]:
        return {"source": self.source, "counts": self.counts, "total": self.total}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.source, self.counts, self.total = state["source"], state["counts"], state["total"]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        # An unresolved weight does not know its number of classes yet: the checkpoint does.
        saved = state_dict.get(f"{prefix}value")
        if self.rule is not None and saved is not None:
            self.value = self.value.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @torch.compiler.disable
    def _resolve_from_batch(self, targets: torch.Tensor) -> None:
        if not self.training:
            raise RuntimeError(
                f"{self.where}={self.rule} is unresolved: call set_class_statistics(counts, "
                "total, source), or run a training batch, before evaluating"
            )
        warnings.warn(
            f"{self.where}={self.rule} is taken from the first batch, for want of the counts of "
            "the training part: call set_class_statistics(counts, total, source) before it",
            stacklevel=2,
        )
        positives = targets.detach().float().transpose(0, 1).flatten(1).sum(1)
        smoothed = [n + 1 for n in positives.tolist()]
        self._set(smoothed, targets.numel() // targets.shape[1] + 2, FIRST_BATCH)

    def _set(self, counts: Sequence[float], total: float, source: str) -> None:
        assert self.rule is not None
        self.counts, self.total, self.source = _plain(counts), _plain(total), source
        weights = class_weights(self.rule, self.counts, self.total, **self.options)
        self.value = self.value.new_tensor(weights)

    def _check_length(self, num_classes: int) -> None:
        if self.value.ndim and len(self.value) != num_classes:
            raise InputError(
                f"{self.where} has {len(self.value)} values, expected {num_classes}, "
                "one for each class"
            )


def _plain(value: Any) -> Any:
    """`value` as numbers and lists of Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value

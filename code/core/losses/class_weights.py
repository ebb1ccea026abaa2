"""Weights per class: given as numbers, or computed from how many images carry each class."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import InputError

LOWEST_ALPHA, HIGHEST_ALPHA = 0.01, 0.99

Configured = float | Sequence[float] | str | None


def dynamic(counts: Sequence[float], total: float) -> list[float]:
    """alpha_c = 1 - n_c / N within [0.01, 0.99]: weighs positives; negatives weigh 1 - alpha_c."""
    return [min(max(1 - n / total, LOWEST_ALPHA), HIGHEST_ALPHA) for n in counts]


def balanced(counts: Sequence[float], total: float) -> list[float]:
    """(N - n_c) / n_c: the weight of a positive that makes both sides of a class weigh the same."""
    return [(total - n) / n for n in counts]


def sqrt(counts: Sequence[float], total: float) -> list[float]:
    """sqrt((N - n_c) / n_c): half way between no weight and balanced, on a logarithmic scale."""
    return [math.sqrt(weight) for weight in balanced(counts, total)]


def effective_number(counts: Sequence[float], total: float, beta: float = 0.999) -> list[float]:
    """(1 - beta) / (1 - beta^n_c), scaled to mean one; beta = 0 is no weighting.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", 2019.
    """
    # expm1 keeps 1 - beta^n exact where beta^n rounds to 1.
    log_beta = math.log1p(beta - 1) if beta > 0 else -math.inf
    return _mean_one([-(1 - beta) / math.expm1(n * log_beta) for n in counts])


def inverse(counts: Sequence[float], total: float) -> list[float]:
    """1 / n_c, scaled to mean one."""
    return _mean_one([1 / n for n in counts])


def sqrt_inverse(counts: Sequence[float], total: float) -> list[float]:
    """1 / sqrt(n_c), scaled to mean one."""
    return _mean_one([1 / math.sqrt(n) for n in counts])


RULES: dict[str, Callable[..., list[float]]] = {
    rule.__name__: rule
    for rule in (dynamic, balanced, sqrt, effective_number, inverse, sqrt_inverse)
}


def check_counts(
    counts: Sequence[float], total: float, where: str, class_names: Sequence[str] | None = None
) -> None:
    """Refuse class counts from which no weight can be computed.

    Raises:
        InputError: names the class without positives, or without negatives; `where` says what
            asks for the counts (such as `loss focal_loss: alpha=dynamic`).
    """
    if class_names is not None and len(class_names) != len(counts):
        raise ValueError(f"{len(class_names)} class names for {len(counts)} class counts")
    for index, n in enumerate(counts):
        name = f"class {class_names[index]!r}" if class_names else f"class index {index}"
        if not 0 <= n <= total:
            raise ValueError(f"{where}: {name} has {n} positives among {total} images")
        if n in (0, total):
            found = "no positive" if n == 0 else "no negative"
            raise InputError(
                f"{where}: {name} has {found} in the training part, expected both: give weights "
                "as numbers, leave the class out, or choose another split"
            )


class ClassWeight(nn.Module):
    """A weight per class: None, a number, one number per class, or the name of one of `RULES`.

    A rule is resolved by the class counts of the training part, handed over before the first
    step. Without them it is resolved by the first training batch, with one warning, and with
    Laplace smoothing (a class absent from four labels gets alpha 1 - 1/6, not 1). The value is a
    buffer, NaN until it is resolved, so that a checkpoint keeps it.
    """

    def __init__(self, where: str, configured: Configured, **options: float) -> None:
        super().__init__()
        self.where = where
        self.rule = configured if isinstance(configured, str) else None
        if self.rule is not None and self.rule not in RULES:
            raise InputError(f"{where}={self.rule!r}: expected one of {', '.join(RULES)}")
        self.options = options
        self.source = None if configured is None or self.rule else "configured"
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
        if self.rule is not None:
            check_counts(counts, total, f"{self.where}={self.rule}", class_names)
            self._set(counts, total, source)
        elif self.value is not None:
            self.check_length(len(counts))

    def forward(self, targets: Tensor) -> Tensor:
        """The weight, (C,) or a scalar; `targets` is (batch, C, *spatial).

        Raises:
            RuntimeError: evaluated before any counts or training batch.
        """
        if self.source is None:
            self._resolve_from_batch(targets)
        self.check_length(targets.shape[1])
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
    def _resolve_from_batch(self, targets: Tensor) -> None:
        asked = "call set_class_statistics(counts, total, source)"
        if not self.training:
            raise RuntimeError(
                f"{self.where}={self.rule} is unresolved: {asked}, or run a training batch, "
                "before evaluating"
            )
        warnings.warn(
            f"{self.where}={self.rule} is computed from the first batch, since the counts of the "
            f"training part are not known: {asked} before it",
            stacklevel=2,
        )
        positives = targets.detach().float().transpose(0, 1).flatten(1).sum(1)
        smoothed = [n + 1 for n in positives.tolist()]
        self._set(smoothed, targets.numel() // targets.shape[1] + 2, "first_batch")

    def _set(self, counts: Sequence[float], total: float, source: str) -> None:
        self.counts, self.total, self.source = _plain(counts), _plain(total), source
        weights = RULES[self.rule](self.counts, self.total, **self.options)
        self.value = self.value.new_tensor(weights)

    def check_length(self, num_classes: int) -> None:
        """Refuse numbers that are not one for each class."""
        if self.value is not None and self.value.ndim and len(self.value) != num_classes:
            raise InputError(
                f"{self.where} has {len(self.value)} values, expected {num_classes}, "
                "one for each class"
            )


def _mean_one(weights: list[float]) -> list[float]:
    mean = sum(weights) / len(weights)
    return [weight / mean for weight in weights]


def _plain(value: Any) -> Any:
    """`value` as numbers and lists of Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value

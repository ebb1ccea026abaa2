"""Weights per class, computed from how many training images carry each class."""

import math
from collections.abc import Callable, Sequence

from core.errors import InputError

LOWEST_ALPHA, HIGHEST_ALPHA = 0.01, 0.99


def dynamic(counts: Sequence[float], total: float) -> list[float]:
    """alpha_c = 1 - n_c / N within [0.01, 0.99]: weighs positives; negatives weigh 1 - alpha_c."""
    return [min(max(1 - n / total, LOWEST_ALPHA), HIGHEST_ALPHA) for n in counts]


def balanced(counts: Sequence[float], total: float) -> list[float]:
    """(N - n_c) / n_c: the weight of a positive at which both sides of a class weigh the same."""
    return [(total - n) / n for n in counts]


def sqrt(counts: Sequence[float], total: float) -> list[float]:
    """sqrt((N - n_c) / n_c): half way, on a logarithmic scale, between none and balanced."""
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


def class_weights(
    rule: str, counts: Sequence[float], total: float, **options: float
) -> list[float]:
    """One weight per class by the rule of that name in `RULES`.

    Raises:
        ValueError: counts that no label table can have.
    """
    if not counts or any(not 0 < n < total for n in counts):
        raise ValueError(f"counts {list(counts)} do not all lie between 0 and {total}")
    return RULES[rule](counts, total, **options)


def check_counts(
    counts: Sequence[float],
    total: float,
    where: str,
    class_names: Sequence[str] | None = None,
) -> None:
    """Refuse class counts from which no weight can be computed.

    Raises:
        InputError: names the class without positives, or with nothing else; `where` says
            what asks for the counts (such as `loss focal_loss: alpha=dynamic`).
    """
    if class_names is not None and len(class_names) != len(counts):
        raise ValueError(f"{len(class_names)} class names for {len(counts)} class counts")
    for index, n in enumerate(counts):
        name = f"class {class_names[index]!r}" if class_names else f"class index {index}"
        if not 0 <= n <= total:
            raise ValueError(f"{where}: {name} has {n} positives among {total} images")
        if n == 0 or n == total:
            found = "no positive" if n == 0 else "no negative"
            raise InputError(
                f"{where}: {name} has {found} in what is trained on, expected both: give weights "
                "as numbers, leave the class out, or choose another split"
            )


def _mean_one(weights: list[float]) -> list[float]:
    mean = sum(weights) / len(weights)
    return [weight / mean for weight in weights]

"""What F1 a threshold keeps that few validation images chose, in a simulation.

The scores of a class are normal, those of its positives further right, so that the posterior and
the F1 of each threshold among all images are known. Probabilities are the posterior, or are drawn
away from 0.5 as those of an overconfident model are.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from benchmarks.options import Options
from core.metrics.evaluation_settings import EvaluationSettings
from core.metrics.thresholds import choose_thresholds

POSITIVES = (5, 9, 20, 50, 200)
SHARES = (0.02, 0.07, 0.4)
# In standard deviations: AUROC 0.90, 0.967 and 0.995.
DISTANCES = (1.8, 2.6, 3.6)
# Reported over true logit.
SLOPES = (1.0, 2.0)
RULES = {
    "highest F1": EvaluationSettings(threshold_shrinkage=0),
    "as by default": EvaluationSettings(),
}


def results(options: Options, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Points of F1 lost against the best threshold, by the number of validation positives."""
    generator = np.random.default_rng(0)
    losses = {number: _mean_losses(number, options.rounds, generator) for number in POSITIVES}
    rows = [{"positives": number, **lost} for number, lost in losses.items()]
    lines = [_line("validation images that show the class", POSITIVES)]
    lines += [
        _line(name, [f"{100 * losses[n][name]:.1f}" for n in POSITIVES]) for name in losses[5]
    ]
    return rows, "\n".join(["points of F1 lost against the best threshold", *lines])


def _line(name: str, cells: Sequence[Any]) -> str:
    return f"{name:<38}" + "".join(f"{cell:>6}" for cell in cells)


def _mean_losses(number: int, rounds: int, generator: np.random.Generator) -> dict[str, float]:
    found: list[list[float]] = []
    for share, distance, slope in product(SHARES, DISTANCES, SLOPES):
        best = true_f1(np.linspace(0.0005, 0.9995, 2000), share, distance, slope).max()
        for _ in range(rounds):
            drawn = draw(number, share, distance, slope, generator)
            thresholds = [choose_thresholds(*drawn, ("class",), rule)["class"].value
                          for rule in RULES.values()]  # fmt: skip
            found.append([best - true_f1(t, share, distance, slope) for t in (0.5, *thresholds)])
    return dict(zip(("0.5", *RULES), np.mean(found, axis=0).tolist(), strict=True))


def draw(
    number: int, share: float, distance: float, slope: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of a validation part with so many positives. Shape: (images, 1)."""
    labels = np.arange(round(number / share)) < number
    scores = generator.normal(np.where(labels, distance, -distance) / 2)
    probabilities = expit(slope * (distance * scores + logit(share)))
    return labels[:, None].astype(int), probabilities[:, None]


def true_f1(
    threshold: np.ndarray | float, share: float, distance: float, slope: float
) -> np.ndarray:
    """The F1 of a threshold among all images."""
    score = (logit(np.clip(threshold, 1e-9, 1 - 1e-9)) / slope - logit(share)) / distance
    recall, false_alarms = norm.sf(score - distance / 2), norm.sf(score + distance / 2)
    return 2 * share * recall / (share * recall + (1 - share) * false_alarms + share)

"""Thresholds per class, chosen on the validation part by a named criterion."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from core.errors import InputError
from core.metrics.evaluation_settings import EvaluationSettings
from core.metrics.scored_predictions import DEFAULT_THRESHOLD, check_predictions

log = logging.getLogger(__name__)

# With fewer validation images of a class, 0.5 is as good a threshold as any that they choose.
FEWEST_POSITIVES = 5


@dataclass(frozen=True)
class OperatingPoints:
    """What each useful threshold of one class does; the last one predicts nothing.

    All thresholds between two neighbouring probabilities decide alike: the one half way stands for
    them.
    Shape: all (points,); thresholds decrease, except for the last, which no probability reaches.
    """

    thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    positives: int

    @property
    def precision(self) -> np.ndarray:
        """The share of alarms that are right, 0 without any. Shape: (points,)."""
        return self.true_positives / np.maximum(self.true_positives + self.false_positives, 1)


@dataclass(frozen=True)
class ChosenThreshold:
    """The threshold of a class, and what it rests on.

    `positives` are the validation images that show the class. `best` is what the criterion chooses
    before shrinking, None without positives. `kept` says why the threshold stayed where it was,
    `unmet` what the criterion asks for that no threshold reaches.
    """

    value: float
    positives: int
    best: float | None = None
    kept: str | None = None
    unmet: str | None = None


def check_costs(settings: EvaluationSettings, class_names: Sequence[str]) -> None:
    """Raise InputError for costs that are not those of these classes, whatever the criterion."""
    for key in ("cost_miss", "cost_false_alarm"):
        cost = getattr(settings, key)
        if isinstance(cost, dict) and set(cost) != set(class_names):
            raise InputError(
                f"evaluation.{key}={cost}: expected one cost for each of {', '.join(class_names)}"
            )


def choose_thresholds(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    settings: EvaluationSettings,
) -> dict[str, ChosenThreshold]:
    """The best threshold of each class by `settings.threshold_criterion`.

    - `f1`: the middle of the thresholds whose F1 is within a standard error of the highest,
      then shrunk towards 0.5, with weight n / (n + threshold_shrinkage) for n positives, both on
      the logit scale: with few positives, the best point is mostly chance. With fewer than
      `FEWEST_POSITIVES` it stays 0.5. Without shrinkage, simply the highest F1.
    - `recall_at_precision`: the highest recall with at least `min_precision`; where no threshold
      is that precise, the most precise one, with a warning: it is `unmet`.
    - `precision_at_recall`: the highest precision with at least `min_recall`.
    - `cost`: the lowest cost_miss * misses + cost_false_alarm * false alarms.

    Among equally good thresholds the one nearest to 0.5 is chosen; for `cost`, the one nearest to
    the best threshold for calibrated probabilities. A class without positives keeps that value.
    Raises InputError for costs that do not fit the classes.
    """
    check_costs(settings, class_names)
    labels, probabilities = check_predictions(labels, probabilities, class_names)
    chosen = {}
    for c, name in enumerate(class_names):
        anchor, costs = DEFAULT_THRESHOLD, [0.0, 0.0]
        if settings.threshold_criterion == "cost":
            given = (settings.cost_miss, settings.cost_false_alarm)
            costs = [cost[name] if isinstance(cost, dict) else cost for cost in given]
            anchor = costs[1] / sum(costs)
        if not labels[:, c].any():
            log.warning("%s has no validation image: its threshold stays %.3g", name, anchor)
            chosen[name] = ChosenThreshold(anchor, 0, kept="no validation image shows it")
            continue
        points = operating_points(labels[:, c], probabilities[:, c])
        score = _score(points, settings, costs)
        chosen[name] = _choose(points, score, anchor, settings)
        if chosen[name].unmet:
            log.warning("%s: %s", name, chosen[name].unmet)
    return chosen


def _choose(
    points: OperatingPoints, score: np.ndarray, anchor: float, settings: EvaluationSettings
) -> ChosenThreshold:
    best = points.thresholds[score >= score.max() - 1e-12]
    nearest, positives = float(best[np.argmin(np.abs(best - anchor))]), points.positives
    if settings.threshold_criterion != "f1" or not settings.threshold_shrinkage:
        return ChosenThreshold(nearest, positives, nearest, unmet=_unmet(points, settings))
    if positives < FEWEST_POSITIVES:
        kept = f"fewer than {FEWEST_POSITIVES} validation images show it"
        return ChosenThreshold(anchor, positives, nearest, kept)
    steadied = _steadied(points, score, settings.threshold_shrinkage)
    return ChosenThreshold(steadied, positives, nearest)


def operating_points(labels: np.ndarray, probabilities: np.ndarray) -> OperatingPoints:
    """Every decision that a threshold can make on these images. Shape: both (images,)."""
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(labels[order])
    last = np.flatnonzero(np.r_[np.diff(ranked) != 0, True])
    levels = ranked[last]
    below = np.r_[levels[1:], 0.0]
    middle = (levels + below) / 2
    # Half way may be rounded down to the lower neighbour, which must stay below the threshold.
    thresholds = np.where(middle > below, middle, levels)
    # The last one is half way to 1, or just above 1.
    above = (levels[0] + 1) / 2
    above = above if above > levels[0] else np.nextafter(levels[0], 2.0)
    return OperatingPoints(
        thresholds=np.r_[thresholds, above],
        true_positives=np.r_[hits[last], 0],
        false_positives=np.r_[last + 1 - hits[last], 0],
        positives=int(hits[-1]),
    )


def _unmet(points: OperatingPoints, settings: EvaluationSettings) -> str | None:
    """What the criterion asks for, where no threshold reaches it."""
    asked, best = settings.min_precision, points.precision.max()
    if settings.threshold_criterion != "recall_at_precision" or best >= asked:
        return None
    return f"no threshold reaches precision {asked:.3g} on the validation part (best {best:.3g})"


def _score(
    points: OperatingPoints, settings: EvaluationSettings, costs: Sequence[float]
) -> np.ndarray:
    """How good each operating point is; higher is better."""
    hits, predicted = points.true_positives, points.true_positives + points.false_positives
    precision, recall = points.precision, hits / points.positives
    match settings.threshold_criterion:
        case "f1":
            return 2 * hits / (predicted + points.positives)
        case "recall_at_precision":
            allowed = precision >= settings.min_precision
            return np.where(allowed, recall, -1.0) if allowed.any() else precision
        case "precision_at_recall":
            return np.where(recall >= settings.min_recall, precision, -1.0)
        case _:
            return -(costs[0] * (points.positives - hits) + costs[1] * points.false_positives)


def _steadied(points: OperatingPoints, f1: np.ndarray, prior_positives: float) -> float:
    """The middle of the flat top of F1, drawn towards 0.5."""
    highest, positives = f1.max(), points.positives
    standard_error = np.sqrt(highest * (1 - highest) / positives)
    top = points.thresholds[f1 >= highest - standard_error - 1e-12]
    ends = logit(np.clip([top.min(), top.max()], 1e-6, 1 - 1e-6))
    return float(expit(positives / (positives + prior_positives) * ends.mean()))

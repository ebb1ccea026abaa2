"""How sure a figure is: bootstrap intervals, and paired differences of two predictions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.metrics.bounds import (
    TOLERANCE,
    Interval,
    auroc_score_bounds,
    bootstrap_bounds,
    exact_bounds,
)
from core.metrics.resampling import (
    FigureKey,
    Figures,
    WeightedFigures,
    bootstrap_weights,
    jackknife_weights,
)
from core.metrics.scored_predictions import (
    DEFAULT_THRESHOLD,
    METRICS,
    Thresholds,
    check_predictions,
    threshold_array,
)

# With fewer positives an AUROC near 1 hangs on its one or two worst strips, and resampling knows
# of no worse ones: 82 % of such intervals covered the truth in trials with 34 positives.
FEW_POSITIVES = 50


@dataclass(frozen=True)
class Bootstrap:
    """How a bootstrap is run."""

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0


def bootstrap_intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    thresholds: Thresholds = DEFAULT_THRESHOLD,
    bootstrap: Bootstrap | None = None,
) -> dict[str, Any]:
    """[low, high] of each figure of `classification_metrics`, nested alike, None where undefined.

    Images are resampled within each label set, as the split was stratified; thresholds and model
    are taken as given. Bounds are those of `bootstrap_bounds`. A figure of exactly 0 or 1, which
    resampling cannot change, has the exact binomial bound; an AUROC from few positives reaches at
    least as far as the score interval.

    Source: Efron 1987 (BCa); Davison and Hinkley 1997, section 3.2 (resampling within strata).
    Raises:
        InputError: what `classification_metrics` refuses.
    """
    chosen = bootstrap or Bootstrap()
    figures = _figures(labels, (probabilities, thresholds), class_names)
    values, replicates, left_out = _resample([figures], np.asarray(labels), chosen)
    found: dict[FigureKey, Interval | None] = {}
    # Classes come before their macro mean, which falls back on them.
    for key in sorted(values, key=lambda key: key[0] == "macro"):
        interval = bootstrap_bounds(values[key], replicates[key], left_out[key], chosen.confidence)
        if key[0] == "macro":
            classes = [found.get(("per_class", name, key[1])) for name in class_names]
            mean = np.mean([bounds for bounds in classes if bounds], axis=0).tolist()
            found[key] = interval or mean
        else:
            found[key] = _mended(key, values[key], interval, figures, chosen.confidence)
    described = {"confidence": chosen.confidence, "resamples": chosen.resamples}
    return _nested(found, class_names) | described | {"seed": chosen.seed}


def paired_differences(
    labels: np.ndarray,
    first: tuple[np.ndarray, Thresholds],
    second: tuple[np.ndarray, Thresholds],
    class_names: Sequence[str],
    bootstrap: Bootstrap | None = None,
) -> dict[str, Any]:
    """First minus second: {"difference", "interval"} for each figure, nested as the figures are.

    Both predictions, each (probabilities, thresholds), are of the same images in the same order
    and are weighed by the same resamples, so that what is hard for both cancels.

    Raises:
        InputError: what `classification_metrics` refuses.
    """
    chosen = bootstrap or Bootstrap()
    pair = [_figures(labels, prediction, class_names) for prediction in (first, second)]
    values, replicates, left_out = _resample(pair, np.asarray(labels), chosen)
    found = {}
    for key, value in values.items():
        interval = bootstrap_bounds(value, replicates[key], left_out[key], chosen.confidence)
        found[key] = {"difference": value, "interval": interval or [value, value]}
    return _nested(found, class_names)


def _figures(
    labels: np.ndarray, prediction: tuple[np.ndarray, Thresholds], class_names: Sequence[str]
) -> WeightedFigures:
    probabilities, thresholds = prediction
    labels, probabilities = check_predictions(labels, probabilities, class_names)
    predicted = probabilities >= threshold_array(thresholds, class_names)
    return WeightedFigures(labels, probabilities, predicted, list(class_names))


def _resample(
    figures: list[WeightedFigures], labels: np.ndarray, bootstrap: Bootstrap
) -> tuple[dict[FigureKey, float], Figures, Figures]:
    """Value, replicates and leave-one-out values of one prediction, or of a difference of two."""
    generator = np.random.default_rng(bootstrap.seed)

    def weighed(chunks: Iterable[np.ndarray]) -> Figures:
        parts = [[figure(weights) for figure in figures] for weights in chunks]
        whole = [
            {key: np.concatenate([part[k][key] for part in parts]) for key in parts[0][k]}
            for k in range(len(figures))
        ]
        if len(whole) == 1:
            return whole[0]
        return {key: whole[0][key] - whole[1][key] for key in whole[0]}

    values = weighed([np.ones((len(labels), 1))])
    replicates = weighed(bootstrap_weights(labels, bootstrap.resamples, generator))
    left_out = weighed(jackknife_weights(labels))
    return {key: float(value[0]) for key, value in values.items()}, replicates, left_out


def _mended(
    key: FigureKey,
    value: float,
    interval: Interval | None,
    figures: WeightedFigures,
    confidence: float,
) -> Interval:
    """The interval, or what stands in for it where resampling says too little."""
    trials = figures.trials(key)
    if interval is None or min(value, 1 - value) <= TOLERANCE:
        return exact_bounds(value, trials, confidence)
    if key[-1] == "auroc" and trials < FEW_POSITIVES:
        positives, negatives = figures.tasks[key[:-1]].decisions[2:].sum(axis=1)
        low, high = auroc_score_bounds(value, positives, negatives, confidence)
        return [min(low, interval[0]), max(high, interval[1])]
    return interval


def _nested(found: dict[FigureKey, Any], class_names: Sequence[str]) -> dict[str, Any]:
    """Figures in the shape of `classification_metrics`, None where one is undefined."""
    rows = {row: {m: found.get((row, m)) for m in METRICS} for row in ("macro", "micro")}
    classes = {
        name: {m: found.get(("per_class", name, m)) for m in METRICS} for name in class_names
    }
    return rows | {
        "per_class": classes,
        "any_defect": {m: found.get(("any_defect", m)) for m in METRICS},
        "subset_accuracy": found["subset_accuracy",],
    }

"""How sure a figure is: bootstrap intervals, and paired differences of two predictions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from core.metrics.bounds import (
    TOLERANCE,
    Interval,
    auroc_score_bounds,
    average_precision_bounds,
    bootstrap_bounds,
    difference_bounds,
    exact_bounds,
)
from core.metrics.resampling import (
    CHUNK,
    FigureKey,
    Figures,
    Units,
    WeightedFigures,
    bootstrap_weights,
    jackknife_weights,
)
from core.metrics.scored_predictions import (
    DEFAULT_THRESHOLD,
    METRICS,
    Decided,
    Thresholds,
    decided,
)

# With fewer positives an AUROC near 1 depends on its one or two worst strips, and no resample
# holds a worse one: 82 % of such intervals covered the truth in trials with 34 positives.
FEW_POSITIVES = 50
# In trials with 1, 2 and 4 positives, 51, 78 and 89 % of bootstrap intervals of an average
# precision covered the truth; with 5 and 7, 87 and 91 %; with 10, 93 %.
FEW_FOR_AVERAGE_PRECISION = 10


@dataclass(frozen=True)
class Bootstrap:
    """How a bootstrap is run.

    With `groups` (images,), the group number of each image, groups are resampled and not images:
    photographs of one piece are no independent observations of it.
    """

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0
    groups: np.ndarray | None = None

    def units(self, labels: np.ndarray) -> Units:
        """What is resampled of images with these labels (images, C)."""
        return Units.of(np.asarray(labels), self.groups)

    def record(self, labels: np.ndarray) -> dict[str, Any]:
        """How it was run, and on how many units of which kind."""
        number = len(self.units(labels).labels)
        return {
            "confidence": self.confidence,
            "resamples": self.resamples,
            "seed": self.seed,
            "unit": "images" if number == len(labels) else "groups",
            "num_units": number,
        }


def bootstrap_intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    thresholds: Thresholds = DEFAULT_THRESHOLD,
    bootstrap: Bootstrap | None = None,
) -> dict[str, Any]:
    """[low, high] of each figure of `classification_metrics`, nested alike, None where undefined.

    Images, or their groups, are resampled within each label set, because the split is stratified by
    them; thresholds and model are taken as given. Bounds are those of `bootstrap_bounds`. A figure
    of exactly 0 or 1, which resampling cannot change, has the exact binomial bound. The interval of
    an AUROC from few positives is at least as wide as the score interval, that of an average
    precision as the logit interval. What this adds to a class is added to the macro mean.

    Source: Efron 1987 (BCa); Davison and Hinkley 1997, section 3.2 (resampling within strata).
    """
    chosen = bootstrap or Bootstrap()
    figures = WeightedFigures(decided(labels, probabilities, class_names, thresholds), class_names)
    units = chosen.units(labels)
    values, *resampled = _resample([figures], units, chosen)
    plain = _plain(values, *resampled, chosen.confidence)
    mended = {
        key: _mended(key, value, plain[key], (figures, units), chosen.confidence)
        for key, value in values.items()
        if key[0] != "macro"
    }
    macro = _macro_intervals(values, plain, mended, lowest=0)
    return _nested(mended | macro, class_names) | chosen.record(labels)


def paired_differences(
    labels: np.ndarray,
    first: tuple[np.ndarray, Thresholds],
    second: tuple[np.ndarray, Thresholds],
    class_names: Sequence[str],
    bootstrap: Bootstrap | None = None,
) -> dict[str, Any]:
    """First minus second: {"difference", "interval"} for each figure, nested as the figures are.

    Both predictions, each (probabilities, thresholds), are of the same images in the same order.
    Both are weighted by the same resamples, so that what is hard for both cancels out. Where few
    units decide, resamples vary too little: an interval excludes 0 only where the two also differ
    more than the same models do after swapping their predictions at random.

    Source: Noreen 1989 (approximate randomization).
    """
    chosen = bootstrap or Bootstrap()
    both = [
        decided(labels, probabilities, class_names, at) for probabilities, at in (first, second)
    ]
    pair, units = [WeightedFigures(one, class_names) for one in both], chosen.units(labels)
    values, *resampled = _resample(pair, units, chosen)
    swapped = _swapped(both, class_names, units, chosen)
    plain = _plain(values, *resampled, chosen.confidence)

    def mended(key: FigureKey, interval: Interval | None) -> Interval:
        return difference_bounds(values[key], interval, swapped[key], chosen.confidence)

    found = {key: mended(key, plain[key]) for key in values if key[0] != "macro"}
    macro = _macro_intervals(values, plain, found, lowest=-1)
    found |= {key: mended(key, interval) for key, interval in macro.items()}
    entries = {k: {"difference": value, "interval": found[k]} for k, value in values.items()}
    return _nested(entries, class_names)


def _resample(
    figures: list[WeightedFigures], units: Units, bootstrap: Bootstrap
) -> tuple[dict[FigureKey, float], Figures, Figures]:
    """Value, replicates and leave-one-out values of one prediction, or of a difference of two."""
    generator = np.random.default_rng(bootstrap.seed)

    def weighted(chunks: Iterable[np.ndarray]) -> Figures:
        found = [[figure(weights) for figure in figures] for weights in chunks]
        first, *others = (
            {key: np.concatenate([chunk[k][key] for chunk in found]) for key in found[0][k]}
            for k in range(len(figures))
        )
        return {key: first[key] - others[0][key] for key in first} if others else first

    values = weighted([np.ones((len(units.of_image), 1))])
    replicates = weighted(bootstrap_weights(units, bootstrap.resamples, generator))
    left_out = weighted(jackknife_weights(units))
    return {key: float(value[0]) for key, value in values.items()}, replicates, left_out


def _swapped(
    both: Sequence[Decided], class_names: Sequence[str], units: Units, bootstrap: Bootstrap
) -> Figures:
    """Differences of two predictions after each unit swapped them or not, at random.

    One model's scores may be on another scale: they are mixed as ranks.
    """
    generator = np.random.default_rng(bootstrap.seed)
    ranked = [
        (labels, rankdata(scores).reshape(scores.shape), predicted)
        for labels, scores, predicted in both
    ]
    labels, scores, predicted = (np.concatenate(parts) for parts in zip(*ranked, strict=True))
    mixed, chunks = WeightedFigures((labels, scores, predicted), class_names), []
    for start in range(0, bootstrap.resamples, CHUNK):
        columns = min(CHUNK, bootstrap.resamples - start)
        kept = generator.integers(0, 2, (len(units.labels), columns))[units.of_image]
        weights = np.concatenate([kept, 1 - kept]).astype(float)
        one, other = mixed(weights), mixed(1 - weights)
        chunks.append({key: one[key] - other[key] for key in one})
    return {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]}


def _plain(
    values: dict[FigureKey, float], replicates: Figures, left_out: Figures, confidence: float
) -> dict[FigureKey, Interval | None]:
    return {
        key: bootstrap_bounds(value, replicates[key], left_out[key], confidence)
        for key, value in values.items()
    }


def _macro_intervals(
    values: dict[FigureKey, float],
    plain: dict[FigureKey, Interval | None],
    mended: dict[FigureKey, Interval],
    lowest: float,
) -> dict[FigureKey, Interval | None]:
    """Intervals of macro means; None where neither resampling nor a class says how sure one is.

    What mending added to the interval of a class is missing from that of the mean: the squares of
    the distances to the bounds are added, as for a sum of independent estimates.

    Source: Zou and Donner 2008.
    """
    found: dict[FigureKey, Interval | None] = {}
    for key in (key for key in values if key[0] == "macro"):
        of_classes = [k for k in mended if k[0] == "per_class" and k[-1] == key[-1]]
        missing = np.zeros(2)
        for k in of_classes:
            before, after = np.array([plain[k] or [values[k]] * 2, mended[k]]) - values[k]
            missing += np.maximum(after**2 - before**2, 0) / len(of_classes) ** 2
        interval, value = plain[key], values[key]
        if missing.any():
            low, high = interval or [value, value]
            below, above = np.hypot([value - low, high - value], np.sqrt(missing))
            interval = [float(max(value - below, lowest)), float(min(value + above, 1))]
        found[key] = interval
    return found


def _mended(
    key: FigureKey,
    value: float,
    interval: Interval | None,
    observed: tuple[WeightedFigures, Units],
    confidence: float,
) -> Interval:
    """The interval, or a substitute where resampling says too little."""
    figures, units = observed
    trials = figures.trials(key, units)
    if interval is None or min(value, 1 - value) <= TOLERANCE:
        return exact_bounds(value, trials, confidence)
    low, high = interval
    if key[-1] == "auroc" and trials < FEW_POSITIVES:
        positives, negatives = figures.positives_and_negatives(key, units)
        low, high = auroc_score_bounds(value, positives, negatives, confidence)
    elif key[-1] == "average_precision" and trials < FEW_FOR_AVERAGE_PRECISION:
        low, high = average_precision_bounds(value, trials, confidence)
    return [min(low, interval[0]), max(high, interval[1])]


def _nested(found: dict[FigureKey, Any], class_names: Sequence[str]) -> dict[str, Any]:
    """Figures nested as by `classification_metrics`, None where one is undefined."""

    def row(*where: str) -> dict[str, Any]:
        return {metric: found.get((*where, metric)) for metric in METRICS}

    nested: dict[str, Any] = {name: row(name) for name in ("macro", "micro")}
    nested["per_class"] = {name: row("per_class", name) for name in class_names}
    nested["any_defect"] = row("any_defect")
    return nested | {"subset_accuracy": found["subset_accuracy",]}

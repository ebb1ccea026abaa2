"""Bounds of one figure: from its resamples, exact ones, and those of a score interval."""

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri, stdtrit

Interval = list[float]

# Smaller differences are rounding of sums taken in another order.
TOLERANCE = 1e-12


def bootstrap_bounds(
    value: float, replicates: np.ndarray, left_out: np.ndarray, confidence: float
) -> Interval | None:
    """Bias-corrected and accelerated percentiles; None where resampling never changes the figure.

    Student's quantiles replace the normal ones, because the spread is itself estimated, with
    2n / (kurtosis - 1) degrees of freedom; n is the number of units that influence the figure,
    and the kurtosis is that of their influences. Where few units decide everything, there are
    few degrees of freedom.

    Shape: replicates (resamples,); left_out (units,), the figure without each unit.
    Source: Efron 1987.
    """
    # A resample without a positive of a rare class has no average precision.
    replicates, left_out = (values[np.isfinite(values)] for values in (replicates, left_out))
    if not len(replicates) or np.ptp(replicates) <= TOLERANCE:
        return None
    influence = value - left_out
    influence = influence[np.abs(influence) > TOLERANCE]
    squares = np.sum(influence**2)
    acceleration = np.sum(influence**3) / (6 * squares**1.5) if squares else 0.0
    spread_variance = np.sum(influence**4) / squares**2 - 1 / len(influence) if squares else 0.0
    reach = stdtrit(2 / max(spread_variance, 1e-9), (1 + confidence) / 2)
    below = (np.mean(replicates < value - TOLERANCE) + np.mean(replicates <= value + TOLERANCE)) / 2
    half = 0.5 / len(replicates)
    bias = ndtri(np.clip(below, half, 1 - half))
    moved = bias + np.array([-reach, reach])
    # Beyond 1 / acceleration the correction has no meaning: the outermost resample is the bound.
    slope = np.maximum(1 - acceleration * moved, TOLERANCE)
    low, high = np.quantile(replicates, ndtr(bias + moved / slope))
    return [float(low), float(high)]


def exact_bounds(value: float, trials: float, confidence: float) -> Interval:
    """Clopper-Pearson bounds for no success or no failure in so many trials, else [0, 1].

    No failure in n trials is compatible with a rate of failure p up to (1 - p)^n = tail.
    Source: Clopper and Pearson 1934.
    """
    rest = ((1 - confidence) / 2) ** (1 / trials) if trials >= 1 else 0.0
    if value >= 1 - TOLERANCE:
        return [float(rest), 1.0]
    return [0.0, float(1 - rest)] if value <= TOLERANCE else [0.0, 1.0]


def difference_bounds(
    value: float, interval: Interval | None, swapped: np.ndarray, confidence: float
) -> Interval:
    """The interval of a difference, widened unless swapping at random also tells it from 0.

    Where even the largest difference by swapping is not rare, too few units decide to tell which
    of the two is better: either sign is as likely.

    Shape: swapped (resamples,), the difference after each unit swapped the predictions or not.
    """
    low, high = interval or (value, value)
    if low <= 0 <= high:
        return [low, high]
    sizes = np.abs(swapped)
    reach = np.quantile(sizes, confidence, method="higher")
    if interval is not None and abs(value) > reach + TOLERANCE:
        return interval
    few = reach >= sizes.max() - TOLERANCE
    ends = [-reach, reach] if few else np.round([value - reach, value + reach], 12)
    return [float(max(min(low, ends[0]), -1)), float(min(max(high, ends[1]), 1))]


def auroc_score_bounds(
    value: float, positives: float, negatives: float, confidence: float
) -> Interval:
    """Score interval: the AUROCs from which the observed one is within the normal quantile.

    variance = A (1 - A) (1 + (m - 1) (1 - A) / (2 - A) + (m - 1) A / (1 + A)) / (n+ n-), with m
    the mean of n+ and n-, taken at the candidate A and not at the observed value.
    Source: Newcombe 2006, method 5; variance after Hanley and McNeil 1982.
    """
    candidate = np.linspace(0, 1, 10_001)
    weight = (positives + negatives) / 2 - 1
    spread = (1 - candidate) / (2 - candidate) + candidate / (1 + candidate)
    variance = candidate * (1 - candidate) * (1 + weight * spread) / (positives * negatives)
    reach = ndtri((1 + confidence) / 2) * np.sqrt(variance)
    inside = candidate[np.abs(candidate - value) <= reach + 1e-4]
    return [float(inside.min()), float(inside.max())]


def average_precision_bounds(value: float, positives: float, confidence: float) -> Interval:
    """Logit interval, of a standard error 1 / sqrt(n A (1 - A)); one positive says nothing.

    Source: Boyd, Eng and Page 2013, section 3.2.
    """
    if positives <= 1 or min(value, 1 - value) <= TOLERANCE:
        return [0.0, 1.0]
    reach = ndtri((1 + confidence) / 2) / np.sqrt(positives * value * (1 - value))
    return expit(logit(value) + np.array([-reach, reach])).tolist()

"""How well scores tell strips with defects from clean ones, with intervals over groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.metrics.intervals import Bootstrap, bootstrap_intervals
from core.metrics.resampling import WeightedFigures
from core.metrics.scored_predictions import decided
from core.novelty.threshold import Threshold, checked_scores, false_alarms

_NOVEL = "novel"


@dataclass(frozen=True)
class KnownStrips:
    """Strips that a detector is tested on.

    Shape: labels (strips, classes) multi-hot, groups (strips,) of group numbers
    """

    labels: np.ndarray
    class_names: Sequence[str]
    groups: np.ndarray


def evaluate(scores: np.ndarray, threshold: Threshold, tested: KnownStrips) -> dict[str, Any]:
    """False alarms of the clean strips; AUROC and recall of those with defects, and of each class.

    Each compares with the same clean strips. A class without strips is left out; without clean
    strips, or without defects, there are only the figures that can be computed.
    Shape: scores (strips,)
    """
    scores = checked_scores(scores)
    is_clean = ~tested.labels.astype(bool).any(axis=1)
    found: dict[str, Any] = {"num_strips": len(scores)}
    if is_clean.any():
        clean, groups = scores[is_clean], tested.groups[is_clean]
        found["false_alarms"] = false_alarms(clean, threshold.threshold, groups)
    members = {"any_defect": ~is_clean}
    members |= {n: tested.labels[:, c] > 0 for c, n in enumerate(tested.class_names)}
    figures = {
        name: against_clean(scores, (own, is_clean), tested.groups, threshold.threshold)
        for name, own in members.items()
        if own.any() and is_clean.any()
    }
    if "any_defect" in figures:
        found["any_defect"] = figures.pop("any_defect")
        found["per_class"] = figures
    return found


def against_clean(
    scores: np.ndarray,
    members: tuple[np.ndarray, np.ndarray],
    groups: np.ndarray,
    threshold: float,
) -> dict[str, Any]:
    """AUROC and recall at the threshold, of the strips that are in the first mask.

    Groups of strips are resampled within those with defects and within the clean ones. Shape:
    scores and groups (strips,), masks of the strips with a defect and of the clean ones (strips,)
    """
    defective, clean = members
    kept = defective | clean
    labels = defective[kept][:, None].astype(int)
    probabilities = _as_probabilities(scores[kept], threshold)[:, None]
    own = decided(labels, probabilities, [_NOVEL], 0.5)
    figures = WeightedFigures(own, [_NOVEL])(np.ones((int(kept.sum()), 1)))
    bootstrap = Bootstrap(groups=groups[kept])
    bounds = bootstrap_intervals(labels, probabilities, [_NOVEL], bootstrap=bootstrap)
    of_class = bounds["per_class"][_NOVEL]
    return {
        "num_strips": int(defective.sum()),
        **{name: float(figures["per_class", _NOVEL, name][0]) for name in ("auroc", "recall")},
        **{f"{name}_interval": of_class[name] for name in ("auroc", "recall")},
    }


def _as_probabilities(scores: np.ndarray, threshold: float) -> np.ndarray:
    """The scores in 0..1 in their order, those above the threshold above 0.5."""
    _, places = np.unique(scores, return_inverse=True)
    ranks = (places + 1) / (places.max() + 2)
    return np.where(scores > threshold, 0.5 + ranks / 2, ranks / 2)


def figures_text(figures: Mapping[str, Any], title: str) -> list[str]:
    """The figures of one detector for the terminal."""
    lines = [f"{title}:"]
    if alarms := figures.get("false_alarms"):
        low, high = alarms["interval_per_1000"]
        lines.append(
            f"  false alarms  {alarms['num_alarms']} of {alarms['num_strips']} clean strips, "
            f"{alarms['per_1000']:.3g} per 1,000 [{low:.3g}, {high:.3g}]"
        )
    named = {"any defect": figures.get("any_defect"), **figures.get("per_class", {})}
    named = {name: one for name, one in named.items() if one}
    width = max(map(len, named), default=0)
    for name, one in named.items():
        lines.append(
            f"  {name:<{width}}  AUROC {_with_bounds(one, 'auroc')}, recall "
            f"{_with_bounds(one, 'recall')}, {one['num_strips']} strips"
        )
    return lines


def _with_bounds(one: Mapping[str, Any], name: str) -> str:
    bounds = one[f"{name}_interval"]
    return f"{one[name]:.3f}" + ("" if bounds is None else f" [{bounds[0]:.3f}, {bounds[1]:.3f}]")

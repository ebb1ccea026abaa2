"""What a model decides at its chosen thresholds, as predict.py does, and at 0.5 beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from core.experiments.predictions import Predictions
from core.experiments.reading import Experiment
from core.metrics.scored_predictions import DEFAULT_THRESHOLD, Decided, decided


@dataclass(frozen=True)
class Decisions:
    """The predictions of a part, and which classes are found at the `thresholds`.

    Shape: labels, predicted (bool) and probabilities (images, classes).
    """

    image_ids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    thresholds: Mapping[str, float]

    @property
    def class_names(self) -> list[str]:
        return list(self.thresholds)

    @property
    def found(self) -> Decided:
        return self.labels, self.probabilities, self.predicted


class Counts(NamedTuple):
    """How often a class was found, missed, and seen where it is not.

    `on_clean` are the false alarms on strips without any defect.
    """

    true_positives: int
    false_negatives: int
    false_positives: int
    on_clean: int


def decisions_of(experiment: Experiment, part: Predictions, at: float | None = None) -> Decisions:
    """The decisions for a part at the chosen thresholds, or at one for all classes."""
    names = experiment.class_names
    thresholds = chosen_thresholds(experiment) if at is None else dict.fromkeys(names, at)
    found = decided(part.labels, part.probabilities, names, thresholds)
    return Decisions(part.image_ids, *found, thresholds)


def chosen_thresholds(experiment: Experiment) -> dict[str, float]:
    """The threshold of each class; 0.5 where none was chosen."""
    chosen: Any = {name: experiment.look_up("thresholds", name) for name in experiment.class_names}
    return {n: DEFAULT_THRESHOLD if value is None else value for n, value in chosen.items()}


def count_decisions(decisions: Decisions) -> dict[str, Counts]:
    """The counts of each class, by its name."""
    labels, _, predicted = decisions.found
    clean = ~labels.any(axis=1)
    columns = zip(decisions.class_names, labels.T, predicted.T, strict=True)
    return {name: _count(truth, found, clean) for name, truth, found in columns}


def count_any_defect(decisions: Decisions) -> Counts:
    """The counts of strips with any defect, whichever class it is."""
    labels, predicted = decisions.labels.any(axis=1), decisions.predicted.any(axis=1)
    return _count(labels, predicted, ~labels)


def _count(labels: np.ndarray, predicted: np.ndarray, clean: np.ndarray) -> Counts:
    alarms = predicted & ~labels
    parts = (predicted & labels, labels & ~predicted, alarms, alarms & clean)
    return Counts(*(int(part.sum()) for part in parts))

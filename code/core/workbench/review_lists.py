"""The strips of an experiment in the order in which reviewers are shown them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from core.analysis.label_errors import scaled_alike
from core.errors import InputError
from core.experiments.predictions import PREDICTIONS_FILE, read_rows
from core.experiments.reading import Experiment, read_experiment
from core.metrics.scored_predictions import check_predictions
from core.review.leases import Assignment, order_of_review
from core.validation import nearest
from core.workbench.strip_sources import strip_key

Order = Literal["suspects", "unsure", "sample", "open"]
# What the model was not trained on; a cross-validation has tested every image.
_HELD_OUT = ("validation", "test")


@dataclass(frozen=True)
class Strip:
    """A strip with its given labels, and the class that is asked about: its column.

    `suggested` is the label of this class that the prediction speaks for, once it is scaled.
    """

    image_id: str
    labels: tuple[int, ...]
    probabilities: tuple[float, ...]
    column: int
    suggested: int


@dataclass(frozen=True)
class ReviewList:
    """The held-out strips of an experiment by key, and their order.

    `fingerprint` is that of the data set with its given labels.
    """

    class_names: tuple[str, ...]
    fingerprint: str
    strips: Mapping[str, Strip]
    order: Sequence[Assignment]


def read_review_list(path: Path, order: Order, only: str = "") -> ReviewList:
    """The list of the experiment in `path`.

    `suspects`: first the labels that the prediction contradicts most, as `label_errors.csv` ranks
    them. `unsure`: first the probabilities nearest to 0.5, once they are scaled. `sample`: first
    the random sample in its own order, then the suspects. `open`: as `suspects`; which strips are
    open depends on the decisions. With `only`, the labels of this class alone count.

    Raises:
        InputError: no completed training on given labels, damaged predictions, an unknown class.
    """
    experiment = read_experiment(path)
    names, fingerprint = experiment.class_names, _fingerprint(experiment)
    image_ids, labels, probabilities = _held_out(experiment)
    scaled = scaled_alike(labels, probabilities)
    wanted = np.abs(labels - scaled) if order != "unsure" else 0.5 - np.abs(scaled - 0.5)
    columns = _columns(wanted, names, only)
    every = np.arange(len(wanted))
    largest, suggested = wanted[every, columns], scaled[every, columns] >= 0.5
    ranked = [image_ids[row] for row in np.argsort(-largest, kind="stable")]
    rows = zip(
        image_ids, labels.astype(int).tolist(), probabilities.tolist(), columns.tolist(),
        suggested.astype(int).tolist(), strict=True,
    )  # fmt: skip
    strips = {
        strip_key(name): Strip(name, tuple(given), tuple(own), *about)
        for name, given, own, *about in rows
    }
    assigned = order_of_review(ranked, fingerprint)
    if order == "sample":
        assigned.sort(key=lambda each: each.sample != "random")
    return ReviewList(tuple(names), fingerprint, strips, assigned)


def _columns(wanted: np.ndarray, names: Sequence[str], only: str) -> np.ndarray:
    if not only:
        return wanted.argmax(axis=1)
    if only not in names:
        raise InputError(
            f"only={only[:80]!r}: no class of this experiment{nearest(only, names)}; expected one "
            f"of {', '.join(names)}"
        )
    return np.full(len(wanted), names.index(only))


def _fingerprint(experiment: Experiment) -> str:
    """The fingerprint of the given labels; they are those of the predictions."""
    if experiment.look_up("data", "corrections"):
        raise InputError(
            f"{experiment.path}: was trained with data.corrections, so its labels are not the "
            "given ones: expected a training without; review the predictions of that one"
        )
    fingerprint = str(experiment.look_up("data", "fingerprint"))
    if not re.fullmatch(r"[0-9a-f]{64}", fingerprint):
        raise InputError(
            f"{experiment.path}: data.fingerprint={fingerprint[:80]!r}; expected 64 hexadecimal "
            "digits: train again"
        )
    return fingerprint


def _held_out(experiment: Experiment) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Image ids, and labels and probabilities. Shape: both (images, classes)."""
    names, file = experiment.class_names, experiment.path / PREDICTIONS_FILE
    rows = [row for part in _HELD_OUT for row in read_rows(file, names, part)]
    if not rows:
        raise InputError(f"{file}: no strip of validation or test: train again")
    rows.sort()
    image_ids = [name for name, _ in rows]
    if len(set(map(strip_key, image_ids))) < len(rows):
        raise InputError(f"{file}: a strip stands there twice; expected each once: train again")
    values = np.array([row for _, row in rows])
    checked = check_predictions(values[:, : len(names)], values[:, len(names) :], names)
    return image_ids, *checked

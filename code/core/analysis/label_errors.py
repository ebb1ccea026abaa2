"""Labels that are probably wrong, ranked by how much a held-out prediction contradicts them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from core.metrics.scaling import fit_scaling
from core.metrics.scored_predictions import check_predictions


@dataclass(frozen=True)
class Suspect:
    """The label of an image that its prediction contradicts most."""

    image_id: str
    class_name: str
    labelled: bool
    probability: float
    disagreement: float


def rank_label_errors(
    image_ids: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> list[Suspect]:
    """Every image by its largest disagreement |label - probability|, most suspect first.

    The images must not be among those that the model was trained on: out-of-fold predictions, or
    a held-out part. Probabilities are Platt-scaled per class first, because a loss that weights
    classes or easy images shifts them, so that 0.9 means different things for two classes.
    `probability` is the model's own.

    Shape: labels and probabilities (images, classes).
    Source: Northcutt 2021 (ranking by self-confidence).
    """
    labels, probabilities = check_predictions(labels, probabilities, class_names)
    disagreement = np.abs(labels - scaled_alike(labels, probabilities))
    worst = disagreement.argmax(axis=1)
    largest = disagreement[np.arange(len(labels)), worst]
    suspects = []
    for row in np.argsort(-largest, kind="stable"):
        label, probability = labels[row, worst[row]], probabilities[row, worst[row]]
        found = (bool(label), float(probability), float(largest[row]))
        suspects.append(Suspect(image_ids[row], class_names[worst[row]], *found))
    return suspects


def scaled_alike(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The probabilities, Platt-scaled on these labels, so that those of all classes compare.

    Shape: (images, classes) in and out.
    """
    return fit_scaling(labels, probabilities, "platt")(probabilities)


def share_of_flips_found(suspects: Sequence[Suspect], flipped: Collection[str]) -> dict[str, float]:
    """How many flipped labels are among as many images at the top of the ranking."""
    first = [suspect.image_id for suspect in suspects[: len(flipped)]]
    found = sum(image_id in flipped for image_id in first)
    return {
        "num_flipped": len(flipped),
        "num_found": found,
        "num_examined": len(first),
        "share_found": found / max(1, len(flipped)),
    }

"""Labels that are probably wrong, by how much a held-out prediction contradicts them."""

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

    Probabilities are of images the model was not trained on: out-of-fold, or a held-out part.
    They are Platt-scaled per class first, because a loss that weighs classes or easy images
    shifts them, and 0.9 for one class would not mean what it means for another. `probability` is
    the model's own.

    Shape: labels and probabilities (images, classes).
    Source: Northcutt 2021 (ranking by self-confidence).
    Raises:
        InputError: what `classification_metrics` refuses.
    """
    labels, probabilities = check_predictions(labels, probabilities, class_names)
    scaled = fit_scaling(labels, probabilities, "platt")(probabilities)
    disagreement = np.abs(labels - scaled)
    worst = disagreement.argmax(axis=1)
    largest = disagreement[np.arange(len(labels)), worst]
    return [
        Suspect(
            image_ids[row],
            class_names[worst[row]],
            bool(labels[row, worst[row]]),
            float(probabilities[row, worst[row]]),
            float(largest[row]),
        )
        for row in np.argsort(-largest, kind="stable")
    ]


def share_of_flips_found(suspects: Sequence[Suspect], flipped: Collection[str]) -> dict[str, float]:
    """How many of the images with a flipped label stand first in a ranking as long as they are."""
    first = [suspect.image_id for suspect in suspects[: len(flipped)]]
    found = sum(image_id in flipped for image_id in first)
    return {
        "num_flipped": len(flipped),
        "num_found": found,
        "num_examined": len(first),
        "share_found": found / max(1, len(flipped)),
    }

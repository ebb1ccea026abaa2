"""How close an exported model is to PyTorch: differences of probabilities, and of macro-F1."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from core.errors import InputError
from core.experiments.predictions import read_predictions
from core.experiments.strips import Strips
from core.metrics.classification import classification_metrics
from core.metrics.scored_predictions import DEFAULT_THRESHOLD
from core.predicting.predictor import Predict, predict_in_batches
from core.predicting.stream import predict_images, read_strip
from core.predicting.trained_model import TrainedModel

TOLERANCE = 1e-4
NUM_STRIPS = 32
BATCH_SIZE = 16
# So many are predicted one by one as well: a graph that is bound to one batch size fails.
NUM_SINGLE = 3
# Half a point of macro-F1.
MOST_LOST = 0.005


def measure_parity(
    reference: Predict, exported: Predict, strips: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Largest and mean absolute difference of the probabilities, over all and per class.

    Shape: strips uint8 (strips, channels, height, width).
    """
    expected = predict_in_batches(reference, strips, BATCH_SIZE)
    found = predict_in_batches(exported, strips, BATCH_SIZE)
    single = np.concatenate([exported(strips[i : i + 1]) for i in range(NUM_SINGLE)])
    difference = np.abs(found - expected)
    one_by_one = np.abs(single - expected[:NUM_SINGLE])
    largest = np.maximum(difference.max(axis=0), one_by_one.max(axis=0))
    return {
        "num_strips": len(strips),
        "batch_sizes": [BATCH_SIZE, 1],
        "max_difference": float(largest.max()),
        "mean_difference": float(difference.mean()),
        "max_difference_per_class": dict(zip(class_names, largest.tolist(), strict=True)),
        "tolerance": TOLERANCE,
    }


def check_parity(parity: dict[str, Any], what: str) -> None:
    """Raises InputError where an export differs from its model by more than the tolerance."""
    # Written so that NaN is refused too.
    if not parity["max_difference"] <= TOLERANCE:
        raise InputError(
            f"{what}: its probabilities differ by {parity['max_difference']:.2g} from PyTorch's "
            f"on {parity['num_strips']} strips, and at most {TOLERANCE:g} is allowed: nothing was "
            "written; try another format"
        )


@dataclass(frozen=True)
class F1Drop:
    """Macro-F1 on the validation part, at 0.5 and at the model's thresholds, beside float32's."""

    at_half: float
    at_half_float32: float
    at_thresholds: float
    at_thresholds_float32: float

    @property
    def lost(self) -> float:
        """The larger of both drops; negative where both figures have risen."""
        return max(
            self.at_half_float32 - self.at_half, self.at_thresholds_float32 - self.at_thresholds
        )

    @property
    def is_small(self) -> bool:
        """Whether at most half a point is lost."""
        return self.lost <= MOST_LOST

    def record(self) -> dict[str, Any]:
        """As it is written to JSON."""
        return {
            "part": "validation",
            "macro_f1": {"at_0.5": self.at_half, "at_thresholds": self.at_thresholds},
            "macro_f1_float32": {
                "at_0.5": self.at_half_float32,
                "at_thresholds": self.at_thresholds_float32,
            },
            "lost": self.lost,
            "most_lost": MOST_LOST,
        }

    def __str__(self) -> str:
        return (
            f"macro-F1 {self.at_half:.3f} on the validation part, float32 "
            f"{self.at_half_float32:.3f} (at the thresholds {self.at_thresholds:.3f}, "
            f"{self.at_thresholds_float32:.3f})"
        )


def measure_f1_drop(trained: TrainedModel, strips: Strips, predict: Predict, what: str) -> F1Drop:
    """Score `predict` on the validation part; the progress bar says `what` it is.

    Raises:
        InputError: a strip that is missing or cannot be read.
    """
    validation, signature = read_predictions(trained.experiment, "validation"), trained.signature
    paths = strips.files(validation.image_ids)
    rows = predict_images(
        predict, map(str, paths), partial(read_strip, signature=signature), BATCH_SIZE
    )
    found = []
    for row in tqdm(rows, total=len(paths), desc=what, unit="image", disable=None):
        if row.error:
            raise InputError(row.error)
        found.append(row.probabilities)
    float32 = validation.probabilities
    if trained.scaling is not None:
        float32 = trained.scaling(float32)
    names = signature.class_names
    chosen = dict(zip(names, signature.thresholds, strict=True))
    figures = [
        classification_metrics(validation.labels, probabilities, names, thresholds)
        for thresholds in (DEFAULT_THRESHOLD, chosen)
        for probabilities in (np.stack(found), float32)
    ]
    return F1Drop(*(row["macro"]["f1"] for row in figures))

"""How close an exported model is to PyTorch: differences of probabilities, and of macro-F1."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
# So many are predicted one by one as well, where a graph that is bound to one batch size fails.
NUM_SINGLE = 3
# Half a point of macro-F1.
MOST_LOST = 0.005
AT_HALF, AT_THRESHOLDS = "at_0.5", "at_thresholds"


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
    """Macro-F1 on the validation part beside that of float32, both by the kind of threshold."""

    macro_f1: dict[str, float]
    macro_f1_float32: dict[str, float]

    @property
    def lost(self) -> float:
        """The largest drop; negative where every figure has risen."""
        return max(self.macro_f1_float32[kind] - value for kind, value in self.macro_f1.items())

    @property
    def is_small(self) -> bool:
        """Whether at most half a point is lost."""
        return self.lost <= MOST_LOST

    def record(self) -> dict[str, Any]:
        """As it is written to JSON."""
        return {
            "part": "validation", **asdict(self), "lost": self.lost, "most_lost": MOST_LOST
        }  # fmt: skip

    def __str__(self) -> str:
        found, float32 = self.macro_f1, self.macro_f1_float32
        return (
            f"macro-F1 {found[AT_HALF]:.3f} on the validation part, float32 "
            f"{float32[AT_HALF]:.3f} (at the thresholds {found[AT_THRESHOLDS]:.3f}, "
            f"{float32[AT_THRESHOLDS]:.3f})"
        )


def measure_f1_drop(trained: TrainedModel, strips: Strips, predict: Predict, what: str) -> F1Drop:
    """Score `predict` on the validation part; the progress bar says `what` it is.

    Raises InputError for a strip that is missing or cannot be read.
    """
    validation, signature = read_predictions(trained.experiment, "validation"), trained.signature
    paths, read = strips.files(validation.image_ids), partial(read_strip, signature=signature)
    rows = predict_images(predict, map(str, paths), read, BATCH_SIZE)
    found = []
    for row in tqdm(rows, total=len(paths), desc=what, unit="image", disable=None):
        if row.error:
            raise InputError(row.error)
        found.append(row.probabilities)
    float32 = validation.probabilities
    if trained.late_scaling is not None:
        float32 = trained.late_scaling(float32)
    names = signature.class_names
    chosen = dict(zip(names, signature.thresholds, strict=True))

    def macro_f1(probabilities: np.ndarray) -> dict[str, float]:
        return {
            kind: classification_metrics(validation.labels, probabilities, names, at)["macro"]["f1"]
            for kind, at in ((AT_HALF, DEFAULT_THRESHOLD), (AT_THRESHOLDS, chosen))
        }

    return F1Drop(macro_f1(np.stack(found)), macro_f1(float32))

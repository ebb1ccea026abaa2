"""How near an exported model is to the one it was made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.errors import InputError
from core.predicting.predictor import Predict

TOLERANCE = 1e-4
NUM_STRIPS = 32
BATCH_SIZE = 16
# So many are asked one by one as well: a graph that is bound to one batch size fails.
NUM_SINGLE = 3


def measure_parity(
    reference: Predict, exported: Predict, strips: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Largest and mean absolute difference of the probabilities, over all and per class.

    Shape: strips uint8 (strips, channels, height, width).
    """
    expected = ask_in_batches(reference, strips)
    found = ask_in_batches(exported, strips)
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


def ask_in_batches(ask: Predict, strips: np.ndarray) -> np.ndarray:
    """All answers. Shape: (strips, classes)."""
    return np.concatenate(
        [ask(strips[start : start + BATCH_SIZE]) for start in range(0, len(strips), BATCH_SIZE)]
    )


def check_parity(parity: dict[str, Any], what: str) -> None:
    """Raises InputError where an export answers otherwise than the model it was made of."""
    # Written so that a difference which is no number is refused too.
    if not parity["max_difference"] <= TOLERANCE:
        raise InputError(
            f"{what}: its probabilities differ by {parity['max_difference']:.2g} from PyTorch's "
            f"on {parity['num_strips']} strips, and at most {TOLERANCE:g} is allowed: nothing was "
            "written; try another format"
        )

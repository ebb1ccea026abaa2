"""Every loss once more, by numpy and plain loops, from the papers; and one example of each.

A registered loss without an entry in `REFERENCES` fails the completeness test.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def probability(logit: float) -> float:
    return 1 / (1 + np.exp(-logit)) if logit > 0 else np.exp(logit) / (1 + np.exp(logit))


def per_element(logits: Array, targets: Array, value) -> float:
    """Mean of value(logit, target, class index) over all elements."""
    values = [
        value(float(logits[index]), float(targets[index]), index[1])
        for index in np.ndindex(logits.shape)
    ]
    return float(np.mean(values))


def bce_with_logits(logits, targets, pos_weight=(1, 1, 1, 1), label_smoothing=0.0):
    def value(x, t, c):
        t = (1 - label_smoothing) * t + label_smoothing * 0.5
        return -(pos_weight[c] * t * np.log(probability(x)) + (1 - t) * np.log(probability(-x)))

    return per_element(logits, targets, value)


def focal_loss(
    logits,
    targets,
    alpha=None,
    gamma=2.0,
    class_weight=(1, 1, 1, 1),
    alpha_normalize=False,
    reduction="mean",
):
    def value(x, t, c):
        a = alpha if alpha is None or np.ndim(alpha) == 0 else alpha[c]
        p_t, wrong = probability(x if t == 1 else -x), probability(-x if t == 1 else x)
        a_t = 1 if a is None else a if t == 1 else 1 - a
        scale = class_weight[c] / (2 * a * (1 - a)) if alpha_normalize else class_weight[c]
        return -scale * a_t * wrong**gamma * np.log(p_t)

    mean = per_element(logits, targets, value)
    return mean * logits.size / max(1, targets.sum()) if reduction == "positives" else mean


REFERENCES = {
    "bce_with_logits": (
        bce_with_logits,
        [
            {},
            {"label_smoothing": 0.2},
            {"pos_weight": [2.0, 0.5, 10.0, 1.0]},
            {"pos_weight": [2.0, 0.5, 10.0, 1.0], "label_smoothing": 0.1},
        ],
    ),
    "focal_loss": (
        focal_loss,
        [
            {"alpha": None},
            {"alpha": 0.25},
            {"alpha": [0.9, 0.98, 0.6, 0.93], "gamma": 1.5},
            {"alpha": [0.9, 0.98, 0.6, 0.93], "alpha_normalize": True},
            {"alpha": 0.3, "gamma": 0.5, "class_weight": [1.0, 2.0, 0.0, 1.0]},
            {"alpha": 0.25, "reduction": "positives"},
        ],
    ),
}
"""Name of a loss: its reference, and the parameters under which the two are compared."""

"""Every loss once more, by numpy and plain loops, from the papers.

A registered loss has an entry in `REFERENCES`, or a worked example in its own docstring.
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


def asymmetric_loss(logits, targets, gamma_positive=1.0, gamma_negative=4.0, margin=0.05):
    def value(x, t, c):
        p, q = probability(x), probability(-x)
        if t == 1:
            return -(q**gamma_positive) * np.log(p)
        shifted = max(p - margin, 0.0)
        rest = q if margin == 0 else 1 - shifted
        return -(shifted**gamma_negative) * np.log(rest)

    return per_element(logits, targets, value)


def weight_of(alpha, y):
    return alpha[y] if np.ndim(alpha) else alpha if y > 0 else 1 - alpha


def softmax_focal_loss(logits, targets, alpha=None, gamma=2.0):
    values = []
    for index in np.ndindex(targets.shape):
        column = logits[(index[0], slice(None), *index[1:])]
        y = targets[index]
        p = np.exp(column - column.max()) / np.exp(column - column.max()).sum()
        others = sum(p[k] for k in range(len(p)) if k != y)
        a = 1.0 if alpha is None else weight_of(alpha, y)
        values.append(-a * others**gamma * np.log(p[y]))
    return float(np.mean(values))


def soft_counts(logits, targets, batch):
    """(TP, FP, FN) for each class, and for each image unless `batch`, by loops."""
    groups = {}
    for index in np.ndindex(logits.shape):
        p, t = probability(float(logits[index])), float(targets[index])
        key = index[1] if batch else index[:2]
        found = groups.setdefault(key, np.zeros(3))
        found += np.array([p * t, p * (1 - t), (1 - p) * t])
    return groups


def tversky_loss(logits, targets, alpha=0.3, beta=0.7, gamma=1.0, smooth=1.0, batch=True):
    terms = []
    for tp, fp, fn in soft_counts(logits, targets, batch).values():
        term = 1 - (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)
        terms.append(max(term, 1e-6) ** (1 / gamma) if gamma != 1 else term)
    return float(np.mean(terms))


def dice_loss(logits, targets, smooth=1.0, batch=True):
    terms = []
    for tp, fp, fn in soft_counts(logits, targets, batch).values():
        predicted, actual = tp + fp, tp + fn
        terms.append(1 - (2 * tp + 2 * smooth) / (predicted + actual + 2 * smooth))
    return float(np.mean(terms))


def generalized_dice_loss(logits, targets, smooth=1.0, batch=True):
    groups = soft_counts(logits, targets, batch)
    images = [None] if batch else range(len(logits))
    terms = []
    for image in images:
        rows = [v for key, v in groups.items() if batch or key[0] == image]
        sizes = [tp + fn for tp, _, fn in rows]
        smallest = min([size for size in sizes if size > 0.5], default=1.0)
        weights = [smallest**2 / size**2 if size > 0.5 else 1.0 for size in sizes]
        shared = sum(w * tp for w, (tp, _, _) in zip(weights, rows, strict=True))
        total = sum(w * (2 * tp + fp + fn) for w, (tp, fp, fn) in zip(weights, rows, strict=True))
        terms.append(1 - (2 * shared + smooth) / (total + smooth))
    return float(np.mean(terms))


def nearest(index, points):
    return min(np.sqrt(sum((a - b) ** 2 for a, b in zip(index, p, strict=True))) for p in points)


def signed_distance(mask: Array) -> Array:
    """By comparing every pixel with every other."""
    inside = [index for index in np.ndindex(mask.shape) if mask[index]]
    outside = [index for index in np.ndindex(mask.shape) if not mask[index]]
    distances = np.zeros(mask.shape)
    if inside and outside:
        for index in inside:
            distances[index] = 1 - nearest(index, outside)
        for index in outside:
            distances[index] = nearest(index, inside)
    return distances


def boundary_loss(logits, targets, scale="clip", max_distance=32.0, relative=True):
    terms = []
    for image, classes in zip(logits, targets, strict=True):
        for x, mask in zip(image, classes, strict=True):
            phi = signed_distance(mask)
            if scale == "clip":
                phi = np.clip(phi, -max_distance, max_distance) / max_distance
            elif scale == "diagonal":
                phi = phi / np.sqrt(sum(size**2 for size in mask.shape))
            p = np.vectorize(probability)(x)
            terms.append((p - relative * mask) * phi)
    return float(np.mean(terms))


def compound(logits, targets, components, learnable_weights=False):
    total = 0.0
    for component in components:
        params = {k: v for k, v in component.items() if k not in ("type", "weight")}
        value = REFERENCES[component["type"]][0](logits, targets, **params)
        total += component["weight"] * value
        if learnable_weights == "uncertainty":
            total += np.log(1 + 1 / (2 * component["weight"]))
    return total


TWO_PARTS = [
    {"type": "dice_loss", "weight": 0.7},
    {"type": "focal_loss", "weight": 0.3, "alpha": 0.25},
]

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
    "asymmetric_loss": (
        asymmetric_loss,
        [
            {},
            {"margin": 0.0},
            {"gamma_positive": 0.0, "gamma_negative": 0.5, "margin": 0.2},
            {"gamma_positive": 2.0, "gamma_negative": 0.0, "margin": 0.1},
        ],
    ),
    "softmax_focal_loss": (
        softmax_focal_loss,
        [{}, {"gamma": 0.5, "alpha": 0.25}, {"gamma": 0.0}, {"alpha": [0.1, 2.0, 0.0, 1.0]}],
    ),
    "tversky_loss": (
        tversky_loss,
        [
            {},
            {"alpha": 0.7, "beta": 0.3, "batch": False, "smooth": 0.1},
            {"gamma": 4 / 3},
        ],
    ),
    "dice_loss": (dice_loss, [{}, {"batch": False, "smooth": 0.1}]),
    "generalized_dice_loss": (
        generalized_dice_loss,
        [{}, {"batch": False}, {"smooth": 0.01}],
    ),
    "boundary_loss": (
        boundary_loss,
        [
            {"max_distance": 1.5},
            {"scale": "none"},
            {"scale": "diagonal", "relative": False},
        ],
    ),
    "compound": (
        compound,
        [
            {"components": TWO_PARTS},
            {"components": TWO_PARTS, "learnable_weights": True},
            {"components": TWO_PARTS, "learnable_weights": "uncertainty"},
        ],
    ),
}
"""Name of a loss: its reference, and the parameters under which the two are compared."""

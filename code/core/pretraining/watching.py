"""Figures of embeddings and masks that need no labels, and whether they have collapsed."""

from typing import Any

import numpy as np

SMALLEST_DEVIATION = 0.02
SMALLEST_RANK = 1.5
FEWEST_FOR_RANK = 6
"""Embeddings: a few lie near a line by chance."""


def effective_rank(embeddings: np.ndarray) -> float:
    """How many directions the centred embeddings use: exp of the entropy of their shares.

    The shares are the singular values over their sum. Equal embeddings have 0.
    Source: Roy and Vetterli 2007, "The Effective Rank: A Measure of Effective Dimensionality"
    """
    centred = np.asarray(embeddings, np.float64)
    values = np.linalg.svd(centred - centred.mean(0), compute_uv=False)
    if values.sum() == 0:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def relative_deviation(embeddings: np.ndarray) -> float:
    """Mean standard deviation of a dimension of the normalised embeddings, times sqrt(dimensions).

    About 1 where they are spread evenly over the sphere, 0 where all are the same.
    Source: Chen and He 2021, "Exploring Simple Siamese Representation Learning" (figure 2)
    """
    unit = _normalised(embeddings)
    return float(unit.std(0).mean() * unit.shape[1] ** 0.5)


def retrieval(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the images whose second view is the nearest of all second views to the first.

    A tie counts as a miss, since it does not tell the images apart.
    """
    similarity = _normalised(first) @ _normalised(second).T
    own = similarity.diagonal().copy()
    np.fill_diagonal(similarity, -np.inf)
    return float((own > similarity.max(1)).mean())


def watch(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """The figures of the embeddings of both views, and whether they have collapsed.

    Collapsed: all on one point (deviation below 0.02), or along one line (effective rank below
    1.5). Shape: (images, dimensions) each
    """
    rank, deviation = effective_rank(first), relative_deviation(first)
    return {
        "effective_rank": rank,
        "standard_deviation": deviation,
        "retrieval": retrieval(first, second),
        "collapsed": deviation < SMALLEST_DEVIATION
        or (rank < SMALLEST_RANK and len(first) >= FEWEST_FOR_RANK),
    }


def watch_masks(logits: np.ndarray, masks: np.ndarray) -> dict[str, Any]:
    """How well painted defects are found: average precision of pixels, and of strips.

    A strip's score is its largest logit. The average precision of chance is `painted_share` for
    pixels and `painted_strip_share` for strips. `collapsed`: pixels no better than by chance.
    Figures are None where all strips are painted, or none is.
    Shape: (strips, 1, height, width) each
    """
    from sklearn.metrics import average_precision_score  # takes a second

    truth = masks > 0
    painted, share = truth.any((1, 2, 3)), float(truth.mean())
    pixels = strips = None
    if 0 < share < 1:
        pixels = float(average_precision_score(truth.ravel(), logits.ravel()))
    if 0 < painted.sum() < len(painted):
        strips = float(average_precision_score(painted, logits.max((1, 2, 3))))
    return {
        "pixel_average_precision": pixels,
        "strip_average_precision": strips,
        "painted_share": share,
        "painted_strip_share": float(painted.mean()),
        "collapsed": pixels is not None and pixels <= share,
    }


def _normalised(embeddings: np.ndarray) -> np.ndarray:
    embeddings = np.asarray(embeddings, np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, 1e-12)

"""How often each training image is drawn, and which shares of the classes come of it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

SamplerName = Literal["natural", "balanced", "sqrt"]


def image_weights(labels: np.ndarray, sampler: SamplerName) -> np.ndarray | None:
    """Probability that a draw is this image; None: each image once, in random order.

    `balanced` is class-aware sampling: one of the classes, clean being one of them, is drawn
    evenly and then one of its images, so that an image of several classes sums what they give it.
    `sqrt` is repeat factor sampling with threshold 1: max over the classes of an image of
    sqrt(1 / f_c), f_c the share of images that show the class, and 1 for a clean image.

    Shape: labels (N, C) multi-hot; out float64 (N,), sum 1.
    Sources: Shen, Lin and Huang, "Relay Backpropagation for Effective Learning of Deep
    Convolutional Neural Networks", 2016; Gupta, Dollár and Girshick, "LVIS: A Dataset for Large
    Vocabulary Instance Segmentation", 2019.
    """
    if sampler == "natural":
        return None
    present = np.asarray(labels, bool)
    if sampler == "balanced":
        groups = np.column_stack([present, ~present.any(axis=1)])
        weights = (groups / np.maximum(1, groups.sum(axis=0))).sum(axis=1)
    else:
        repeats = np.sqrt(len(present) / np.maximum(1, present.sum(axis=0)))
        weights = np.where(present, repeats, 1.0).max(axis=1)
    return weights / weights.sum()


def expected_shares(labels: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Share of what is drawn that shows each class, float64 (C,)."""
    if weights is None:
        return labels.sum(axis=0) / len(labels)
    return weights @ np.asarray(labels, np.float64)


def describe_sampler(
    labels: np.ndarray, sampler: SamplerName, class_names: Sequence[str]
) -> dict[str, object]:
    """The sampler, and the share of each class and of clean images that is expected of a draw."""
    with_clean = np.column_stack([labels, ~np.asarray(labels, bool).any(axis=1)])
    shares = expected_shares(with_clean, image_weights(labels, sampler)).tolist()
    *of_classes, clean = shares
    return {
        "name": sampler,
        "expected_class_shares": dict(zip(class_names, of_classes, strict=True)),
        "expected_clean_share": clean,
    }

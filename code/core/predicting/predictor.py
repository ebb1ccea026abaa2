"""Models as predictors, and two ways to average several predictions into one."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from core.errors import InputError
from core.predicting.signature import Signature, threshold_version

Predict = Callable[[np.ndarray], np.ndarray]
"""Images uint8 (batch, channels, height, width) to probabilities (batch, classes)."""


class Predictor(Protocol):
    """A `Predict` that knows its classes, images and thresholds; its probabilities are float64."""

    signature: Signature

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


def predict_in_batches(predict: Predict, images: np.ndarray, batch_size: int) -> np.ndarray:
    """The probabilities of any number of images, at most `batch_size` of them at once."""
    starts = range(0, len(images), batch_size)
    return np.concatenate([predict(images[start : start + batch_size]) for start in starts])


class Ensemble:
    """The mean of the probabilities of several models, with the mean of their thresholds.

    Raises:
        InputError: models of different classes or images.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        self.members = tuple(members)
        first = members[0].signature
        for member in members[1:]:
            _check_alike(first, member.signature)
        every = [member.signature.thresholds for member in members]
        thresholds = tuple(float(value) for value in np.mean(every, axis=0))
        self.signature = first.model_copy(
            update={
                "model": "+".join(member.signature.model for member in members),
                "thresholds": thresholds,
                "threshold_version": threshold_version("mean", thresholds),
            }
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.mean([member(images) for member in self.members], axis=0)


class Flips:
    """The mean of the probabilities of a strip as it is, mirrored, upside down, and both."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.signature = predictor.signature

    def __call__(self, images: np.ndarray) -> np.ndarray:
        views = [images[:, :, ::down, ::across] for down in (1, -1) for across in (1, -1)]
        return np.mean([self.predictor(np.ascontiguousarray(view)) for view in views], axis=0)


def _check_alike(first: Signature, other: Signature) -> None:
    one, two = (signature.model_dump(mode="json") for signature in (first, other))
    for key in ("class_names", "image_size", "channels", "bit_depth", "resize_mode"):
        if one[key] != two[key]:
            raise InputError(
                f"--ensemble: {other.model} has {key}={two[key]}, and {first.model} "
                f"{key}={one[key]}: only models with the same can be averaged"
            )

"""Models as predictors, and two ways to average several answers into one."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from core.errors import InputError
from core.predicting.signature import Signature, threshold_version

Predict = Callable[[np.ndarray], np.ndarray]
"""Images uint8 (batch, channels, height, width) to probabilities (batch, classes)."""


class Predictor(Protocol):
    """A `Predict` that says which classes, images and thresholds it is for."""

    signature: Signature

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of images uint8 (batch, channels, height, width).

        Shape: (batch, classes), float64.
        """
        ...


class Ensemble:
    """The mean of the probabilities of several models, decided at the mean of their thresholds.

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
    for key in ("class_names", "image_size", "channels"):
        expected, found = getattr(first, key), getattr(other, key)
        if expected != found:
            raise InputError(
                f"--ensemble: {other.model} has {key}={_readable(found)}, and {first.model} "
                f"{key}={_readable(expected)}: only models of the same can be averaged"
            )


def _readable(value: object) -> object:
    """A tuple as a list, which reads better in a message."""
    return list(value) if isinstance(value, tuple) else value

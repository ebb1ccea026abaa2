"""Predicting arrays, such as those in a notebook, checked as image files are."""

from typing import NamedTuple

import numpy as np

from core.errors import InputError
from core.predicting.predictor import Predictor, predict_in_batches
from core.predicting.signature import Signature


class Predicted(NamedTuple):
    """What a model makes of strips, in the order of its `signature.class_names`.

    Shape: both (strips, classes), decisions bool.
    """

    probabilities: np.ndarray
    decisions: np.ndarray


def predict_array(model: Predictor, strips: np.ndarray, batch_size: int = 16) -> Predicted:
    """The probabilities of one strip or several, and the decisions at the model's thresholds.

    Shape: strips uint8 (height, width) or (strips, height, width); with 3 channels, in the order
    red, green, blue, (height, width, 3) or (strips, height, width, 3).

    Raises:
        InputError: another type, size or number of channels than the model was trained with.
    """
    images = _as_batch(np.asarray(strips), model.signature)
    probabilities = predict_in_batches(model, images, batch_size)
    return Predicted(probabilities, probabilities >= model.signature.thresholds)


def _as_batch(strips: np.ndarray, signature: Signature) -> np.ndarray:
    """Strips as a model takes them. Shape: (strips, channels, height, width)."""
    if strips.dtype != np.uint8:
        raise InputError(
            f"strips of type {strips.dtype}: expected uint8, grey values from 0 to 255 as in the "
            "image files"
        )
    colours = (3,) if signature.channels == 3 else ()
    one = (*signature.image_size, *colours)
    batch = strips[None] if strips.shape == one else strips
    if batch.shape[1:] != one or not len(batch):
        raise InputError(
            f"strips of shape {strips.shape}: this model takes {one}, or several as "
            f"{('strips', *one)}".replace("'", "")
        )
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2) if colours else batch[:, None])

"""Masks that a training kept of test images, drawn over these images."""

from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.analysis.strips import read_grey, reduced
from core.errors import InputError
from core.experiments.drawing import PREDICTED_OUTLINE, outlined
from core.experiments.reading import Experiment
from core.files.reading import read_json
from core.files.resizing import Resize, ResizeMode

FOLDER, EXAMPLES, MISTAKES = "masks", "examples.json", "mistakes.json"
HALF = 127  # of the stored probabilities, 0 to 255


class KeptMasks(BaseModel):
    """A test image, and the files of its predicted and its true mask, where there are any."""

    image_id: str
    predicted: str | None = None
    truth: str | None = None


class MaskExample(KeptMasks):
    """The masks of one class, and their scores."""

    class_name: str
    dice: float
    peak_inside: bool


def read_examples(experiment: Experiment) -> list[MaskExample]:
    """Those of each class; none where the file cannot be read."""
    return _entries(experiment, EXAMPLES, MaskExample)


def read_mistakes(experiment: Experiment) -> dict[str, KeptMasks]:
    """Those of mistakes, by image id; none where the file cannot be read."""
    return {entry.image_id: entry for entry in _entries(experiment, MISTAKES, KeptMasks)}


def _entries(experiment: Experiment, name: str, kind: type[KeptMasks]) -> list[Any]:
    try:
        content = read_json(experiment.path / FOLDER / name)
        return TypeAdapter(list[kind]).validate_python(content, strict=True)
    except (InputError, ValidationError):
        return []


def strip_with_masks(
    experiment: Experiment, image: np.ndarray, kept: KeptMasks
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The image as the model took it, its predicted and its true mask, not wider than a picture.

    A mask that is absent, cannot be read or has another size is None. A line that is drawn before
    an image is reduced may vanish.

    Shape: uint8 (H, W), the predicted mask 0 to 255, the true one 0 or 1.
    """
    folder = experiment.path / FOLDER
    # Only the name counts: anyone may have written these paths.
    files = (name and folder / Path(name).name for name in (kept.predicted, kept.truth))
    predicted, truth = (read_grey(file) if file else None for file in files)
    if (mode := experiment.look_up("data", "resize_mode")) in get_args(ResizeMode):
        # The file of the true mask has the model's size; what results.json says has no bound.
        if truth is None:
            return reduced(image), None, None
        image = Resize(truth.shape, mode).image(image)
    if truth is not None and truth.shape != image.shape:
        truth = None
    strip = reduced(image)
    shape = strip.shape[::-1]
    if predicted is not None:
        predicted = cv2.resize(predicted, shape, interpolation=cv2.INTER_LINEAR)
    if truth is not None:
        truth = (cv2.resize(truth, shape, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    return strip, predicted, truth


def with_outlines(experiment: Experiment, image: np.ndarray, kept: KeptMasks) -> np.ndarray:
    """The image with the outlines of its true mask, cyan, and of the predicted one, orange."""
    strip, predicted, truth = strip_with_masks(experiment, image, kept)
    picture = cv2.cvtColor(strip, cv2.COLOR_GRAY2BGR)
    if predicted is not None:
        picture = outlined(picture, predicted > HALF, PREDICTED_OUTLINE)
    return outlined(picture, truth)

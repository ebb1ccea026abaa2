"""What predicting needs to know about a trained model, beside its weights."""

import hashlib
import json
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from core.data.images import ImageFormat
from core.errors import InputError
from core.files.names import check_class_names
from core.files.resizing import ResizeMode, check_area, size_rule
from core.metrics.scored_predictions import DEFAULT_THRESHOLD
from core.validation import Settings, validate

BitDepth = Literal[8, 10, 12, 16]
Side = Annotated[int, Field(ge=1, le=1 << 14)]
ImageSize = Annotated[tuple[Side, Side], AfterValidator(check_area)]
ClassNames = Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Signature(Settings):
    """Classes, input and thresholds of a model.

    `model` is its name and the version of its weights. `thresholds` are for the probabilities that
    it returns, which may be calibrated; one above 1 means that a class is never found. With a
    `resize_mode`, images of any size are resized to `image_size`.
    """

    schema_version: Literal[1] = 1
    model: str
    class_names: ClassNames
    image_size: ImageSize
    channels: Literal[1, 3]
    bit_depth: BitDepth = 8
    resize_mode: ResizeMode | None = None
    thresholds: tuple[Threshold, ...]
    threshold_version: str

    @model_validator(mode="after")
    def _usable_classes_with_one_threshold_each(self) -> "Signature":
        check_class_names(self.class_names, "class_names")
        if len(self.thresholds) != len(self.class_names):
            raise ValueError("expected one threshold per class")
        return self

    @property
    def image_format(self) -> ImageFormat:
        """How the images of this model are read."""
        size = size_rule(self.image_size, self.resize_mode)
        return ImageFormat(size, self.channels, self.bit_depth)

    def check_probabilities(self, found: np.ndarray, num_images: int, name: str) -> None:
        """Raises InputError where what the model `name` returned are no probabilities."""
        shape = (num_images, len(self.class_names))
        # Written so that NaN is refused too.
        if found.shape != shape or not np.all((found >= 0) & (found <= 1)):
            raise InputError(
                f"{name}: returns {found.shape} values for {shape[0]} strips of {shape[1]} "
                "classes, or others than probabilities from 0 to 1: copy the model again, or train "
                "or export it again"
            )

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: str) -> "Signature":
        """Raises InputError, naming `where`, for text that is not a signature."""
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        return validate(cls, values if isinstance(values, dict) else {}, where)

    def at_default(self) -> "Signature":
        """The same model with 0.5 as the threshold of each class."""
        thresholds = (DEFAULT_THRESHOLD,) * len(self.class_names)
        return self.model_copy(
            update={"thresholds": thresholds, "threshold_version": str(DEFAULT_THRESHOLD)}
        )


def threshold_version(kind: str, thresholds: tuple[float, ...]) -> str:
    """`kind`, and eight digits that change with any of the thresholds."""
    return f"{kind}@{hashlib.sha256(json.dumps(thresholds).encode()).hexdigest()[:8]}"

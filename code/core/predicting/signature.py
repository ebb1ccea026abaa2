"""What a trained model says of itself: all that predicting needs beside the weights."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.metrics.scored_predictions import DEFAULT_THRESHOLD
from core.validation import Settings, validate


class Signature(Settings):
    """Classes, input and thresholds of a model.

    `model` names it and the version of its weights. `thresholds` belong to the probabilities that
    the model gives, calibrated where it is; they may pass 1, where a class is never to be found.
    """

    schema_version: Literal[1] = 1
    model: str
    class_names: Annotated[tuple[str, ...], Field(min_length=1)]
    image_size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    channels: Literal[1, 3]
    thresholds: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]
    threshold_version: str

    @model_validator(mode="after")
    def _one_threshold_per_class(self) -> "Signature":
        if len(self.thresholds) != len(self.class_names):
            raise ValueError("expected one threshold per class")
        return self

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: str) -> "Signature":
        """Raises InputError, naming `where`, for what is no signature."""
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        return validate(cls, values if isinstance(values, dict) else {}, where)

    def at_default(self) -> "Signature":
        """The same model, every class decided at 0.5."""
        return self.model_copy(
            update={
                "thresholds": (DEFAULT_THRESHOLD,) * len(self.class_names),
                "threshold_version": str(DEFAULT_THRESHOLD),
            }
        )


def threshold_version(kind: str, thresholds: tuple[float, ...]) -> str:
    """`kind`, and eight digits that change with any of the thresholds."""
    return f"{kind}@{hashlib.sha256(json.dumps(thresholds).encode()).hexdigest()[:8]}"

"""model_final.pt: all that is needed to build a trained model and to run it."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator
from torch import nn

from core.errors import InputError
from core.experiments.reading import Experiment
from core.experiments.schema import ClassScaling, first_problem
from core.files.checkpoint import load_checkpoint
from core.metrics.scaling import Scaling
from core.models.parameters import without_weights
from core.models.registry import get_registry
from core.predicting.signature import Side, Signature, threshold_version
from core.validation import Settings

MODEL_FILE = "model_final.pt"
SCHEMA_VERSION = 1


class FinalModel(Settings):
    """The content of the file, as `ClassificationTask.test` writes it.

    `model` has the registered name and the parameters, without the mask head where the data had no
    masks. `thresholds` are for the model's own probabilities, which `scaling` calibrates.
    """

    file: Path
    schema_version: Literal[SCHEMA_VERSION]
    experiment: str
    model: dict[str, Any]
    image_size: tuple[Side, Side]
    channels: Literal[1, 3]
    class_names: Annotated[tuple[str, ...], Field(min_length=1)]
    thresholds: dict[str, float]
    threshold_criterion: str
    scaling: dict[str, ClassScaling] | None
    state_dict: dict[str, Any]

    @model_validator(mode="after")
    def _one_of_each_per_class(self) -> "FinalModel":
        names = set(self.class_names)
        if set(self.thresholds) != names or (self.scaling and set(self.scaling) != names):
            raise ValueError("expected one threshold, and one scaling or none, for each class")
        return self

    def build(self) -> nn.Module:
        """The model with its weights, in evaluation mode.

        Raises:
            InputError: this version has no model of that name with these parameters and weights.
        """
        values = without_weights(self.model)
        name = values.pop("name", None)
        try:
            model = get_registry().instantiate(name, **values)
            model.load_state_dict(self.state_dict)
        except (KeyError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{self.file}: does not fit model {name} of this version ({reason})"
            ) from None
        return model.eval()

    def calibration(self) -> Scaling | None:
        """The scaling that calibrates the probabilities; None where there is none."""
        if not self.scaling:
            return None
        rows = [self.scaling[name] for name in self.class_names]
        return Scaling(
            *(np.array([getattr(r, key) for r in rows]) for key in ("slope", "intercept"))
        )

    def signature(self) -> Signature:
        """What predicting needs to know; its thresholds are for calibrated probabilities."""
        thresholds = np.array([self.thresholds[name] for name in self.class_names])
        if (scaling := self.calibration()) is not None:
            # Above 1 means "never"; scaled, it would come within reach.
            thresholds = np.where(thresholds > 1, thresholds, scaling(thresholds))
        values = tuple(thresholds.tolist())
        with self.file.open("rb") as stream:
            version = hashlib.file_digest(stream, "sha256").hexdigest()[:12]
        return Signature(
            model=f"{self.experiment}@{version}",
            class_names=self.class_names,
            image_size=self.image_size,
            channels=self.channels,
            thresholds=values,
            threshold_version=threshold_version(self.threshold_criterion, values),
        )


def read_final_model(experiment: Experiment) -> FinalModel:
    """The final model of an experiment.

    Raises:
        InputError: there is no such file, or not one that a training writes.
    """
    file = experiment.path / MODEL_FILE
    content = load_checkpoint(file)
    try:
        values = _completed(content, experiment) if isinstance(content, dict) else {}
        return FinalModel.model_validate({**values, "file": file})
    except ValidationError as error:
        raise InputError(
            f"{file}: {first_problem(error)}; expected the final model of a training: copy it "
            "again, or train again"
        ) from None


def _completed(content: dict[str, Any], experiment: Experiment) -> dict[str, Any]:
    """The content; what a file of an earlier version lacks is taken from results.json."""
    if "schema_version" in content:
        return content
    return {
        **content,
        "schema_version": SCHEMA_VERSION,
        "experiment": experiment.name,
        "threshold_criterion": experiment.look_up("threshold_criterion") or "experiment",
        "scaling": experiment.look_up("calibration", "scaling"),
    }

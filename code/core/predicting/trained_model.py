"""The model of a finished experiment: read from model_final.pt, built, and ready to predict."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import ValidationError, model_validator
from torch import nn

from core.data.images import ImageFormat
from core.errors import InputError
from core.experiments.reading import Experiment, read_experiment
from core.experiments.schema import ClassScaling, first_problem
from core.files.checkpoint import load_checkpoint
from core.files.names import check_class_names
from core.files.resizing import ResizeMode, size_rule
from core.machine.device import choose_device, keep_freed_memory
from core.metrics.scaling import Scaling
from core.models.output import logits_of
from core.models.parameters import without_weights
from core.models.registry import get_registry
from core.predicting.building import no_larger_than
from core.predicting.signature import (
    BitDepth,
    ClassNames,
    ImageSize,
    Signature,
    Threshold,
    threshold_version,
)
from core.validation import Settings

MODEL_FILE = "model_final.pt"
MODEL_SCHEMA_VERSION = 1


class FinalModel(Settings):
    """The content of model_final.pt, as `ClassificationTask.test` writes it.

    `model` has the registered name and the parameters, without the mask head where the data had no
    masks. `thresholds` are for the model's own probabilities, which `scaling` calibrates; with
    `scaled_thresholds`, they and all figures are for the calibrated ones.
    """

    file: Path
    schema_version: Literal[MODEL_SCHEMA_VERSION]
    experiment: str
    model: dict[str, Any]
    image_size: ImageSize
    channels: Literal[1, 3]
    bit_depth: BitDepth = 8
    resize_mode: ResizeMode | None = None
    class_names: ClassNames
    thresholds: dict[str, Threshold]
    threshold_criterion: str
    scaling: dict[str, ClassScaling] | None
    scaled_thresholds: bool = False
    state_dict: dict[str, Any]

    @model_validator(mode="after")
    def _usable_classes_with_one_of_each(self) -> "FinalModel":
        names = set(check_class_names(self.class_names, "class_names"))
        if set(self.thresholds) != names or (self.scaling and set(self.scaling) != names):
            raise ValueError("expected one threshold, and one scaling or none, for each class")
        return self

    @property
    def image_format(self) -> ImageFormat:
        """How the images of this model are read."""
        size = size_rule(self.image_size, self.resize_mode)
        return ImageFormat(size, self.channels, self.bit_depth)

    def build(self) -> nn.Module:
        """The model with its weights, in evaluation mode.

        Raises:
            InputError: this version has no model of that name with these parameters and weights.
        """
        values = without_weights(self.model)
        name = values.pop("name", None)
        try:
            with no_larger_than(self.state_dict):
                model = get_registry().instantiate(name, **values)
            model.load_state_dict(self.state_dict)
        except Exception as error:  # options from a file can make any constructor fail
            reason = str(error).partition("\n")[0][:300] or type(error).__name__
            raise InputError(
                f"{self.file}: does not fit model {name} of this version ({reason})"
            ) from error
        return model.eval()

    def calibration(self) -> Scaling | None:
        """The scaling that calibrates the probabilities; None where there is none."""
        if not self.scaling:
            return None
        rows = [self.scaling[name] for name in self.class_names]
        return Scaling(
            *(np.array([getattr(r, key) for r in rows]) for key in ("slope", "intercept"))
        )

    def late_calibration(self) -> Scaling | None:
        """The scaling, if thresholds and predictions.csv are still without it."""
        return None if self.scaled_thresholds else self.calibration()

    def signature(self) -> Signature:
        """What predicting needs to know; its thresholds are for calibrated probabilities."""
        thresholds = np.array([self.thresholds[name] for name in self.class_names])
        if (scaling := self.late_calibration()) is not None:
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
            bit_depth=self.bit_depth,
            resize_mode=self.resize_mode,
            thresholds=values,
            threshold_version=threshold_version(self.threshold_criterion, values),
        )


class TrainedModel:
    """The model of an experiment as a predictor, calibrated if the experiment is.

    `late_scaling` turns the probabilities of predictions.csv into those that it returns.
    """

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        """On `device`, by default the fastest that is available.

        Raises:
            InputError: `path` is no completed experiment of this version.
        """
        self.experiment = read_experiment(path)
        self.device = device or choose_device()
        keep_freed_memory()
        final = read_final_model(self.experiment)
        self.scaling, self.signature = final.calibration(), final.signature()
        self.late_scaling, self.file = final.late_calibration(), final.file
        self.model = final.build().to(self.device)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (batch, classes) of images uint8 (batch, channels, height, width).

        Raises:
            InputError: the model returns something else than probabilities.
        """
        logits = logits_of(self.model(torch.from_numpy(images).to(self.device)))
        probabilities = logits.float().double().sigmoid().cpu().numpy()
        self.signature.check_probabilities(probabilities, len(images), str(self.file))
        return probabilities if self.scaling is None else self.scaling(probabilities)


def read_final_model(experiment: Experiment) -> FinalModel:
    """The final model of an experiment.

    Raises:
        InputError: there is no such file, or not one that a training writes.
    """
    experiment.check_has_one_model()
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
        "schema_version": MODEL_SCHEMA_VERSION,
        "experiment": experiment.name,
        "threshold_criterion": experiment.look_up("threshold_criterion") or "experiment",
        "scaling": experiment.look_up("calibration", "scaling"),
    }

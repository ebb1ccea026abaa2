"""A finished experiment's model, read back from its folder and ready to be asked."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.errors import InputError
from core.experiments.reading import Experiment, read_experiment
from core.files.checkpoint import load_checkpoint
from core.machine.device import choose_device, keep_freed_memory
from core.metrics.scaling import Scaling
from core.models.output import logits_of
from core.models.parameters import without_weights
from core.models.registry import get_registry
from core.predicting.signature import Signature, threshold_version

MODEL_FILE = "model_final.pt"


def load_model(experiment: Experiment) -> nn.Module:
    """The model of model_final.pt, built by its registered name.

    Raises:
        InputError: no such file, or not the weights of this model.
    """
    file = experiment.path / MODEL_FILE
    values = without_weights(experiment.results["config"]["model"])
    content, name = load_checkpoint(file), values.pop("name")
    try:
        weights = content["state_dict"]
        if not any(key.startswith("mask_head.") for key in weights):
            # Wanted, but left out where the data had image-level labels only.
            values |= {key: None for key in ("fusion",) if key in values}
            values |= {key: False for key in ("mask_head",) if key in values}
        model = get_registry().instantiate(name, **values)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{file}: does not fit model {name} of this version ({reason})") from None
    return model.eval()


def read_scaling(experiment: Experiment) -> Scaling | None:
    """The scaling that calibrates the experiment's probabilities; None where it has none."""
    scaling = experiment.look_up("calibration", "scaling")
    if not scaling:
        return None
    rows = [scaling[name] for name in experiment.class_names]
    return Scaling(
        np.array([row["slope"] for row in rows]), np.array([row["intercept"] for row in rows])
    )


def read_signature(experiment: Experiment) -> Signature:
    """What the model of an experiment says of itself, its thresholds calibrated as it is.

    Raises:
        InputError: model_final.pt cannot be read.
    """
    data, scaling = experiment.results["config"]["data"], read_scaling(experiment)
    chosen = experiment.results["thresholds"]
    thresholds = np.array([chosen[name] for name in experiment.class_names], dtype=np.float64)
    if scaling is not None:
        # Above 1 it stands for "never", which the scaling, finite everywhere, would bring in reach.
        thresholds = np.where(thresholds > 1, thresholds, scaling(thresholds))
    values = tuple(thresholds.tolist())
    return Signature(
        model=f"{experiment.name}@{_version(experiment.path / MODEL_FILE)}",
        class_names=tuple(experiment.class_names),
        image_size=tuple(data["image_size"]),
        channels=data["channels"],
        thresholds=values,
        threshold_version=threshold_version(
            experiment.look_up("threshold_criterion") or "experiment", values
        ),
    )


class TrainedModel:
    """The model of an experiment as a predictor; calibrated where the experiment is."""

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        """On `device`, by default the fastest there is.

        Raises:
            InputError: `path` is no completed experiment of this version.
        """
        self.experiment = read_experiment(path)
        if folds := self.experiment.look_up("folds"):
            raise InputError(
                f"{path} is a cross-validation of {len(folds)} models: name the folder of one of "
                f"them, such as {path / folds[0]['name']}"
            )
        self.device = device or choose_device()
        keep_freed_memory()
        self.scaling = read_scaling(self.experiment)
        self.signature = read_signature(self.experiment)
        self.model = load_model(self.experiment).to(self.device)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (batch, classes) of images uint8 (batch, channels, height, width)."""
        logits = logits_of(self.model(torch.from_numpy(images).to(self.device)))
        probabilities = logits.float().double().sigmoid().cpu().numpy()
        return probabilities if self.scaling is None else self.scaling(probabilities)


class WholeGraph(nn.Module):
    """A trained model with all that stands around it: uint8 images to calibrated probabilities.

    Shape: (batch, channels, height, width) uint8 -> (batch, classes) float32
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        self.model = trained.model
        scaling = trained.scaling
        self.is_calibrated = scaling is not None
        if scaling is not None:
            self.register_buffer("slopes", torch.tensor(scaling.slopes, dtype=torch.float32))
            intercepts = torch.tensor(scaling.intercepts, dtype=torch.float32)
            self.register_buffer("intercepts", intercepts)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = logits_of(self.model(images)).float()
        if self.is_calibrated:
            logits = logits * self.slopes + self.intercepts
        return logits.sigmoid()


def _version(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:12]
    except OSError:
        raise InputError(f"{file}: no such checkpoint") from None

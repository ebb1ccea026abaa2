"""The model of a finished experiment, ready to predict."""

from pathlib import Path

import numpy as np
import torch

from core.errors import InputError
from core.experiments.reading import read_experiment
from core.machine.device import choose_device, keep_freed_memory
from core.models.output import logits_of
from core.predicting.final_model import read_final_model


class TrainedModel:
    """The model of an experiment as a predictor, calibrated if the experiment is."""

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        """On `device`, by default the fastest that is available.

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
        final = read_final_model(self.experiment)
        self.scaling, self.signature = final.calibration(), final.signature()
        self.model = final.build().to(self.device)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (batch, classes) of images uint8 (batch, channels, height, width)."""
        logits = logits_of(self.model(torch.from_numpy(images).to(self.device)))
        probabilities = logits.float().double().sigmoid().cpu().numpy()
        return probabilities if self.scaling is None else self.scaling(probabilities)

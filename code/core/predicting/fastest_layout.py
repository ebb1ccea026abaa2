"""A trained model whose memory layout is the fastest one for the images that are to come."""

import copy
import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.autotuning.budget import (
    FEWEST_IMAGES,
    LONGEST_SECONDS,
    Budget,
    images_of_a_turn,
    seconds_for,
    seconds_of,
    too_little_work,
)
from core.autotuning.contest import contest
from core.autotuning.remembered import machine_key, recall, remember
from core.experiments.environment import describe_environment
from core.predicting.trained_model import TrainedModel

# A layout changes no probability by more than this, or it is not taken.
TOLERANCE = 1e-4
_USUAL, _LAST = "NCHW", "channels last"


class FastestLayout(TrainedModel):
    """Predicts about `num_images`; the layout is remembered, or measured at the first batch.

    The precision is float32: bfloat16 has eight bits for a number, so it cannot keep probabilities
    within 1e-4.
    """

    def __init__(self, path: Path, num_images: int, device: torch.device | None = None) -> None:
        super().__init__(path, device)
        self._num_images = num_images

    def __call__(self, images: np.ndarray) -> np.ndarray:
        num_images, self._num_images = self._num_images, 0
        if not too_little_work(num_images, contenders=2) and len(images) >= FEWEST_IMAGES:
            self._choose(images, num_images)
        return super().__call__(images)

    def _choose(self, images: np.ndarray, num_images: int) -> None:
        key = self._key(images)
        found = recall(key) or {}
        if not isinstance(found.get("channels_last"), bool):
            outcome = self._measured(images, num_images)
            found = {"channels_last": outcome.chosen == _LAST, "seconds": outcome.medians}
            if not outcome.not_measured:
                remember(key, found)
        if found["channels_last"]:
            self._take_channels_last(images[:FEWEST_IMAGES])

    def _take_channels_last(self, images: np.ndarray) -> None:
        usual, before = copy.deepcopy(self.model), super().__call__(images)
        self.model = self.model.to(memory_format=torch.channels_last)
        if np.abs(super().__call__(images) - before).max() > TOLERANCE:
            self.model = usual

    def _measured(self, images: np.ndarray, num_images: int) -> Any:
        looking = Budget(LONGEST_SECONDS)
        models = {
            _USUAL: self.model,
            _LAST: copy.deepcopy(self.model).to(memory_format=torch.channels_last),
        }
        few = images[:FEWEST_IMAGES]
        self._seconds(self.model, few)
        passing = Budget(LONGEST_SECONDS)
        per_image = max(self._seconds(self.model, few), passing.spent) / FEWEST_IMAGES
        budget = Budget(seconds_for(num_images, per_image) - looking.spent)
        size = images_of_a_turn(budget.seconds, per_image, len(images), len(models))
        runs = {
            name: partial(self._seconds, model, images[:size]) for name, model in models.items()
        }
        return contest(runs, budget if size else Budget(-1.0))

    def _seconds(self, model: nn.Module, images: np.ndarray) -> float:
        return seconds_of(partial(self._compute, model, images), self.device)

    @torch.inference_mode()
    def _compute(self, model: nn.Module, images: np.ndarray) -> None:
        model(torch.from_numpy(images).to(self.device))

    def _key(self, images: np.ndarray) -> dict[str, Any]:
        network = hashlib.sha256(str(self.model).encode()).hexdigest()
        return {
            **machine_key(describe_environment(self.device)),
            "purpose": "prediction",
            "network": network,
            "images": images.shape,
        }

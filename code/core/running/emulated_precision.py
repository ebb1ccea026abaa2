"""A precision that was asked for and that the device only emulates."""

import logging
import math
from dataclasses import replace

import torch

from core.autotuning.budget import FEWEST_IMAGES, images_for_trial, seconds_for
from core.running.computation import AUTO
from core.running.experiment_record import TrainingSetup
from core.running.step_trial import StepTrial
from core.running.trial_step import read_images
from core.training.precision import choose_precision

log = logging.getLogger(__name__)

# Emulated, a step has been seen to take up to 16 times as long.
_LARGEST_FACTOR = 20


def is_emulated(precision: str, device: torch.device) -> bool:
    """Whether this is bfloat16 on a device without instructions for it."""
    return precision == "bfloat16" and choose_precision(AUTO, device).name != "bfloat16"


def emulation_factor(setup: TrainingSetup, num_images: int) -> float | None:
    """How many times as long a step takes as in float32; None: too few images to find out."""
    if images_for_trial(num_images) < FEWEST_IMAGES * _LARGEST_FACTOR:
        return None
    trial = StepTrial(setup)
    with trial.unchanged():
        plain = replace(setup.computation, precision="float32")
        of_image = trial.seconds_per_image(plain, FEWEST_IMAGES)
        of_two = FEWEST_IMAGES * of_image
        if of_two * _LARGEST_FACTOR > seconds_for(num_images, of_image):
            return None
        batch = read_images(trial.dataset, FEWEST_IMAGES)
        factor = trial.run(setup.computation, batch)() / trial.run(plain, batch)()
    return factor if math.isfinite(factor) else None


def warn_of_emulation(device: torch.device, factor: float | None) -> None:
    """Say what it costs, in one line."""
    slower = "and is slower than float32" if factor is None else f"{factor:.1f} times as slow"
    log.warning(
        "runtime.precision=bfloat16: this %s computes it by emulation, %s: use float32 or auto",
        device.type, slower,
    )  # fmt: skip

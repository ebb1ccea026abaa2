"""What a training will take, from one step of it: time and memory, before it is started."""

import math
import statistics
import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from core.command.config import TrainConfig
from core.errors import InputError
from core.running.components import with_num_classes
from core.running.composition import build
from core.running.early_checks import check_early
from core.running.experiment_record import TrainingSetup
from core.running.loading import choose_split, read_data, with_image_size
from core.running.out_of_memory import settle_batch_size
from core.running.step_trial import StepTrial
from core.running.trial_step import read_images

# Of a forward and a backward pass, the forward pass is about a third.
_FORWARD_SHARE = 1 / 3
_NUM_IMAGES_READ = 8
_NUM_STEPS = 3
# On a CPU, a step of a whole batch that takes longer is not taken, and no memory is told.
_LONGEST_STEP_SECONDS = 20.0
_MEBIBYTE = 1 << 20


def estimate(config: TrainConfig) -> dict[str, Any]:
    """`seconds_per_epoch`, `num_epochs` of all folds together, and `memory_mib`, None if unknown.

    The data are read and everything is built as for the training, which would refuse the same.
    Early stopping, the test and the first epoch's warm-up are left out.
    Raises InputError for what the training would refuse.
    """
    check_early(config)
    num_folds = config.training.folds or 1
    single = config.training.model_copy(update={"folds": None})
    config = replace(config, data=with_image_size(config.data), training=single)
    data = read_data(config.data)
    config = with_num_classes(config, data.table)
    split = choose_split(config, data)
    config = settle_batch_size(config, partial(build, data=data, split=split))
    setup = build(config, data, split)
    step, memory = _measured(setup, min(config.data.batch_size, len(split["train"])))
    reading = _seconds_to_read(setup) / max(1, config.data.workers)
    training, validation = len(split["train"]), len(split["validation"])
    seconds = training * (step + reading) + validation * (step * _FORWARD_SHARE + reading)
    return {
        "seconds_per_epoch": seconds,
        "num_epochs": num_folds * config.training.num_epochs,
        "memory_mib": memory,
        "device": str(setup.learner.device),
    }


def _measured(setup: TrainingSetup, batch_size: int) -> tuple[float, int | None]:
    """Seconds of a step for each image, and the memory of a step of a whole batch."""
    trial, device = StepTrial(setup), setup.learner.device
    with trial.unchanged():
        per_image = trial.seconds_per_image(setup.computation, batch_size)
        if math.isinf(per_image):
            raise InputError(
                f"data.batch_size={batch_size}: a step failed, perhaps for its memory: give less"
            )
        if device.type == "cuda":
            # Adam and its like keep two more numbers for each parameter.
            extra = sum(2 * p.numel() * 4 for p in setup.learner.model.parameters())
            return per_image, (torch.cuda.max_memory_allocated(device) + extra) // _MEBIBYTE
        if per_image * batch_size > _LONGEST_STEP_SECONDS:
            return per_image, None
        batch = setup.task.train_batches.finish(
            read_images(setup.task.train_batches.dataset, batch_size)
        )
        run = trial.run(setup.computation, batch)
        run()  # makes a copy of the model, and takes few images
        seconds = [run() for _ in range(_NUM_STEPS)]
    return statistics.median(seconds) / batch_size, _peak_of_this_process()


def _peak_of_this_process() -> int | None:
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (_MEBIBYTE if sys.platform == "darwin" else 1 << 10)


def _seconds_to_read(setup: TrainingSetup) -> float:
    dataset = setup.task.train_batches.dataset
    num_images = min(_NUM_IMAGES_READ, len(dataset))
    begun = time.perf_counter()
    read_images(dataset, num_images)
    return (time.perf_counter() - begun) / num_images

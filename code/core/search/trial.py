"""One trial: an ordinary training in a folder of its own, watched and perhaps ended early."""

import logging
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from optuna import Trial, TrialPruned

from core.command.config import TrainConfig
from core.errors import InputError
from core.experiments.reading import look_up, read_results
from core.predicting.trained_model import TrainedModel
from core.running.composition import train
from core.running.resuming import CONFIG_FILE, FREE, find_training
from core.training.callbacks import Callback

log = logging.getLogger(__name__)

FIGURE = "macro_average_precision"
_CALLS, _FIRST_CALLS = 20, 3


class Watch(Callback):
    """Reports the validation figure of each epoch to the study, and stops a poor trial.

    A trial is not pruned before the learning rate's warm-up and the epochs of the head alone are
    over, where the figures of trials do not say yet which is better, nor after its last epoch.
    """

    def __init__(self, trial: Trial, config: TrainConfig, prunes: bool) -> None:
        self.trial, self.prunes = trial, prunes
        training = config.training
        self.num_epochs = training.num_epochs
        self.first = max(min(training.warmup_epochs, self.num_epochs / 2), training.head_epochs)
        self.pruned_at: int | None = None

    def reads_files(self, epoch: int) -> bool:
        return False

    def on_epoch_end(self, record: dict[str, Any], best_epoch: int) -> bool:
        epoch, figure = record["epoch"], record["validation"][FIGURE]
        if not self.prunes or figure is None:
            return False
        self.trial.report(figure, step=epoch)
        if self.first < epoch < self.num_epochs and self.trial.should_prune():
            self.pruned_at = epoch
            log.info(
                "Pruned: its best figure is below the median of the other trials at epoch %d", epoch
            )
        return self.pruned_at is not None


def run_trial(config: TrainConfig, path: Path | None, watch: Watch) -> dict[str, Any]:
    """Train, or go on in the folder `path`, and return what results.json holds.

    Raises TrialPruned where the watch ended it: its folder is that of a training that stopped
    early, with all its figures.
    """
    if path is None or not (path / CONFIG_FILE).is_file():
        results = train(config, [watch])
    elif (results := read_results(path)).get("status") == "completed":
        watch.on_resume(results["history"], results["best_epoch"])
    else:
        free = {key: look_up(config.resolved(), *key.split(".")) for key in FREE}
        _, go_on = find_training(str(path), free, path.parent)
        results = go_on(callbacks=[watch])
    if watch.pruned_at is not None:
        raise TrialPruned
    return results


def validation_figure(results: Mapping[str, Any]) -> float:
    """The validation macro average precision of the epoch that the training keeps.

    Raises InputError where no class has an image to find, so that it is not defined.
    """
    (record,) = [each for each in results["history"] if each["epoch"] == results["tested_epoch"]]
    figure = record["validation"][FIGURE]
    if figure is None:
        raise InputError(
            "data.split_strategy: the validation part shows no defect, so trials cannot be compared"
        )
    return figure


def latency_milliseconds(path: Path) -> float:
    """The median time that the trained model takes for one image on this machine."""
    model = TrainedModel(path)
    image_format = model.signature
    images = np.zeros((1, image_format.channels, *image_format.image_size), np.uint8)
    seconds: list[float] = []
    for _ in range(_FIRST_CALLS + _CALLS):
        begun = time.perf_counter()
        model(images)
        seconds.append(time.perf_counter() - begun)
    return 1000 * statistics.median(seconds[_FIRST_CALLS:])

"""The training loop, top to bottom."""

import logging
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from core.training.callbacks import Callback
from core.training.checkpoint import Checkpoints
from core.training.data_workers import data_workers_may_die
from core.training.distributed import any_of, from_first, is_first, rank
from core.training.epoch import train_epoch
from core.training.epoch_progress import EpochProgress
from core.training.evaluation_settings import EvaluationSettings
from core.training.experiment import ExperimentFolder
from core.training.finite_steps import check_predictions
from core.training.learner import Learner
from core.training.learner_state import restore_epoch
from core.training.localization import MaskScores, localization_figures
from core.training.metrics import classification_metrics
from core.training.plots import HistoryPlot
from core.training.prediction import Predictions, predict
from core.training.progress import Progress
from core.training.saver import Saver
from core.training.seeding import seed_everything
from core.training.settings import TrainingSettings
from core.training.stopwatch import Stopwatch
from core.training.task import Task
from core.training.testing import FinalTest

log = logging.getLogger(__name__)


class Trainer:
    """Trains a model, keeps the best epoch by validation macro-F1, and tests that one."""

    def __init__(
        self,
        learner: Learner,
        task: Task,
        folder: ExperimentFolder,
        *,
        settings: TrainingSettings,
        evaluation: EvaluationSettings,
        model_card: dict[str, Any],
        callbacks: Sequence[Callback] = (),
    ) -> None:
        """`model_card` is what model_final.pt needs beside the weights to be built again."""
        self.learner = learner
        self.task, self.folder, self.callbacks = task, folder, callbacks
        self.settings = settings
        self.plot = HistoryPlot(folder.path / "history.png")
        self.test = FinalTest(learner, task, folder, evaluation, model_card)
        checkpoints = Checkpoints(folder.checkpoints)
        self.saver = Saver(learner, checkpoints, folder.interruption, settings.checkpoint_minutes)
        self._begun_epoch: dict[str, Any] | None = None

    @property
    def progress(self) -> Progress:
        return self.saver.progress

    def continue_from(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's history and place; its learner has been restored already."""
        saver = self.saver
        saver.progress = Progress(list(state["history"]), state["best_epoch"])
        saver.stopwatch = Stopwatch(state["training_seconds"])
        self._begun_epoch = state["epoch_progress"]
        if self.progress.history:
            # A loss with a schedule reports the weights of the last epoch that it saw.
            self.learner.objective.set_epoch(len(self.progress.history) - 1)
            self._publish()
            for callback in self.callbacks:
                for record in self.progress.history:
                    callback.on_epoch_end(record)

    def fit(self) -> dict[str, Any]:
        """Train, test the best checkpoint, and return what results.json holds."""
        try:
            with logging_redirect_tqdm():
                self._fit()
        finally:
            for callback in self.callbacks:
                callback.close()
            self.plot.finish()
        training_seconds, testing = self.saver.stopwatch.seconds, Stopwatch()
        self.test(self.saver.checkpoints.file(self.settings.tested_epoch))
        self.folder.record(
            timings={"training_seconds": training_seconds, "evaluation_seconds": testing.seconds}
        )
        return self.folder.results

    def _fit(self) -> None:
        patience = self.settings.early_stopping_patience
        while self.progress.next_epoch <= self.settings.num_epochs:
            if self.progress.has_stalled(patience):
                log.info("No better validation macro-F1 for %d epochs: stopping early", patience)
                break
            interruption = self.folder.interruption
            with interruption.deferred(), data_workers_may_die(interruption):
                self.run_epoch()
            if any_of(interruption.requested):
                raise KeyboardInterrupt

    def run_epoch(self) -> None:
        """Train, validate, keep and publish the next epoch."""
        record = self._run_epoch(self.progress.next_epoch)
        is_best = self.progress.add(record)
        self.saver.save(is_best=is_best)
        self._publish()
        self._tell(record)
        for callback in self.callbacks:
            callback.on_epoch_end(record)

    def _run_epoch(self, epoch: int) -> dict[str, Any]:
        learner, loaders, saver = self.learner, self.task.loaders, self.saver
        progress = self._begin_epoch(epoch)
        batches = tqdm(
            saver.guard(loaders["train"], progress),
            desc=f"epoch {epoch}/{self.settings.num_epochs}",
            unit="batch",
            initial=progress.step,
            total=progress.step + len(loaders["train"]),
            disable=None if is_first() else True,  # None: off unless it is a terminal
            leave=False,
        )
        train = train_epoch(learner, batches, progress, lambda: saver.after_step(progress))
        # What the loss was made of, if it has parts.
        objective = learner.objective
        parts = {"terms": objective.terms(), "weights": objective.get_weights()}
        validation = saver.guard(loaders["validation"], progress)
        model, precision = learner.evaluated_model, learner.precision
        part = predict(model, objective, validation, learner.device, precision)
        check_predictions(part, epoch, learner.learning_rate)
        return from_first(
            lambda: {
                "epoch": epoch,
                "learning_rate": progress.learning_rate,
                "train": train,
                "validation": self._validation_record(part),
                **{f"loss_{key}": value for key, value in parts.items() if value},
            }
        )

    def _begin_epoch(self, epoch: int) -> EpochProgress:
        """Seed the epoch, and go on within it where a checkpoint was saved there."""
        learner, begun = self.learner, self._begun_epoch
        self._begun_epoch = None
        seed_everything(self.task.seed, epoch, rank())
        learner.objective.set_epoch(epoch - 1)
        progress = EpochProgress.begin(epoch, learner.learning_rate, learner.device)
        if begun:
            progress = restore_epoch(learner, begun)
        self.task.loaders["train"].set_epoch(epoch, progress.step)
        return progress

    def _validation_record(self, part: Predictions) -> dict[str, Any]:
        names = self.task.class_names
        metrics = classification_metrics(part.labels, part.probabilities, names)
        record = {} if part.mask_scores is None else _mask_record(part.mask_scores, names)
        return {
            "loss": part.loss,
            "macro_f1": metrics["macro"]["f1"],
            "macro_average_precision": metrics["macro"]["average_precision"],
            "macro_auroc": metrics["macro"]["auroc"],
            "per_class_f1": {name: metrics["per_class"][name]["f1"] for name in names},
            **record,
        }

    def _publish(self) -> None:
        history, best = self.progress.history, self.progress.best_epoch
        self.folder.record(
            history=history,
            best_epoch=best,
            **self.learner.objective.record(),
        )
        if is_first():
            self.plot.update(history, best)

    def _tell(self, record: dict[str, Any]) -> None:
        train, validation = record["train"], record["validation"]
        log.info(
            "epoch %d/%d  loss %.4f  validation loss %.4f  macro-F1 %.3f  (best: epoch %d)  "
            "%.1f images/s, %.0f %% of the time waiting for data",
            record["epoch"], self.settings.num_epochs, train["loss"], validation["loss"],
            validation["macro_f1"], self.progress.best_epoch, train["images_per_second"],
            100 * train["data_wait_share"],
        )  # fmt: skip


def _mask_record(scores: MaskScores, class_names: Sequence[str]) -> dict[str, float | None]:
    macro = localization_figures(scores, class_names)["macro"]
    return {"macro_dice": macro["dice"], "macro_pointing_accuracy": macro["pointing_accuracy"]}

"""The training loop, top to bottom."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from core.errors import InputError
from core.training.callbacks import Callback
from core.training.checkpoint import load_checkpoint, save_checkpoint
from core.training.epoch import Learner, train_epoch
from core.training.evaluation import evaluate
from core.training.evaluation_settings import EvaluationSettings
from core.training.experiment import ExperimentFolder
from core.training.localization import MaskScores, localization_figures
from core.training.mask_examples import write_mask_examples
from core.training.metrics import classification_metrics
from core.training.plots import plot_history
from core.training.prediction import Predictions, predict, write_predictions
from core.training.seeding import seed_everything
from core.training.settings import TrainingSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is to be learnt: a loader for each part of the split, and the names of the classes.

    `loaders` has the keys train, validation and test, and train_evaluation where the training
    part is to be scored as well: its images unaugmented and in order.
    """

    loaders: dict[str, DataLoader]
    class_names: tuple[str, ...]
    seed: int


class Trainer:
    """Trains a model, keeps the best epoch by validation macro-F1, and tests that one.

    Of two epochs with the same macro-F1 the one with the lower validation loss is better: early
    in a training, and for rare classes, many epochs share an F1 of 0.
    """

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
        self.settings, self.evaluation = settings, evaluation
        self.model_card = model_card
        self.progress = Progress()

    def fit(self) -> dict[str, Any]:
        """Train, test the best checkpoint, and return what results.json holds."""
        started = time.perf_counter()
        try:
            with logging_redirect_tqdm():
                self._fit()
        finally:
            for callback in self.callbacks:
                callback.close()
        trained = time.perf_counter()
        self._test()
        self.folder.record(
            timings={
                "training_seconds": trained - started,
                "evaluation_seconds": time.perf_counter() - trained,
            }
        )
        return self.folder.results

    def _fit(self) -> None:
        for epoch in range(1, self.settings.num_epochs + 1):
            record = self._run_epoch(epoch)
            is_best = self.progress.add(record)
            self._save(is_best)
            self._publish(record)
            for callback in self.callbacks:
                callback.on_epoch_end(record)
            patience = self.settings.early_stopping_patience
            if patience and epoch - self.progress.best_epoch >= patience:
                log.info("No better validation macro-F1 for %d epochs: stopping early", patience)
                break

    def _run_epoch(self, epoch: int) -> dict[str, Any]:
        learner, loaders = self.learner, self.task.loaders
        seed_everything(self.task.seed, epoch)
        loaders["train"].set_epoch(epoch)
        learner.objective.set_epoch(epoch - 1)
        learning_rate = learner.optimizer.param_groups[0]["lr"]
        batches = tqdm(
            loaders["train"],
            desc=f"epoch {epoch}/{self.settings.num_epochs}",
            unit="batch",
            disable=None,  # off unless standard error is a terminal
            leave=False,
        )
        train = train_epoch(learner, batches)
        if not torch.isfinite(torch.tensor(train["loss"])):
            raise InputError(
                f"training.learning_rate={self.settings.learning_rate}: the loss became "
                f"{train['loss']} in epoch {epoch}: give a lower learning rate"
            )
        # What the loss was made of, if it has parts.
        objective = learner.objective
        parts = {"terms": objective.terms(), "weights": objective.get_weights()}
        part = predict(learner.model, objective, loaders["validation"], learner.device)
        return {
            "epoch": epoch,
            "learning_rate": learning_rate,
            "train": train,
            "validation": self._validation_record(part),
            **{f"loss_{key}": value for key, value in parts.items() if value},
        }

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

    def _save(self, is_best: bool) -> None:
        learner = self.learner
        state = {
            "model": learner.model.state_dict(),
            "objective": learner.objective.state_dict(),
            "optimizer": learner.optimizer.state_dict(),
            "num_updates": learner.num_updates,
            "history": self.progress.history,
            "best_epoch": self.progress.best_epoch,
        }
        save_checkpoint(self.folder.checkpoints / "last.pt", state)
        if is_best:
            save_checkpoint(self.folder.checkpoints / "best.pt", state)

    def _publish(self, record: dict[str, Any]) -> None:
        train, validation, best = record["train"], record["validation"], self.progress.best_epoch
        self.folder.record(
            history=self.progress.history,
            best_epoch=best,
            **self.learner.objective.record(),
        )
        plot_history(self.folder.path / "history.png", self.progress.history, best)
        log.info(
            "epoch %d/%d  loss %.4f  validation loss %.4f  macro-F1 %.3f  (best: epoch %d)  "
            "%.1f images/s, %.0f %% of the time waiting for data",
            record["epoch"], self.settings.num_epochs, train["loss"], validation["loss"],
            validation["macro_f1"], best, train["images_per_second"],
            100 * train["data_wait_share"],
        )  # fmt: skip

    def _test(self) -> None:
        """Everything reported comes from one checkpoint, the best one, read back from the disk."""
        learner, names = self.learner, self.task.class_names
        file = self.folder.checkpoints / f"{self.settings.tested_epoch}.pt"
        state = load_checkpoint(file, learner.device)
        learner.model.load_state_dict(state["model"])
        learner.objective.load_state_dict(state["objective"])
        loaders = {name: loader for name, loader in self.task.loaders.items() if name != "train"}
        parts = {
            name.removesuffix("_evaluation"): predict(
                learner.model, learner.objective, loader, learner.device
            )
            for name, loader in loaders.items()
        }
        write_predictions(self.folder.path / "predictions.csv", parts, names)
        scored = {name: (part.labels, part.probabilities) for name, part in parts.items()}
        report = evaluate(
            scored["validation"], scored["test"], names, self.evaluation, seed=self.task.seed
        )
        if "train" in scored:
            report["train"] = classification_metrics(*scored["train"], names)
        for name, part in parts.items():
            if part.mask_scores is not None:
                report[name]["localization"] = localization_figures(part.mask_scores, names)
        if (scores := parts["test"].mask_scores) is not None:
            dataset = loaders["test"].dataset
            write_mask_examples(self.folder.path / "masks", learner.model, dataset, scores, names)
        self.folder.record(tested_epoch=len(state["history"]), **report)
        self._write_final(report)

    def _write_final(self, report: dict[str, Any]) -> None:
        content = {
            **self.model_card,
            "class_names": list(self.task.class_names),
            "thresholds": report["thresholds"],
            "state_dict": self.learner.model.state_dict(),
        }
        save_checkpoint(Path(self.folder.path) / "model_final.pt", content)


@dataclass
class Progress:
    """The history of a training and its best epoch so far."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0

    def add(self, record: dict[str, Any]) -> bool:
        """Append an epoch's record; True when it is the best one yet."""
        is_best = not self.history or _rank(record) > _rank(self.history[self.best_epoch - 1])
        self.history.append(record)
        if is_best:
            self.best_epoch = record["epoch"]
        return is_best


def _mask_record(scores: MaskScores, class_names: Sequence[str]) -> dict[str, float | None]:
    macro = localization_figures(scores, class_names)["macro"]
    return {"macro_dice": macro["dice"], "macro_pointing_accuracy": macro["pointing_accuracy"]}


def _rank(record: dict[str, Any]) -> tuple[float, float]:
    validation = record["validation"]
    return validation["macro_f1"], -validation["loss"]

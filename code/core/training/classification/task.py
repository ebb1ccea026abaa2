"""Learning which defect classes an image shows, and where, from labels and masks."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from core.files.checkpoint import save_checkpoint
from core.machine.distributed import is_first
from core.metrics.classification import classification_metrics
from core.metrics.evaluation import evaluate
from core.metrics.evaluation_settings import EvaluationSettings
from core.metrics.localization import localization_figures
from core.metrics.scaling import Scaling
from core.metrics.scored_predictions import Thresholds, decided
from core.training.classification.mask_examples import write_mask_examples, write_mistake_masks
from core.training.classification.objective import Objective
from core.training.classification.outputs import (
    ModelOutputs,
    check_finite,
    predict,
    with_groups,
)
from core.training.learner import Learner
from core.training.progress import Criterion
from core.training.task import Batch, Folder, Guard, Task, get_registry

log = logging.getLogger(__name__)
UNDONE = (
    "%s moves probabilities away from the posterior. Reported probabilities, figures and "
    "thresholds are those after undoing this (evaluation.calibration=auto)."
)


@get_registry().register("classification")
class ClassificationTask(Task):
    """Multi-label classification; the best epoch has the highest validation macro-F1."""

    objective: Objective
    criterion = Criterion("macro_f1", "macro-F1")

    def __init__(
        self,
        objective: Objective,
        loaders: Mapping[str, DataLoader],
        class_names: Sequence[str],
        seed: int,
        evaluation: EvaluationSettings | None = None,
        final_model: Mapping[str, Any] | None = None,
        groups: Mapping[str, int] | None = None,
    ) -> None:
        """`loaders` has the keys train, validation and test. It has train_evaluation, the training
        part unaugmented and in order, if that part is scored as well. `final_model` is what
        model_final.pt holds that is known before the test, `groups` the group of near-duplicates
        of each image by its id, if any were found.
        """
        super().__init__(objective, loaders["train"], seed)
        if objective.weights_change:
            # Then losses of two epochs cannot be compared.
            self.criterion = replace(self.criterion, second_figure="macro_average_precision")
        self.loaders, self.class_names = dict(loaders), tuple(class_names)
        self.evaluation = evaluation or EvaluationSettings()
        self.final_model = dict(final_model or {})
        self.groups = groups

    @property
    def sums_over_images(self) -> bool:
        return bool(self.objective.sums_over_images)

    def begin_epoch(self, epoch: int) -> None:
        self.objective.set_epoch(epoch - 1)

    def epoch_state(self) -> dict[str, Any]:
        return self.objective.epoch_state()

    def restore_epoch_state(self, state: dict[str, Any], device: torch.device) -> None:
        self.objective.restore_epoch_state(state, device)

    def loss(self, output: Any, batch: Batch) -> Tensor:
        return self.objective(*self.objective.whole_batch(output, batch))

    def loss_record(self) -> dict[str, Any]:
        parts = {"terms": self.objective.terms(), "weights": self.objective.get_weights()}
        return {f"loss_{key}": value for key, value in parts.items() if value}

    def validate(self, learner: Learner, guard: Guard, epoch: int) -> dict[str, Any]:
        batches = map(learner.with_features, guard(self.loaders["validation"]))
        model, precision = learner.evaluated_model, learner.precision
        outputs = predict(model, self.objective, batches, learner.device, precision)
        check_finite(outputs, epoch, learner.learning_rate)
        outputs, names = replace(outputs, scaling=self._undoing()), self.class_names
        metrics = classification_metrics(outputs.labels, outputs.probabilities, names)
        figures = {
            "loss": outputs.loss,
            "macro_f1": metrics["macro"]["f1"],
            "macro_average_precision": metrics["macro"]["average_precision"],
            "macro_auroc": metrics["macro"]["auroc"],
            "per_class_f1": {name: metrics["per_class"][name]["f1"] for name in names},
        }
        if outputs.mask_scores is not None:
            macro = localization_figures(outputs.mask_scores, names)["macro"]
            figures["macro_dice"] = macro["dice"]
            figures["macro_pointing_accuracy"] = macro["pointing_accuracy"]
        return figures

    def tell(self, validation: Mapping[str, Any]) -> str:
        return f"{super().tell(validation)}  macro-F1 {validation['macro_f1']:.3f}"

    def record(self) -> dict[str, Any]:
        return self.objective.record()

    def test(self, learner: Learner, folder: Folder) -> dict[str, Any]:
        """Score every part that is not augmented; write predictions.csv and model_final.pt.

        This runs in float32, whatever precision training used: so thresholds, figures and
        predictions are those of the model that is later used and exported.
        """
        model, undoing = learner.evaluated_model, self._undoing()
        parts = {
            name.removesuffix("_evaluation"): replace(
                predict(model, self.objective, loader, learner.device), scaling=undoing
            )
            for name, loader in self.loaders.items()
            if name != "train"
        }
        if self.groups is not None:
            parts = {name: with_groups(part, self.groups) for name, part in parts.items()}
        if not is_first():
            return {}
        if undoing is not None:
            log.info(UNDONE, self.objective.name)
        folder.write_predictions(parts, self.class_names)
        report = self._report(parts)
        self._keep_masks(folder.path / "masks", model, parts["test"], report["thresholds"])
        content = {
            **self.final_model,
            "experiment": folder.path.name,
            "class_names": list(self.class_names),
            "thresholds": report["thresholds"],
            "threshold_criterion": report["threshold_criterion"],
            "scaling": report["calibration"].get("scaling"),
            "scaled_thresholds": undoing is not None,
            "state_dict": model.state_dict(),
        }
        save_checkpoint(folder.path / "model_final.pt", content)
        return report

    def _keep_masks(
        self, folder: Path, model: nn.Module, test: ModelOutputs, thresholds: Thresholds
    ) -> None:
        dataset, scores = self.loaders["test"].dataset, test.mask_scores
        if scores is not None:
            write_mask_examples(folder, model, dataset, scores, self.class_names)
        found = decided(test.labels, test.probabilities, self.class_names, thresholds)
        write_mistake_masks(folder, model, dataset, found, predicts_masks=scores is not None)

    def _undoing(self) -> Scaling | None:
        """The scaling of all reported probabilities, or None."""
        if self.evaluation.calibration != "auto":
            return None
        return self.objective.undoing(len(self.class_names))

    def _report(self, parts: Mapping[str, ModelOutputs]) -> dict[str, Any]:
        names = self.class_names
        own = [(parts[n].labels, parts[n].own_probabilities) for n in ("validation", "test")]
        test = parts["test"]
        report = evaluate(
            *own, names, self.evaluation, seed=self.seed, undoing=test.scaling, groups=test.groups
        )
        if train := parts.get("train"):
            report["train"] = classification_metrics(train.labels, train.probabilities, names)
        for name, part in parts.items():
            if part.mask_scores is not None:
                report[name]["localization"] = localization_figures(part.mask_scores, names)
        return report

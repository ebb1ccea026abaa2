"""The test of a training, and the model that leaves it."""

from pathlib import Path
from typing import Any

from core.training.checkpoint import load_checkpoint, save_checkpoint
from core.training.distributed import from_first, is_first
from core.training.evaluation import evaluate
from core.training.evaluation_settings import EvaluationSettings
from core.training.experiment import ExperimentFolder
from core.training.learner import Learner
from core.training.localization import localization_figures
from core.training.mask_examples import write_mask_examples
from core.training.metrics import classification_metrics
from core.training.prediction import Predictions, predict, write_predictions
from core.training.task import Task


class FinalTest:
    """Everything reported comes from one checkpoint, read back from the disk.

    It is computed in float32, whatever the training computed in: thresholds, figures and
    predictions are those of the model as it is predicted with and exported.
    """

    def __init__(
        self,
        learner: Learner,
        task: Task,
        folder: ExperimentFolder,
        evaluation: EvaluationSettings,
        model_card: dict[str, Any],
    ) -> None:
        """`model_card` is what model_final.pt needs beside the weights to be built again."""
        self.learner, self.task, self.folder = learner, task, folder
        self.evaluation, self.model_card = evaluation, model_card

    def __call__(self, file: Path) -> None:
        """Test the checkpoint in `file`; write predictions, figures and model_final.pt.

        Raises:
            InputError: the file is not a whole checkpoint.
        """
        learner, folder, names = self.learner, self.folder, self.task.class_names
        # Read by the first process alone, that the others cannot find an older one.
        state = from_first(lambda: _read(file))
        learner.evaluated_model.load_state_dict(state["model"])
        learner.objective.load_state_dict(state["objective"])
        parts = {
            name.removesuffix("_evaluation"): predict(
                learner.evaluated_model, learner.objective, loader, learner.device
            )
            for name, loader in self.task.loaders.items()
            if name != "train"
        }
        if not is_first():
            return
        write_predictions(folder.path / "predictions.csv", parts, names)
        report = self._report(parts)
        if (scores := parts["test"].mask_scores) is not None:
            dataset, model = self.task.loaders["test"].dataset, learner.evaluated_model
            write_mask_examples(folder.path / "masks", model, dataset, scores, names)
        folder.record(tested_epoch=len(state["history"]), **report)
        self._write_final(report)

    def _report(self, parts: dict[str, Predictions]) -> dict[str, Any]:
        names = self.task.class_names
        scored = {name: (part.labels, part.probabilities) for name, part in parts.items()}
        report = evaluate(
            scored["validation"], scored["test"], names, self.evaluation, seed=self.task.seed
        )
        if "train" in scored:
            report["train"] = classification_metrics(*scored["train"], names)
        for name, part in parts.items():
            if part.mask_scores is not None:
                report[name]["localization"] = localization_figures(part.mask_scores, names)
        return report

    def _write_final(self, report: dict[str, Any]) -> None:
        content = {
            **self.model_card,
            "class_names": list(self.task.class_names),
            "thresholds": report["thresholds"],
            "state_dict": self.learner.evaluated_model.state_dict(),
        }
        save_checkpoint(self.folder.path / "model_final.pt", content)


def _read(file: Path) -> dict[str, Any]:
    state = load_checkpoint(file)
    return {key: state[key] for key in ("model", "objective", "history")}

"""A finished experiment, scored once more: on its own test part, or on another labelled folder."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from core.analysis.text_tables import summary_table
from core.command.config import TrainConfig, check_config
from core.data.annotations import LabelTable, read_label_table
from core.data.dataset import StripDataset
from core.data.loaders import make_loader
from core.data.splitting import read_split
from core.experiments.folder import make_unused_folder
from core.experiments.predictions import write_predictions
from core.experiments.reading import Experiment, read_experiment
from core.experiments.schema import SCHEMA_VERSION
from core.files.writing import write_json
from core.machine.device import choose_device, keep_freed_memory
from core.metrics.evaluation import with_intervals
from core.metrics.intervals import Bootstrap
from core.predicting.final_model import read_final_model
from core.running.components import build_loss
from core.running.loading import read_table
from core.training.classification.objective import Objective
from core.training.classification.outputs import predict

log = logging.getLogger(__name__)


def reevaluate(path: Path, data_root: Path | None = None) -> Path:
    """Score the best checkpoint of an experiment, and return the folder of the new figures.

    The figures are written to `<experiment>/evaluation_<date>_<time>/`, beside the old ones and
    never over them. Thresholds stay those that the experiment chose on its validation part.

    Raises:
        InputError: not a completed experiment, or data that do not fit it.
    """
    experiment = read_experiment(path)
    config = check_config(OmegaConf.create(experiment.results["config"]))
    final = read_final_model(experiment)
    table, indices = _images(experiment, config, data_root)
    # The experiment's own device may not be at hand here.
    device = choose_device(num_threads=config.runtime.num_threads)
    keep_freed_memory()
    model = final.build().to(device)
    counts, total = _training_counts(experiment)
    # The loss of the image labels alone: masks of another folder need not be there.
    objective = Objective(build_loss(config.loss, table, counts, total)).to(device)
    part = predict(model, objective, _loader(config, table, indices), device)
    names, settings = final.class_names, config.evaluation
    bootstrap = Bootstrap(settings.bootstrap_resamples, settings.confidence, config.experiment.seed)
    scored = (part.labels, part.probabilities, names)
    report = {
        "schema_version": SCHEMA_VERSION,
        "experiment": experiment.name,
        "data": _describe(table, indices),
        "thresholds": final.thresholds,
        # The weights of a compound may have been learned or follow a schedule; at their start,
        # which is what is built here, its value would be another loss.
        "loss": None if objective.get_weights() else part.loss,
        "test": with_intervals(*scored, bootstrap=bootstrap),
        "test_at_thresholds": with_intervals(*scored, final.thresholds, bootstrap),
    }
    stem = f"evaluation_{datetime.now().astimezone():%Y%m%d_%H%M%S}"
    folder = make_unused_folder(experiment.path, stem)
    write_predictions(folder / "predictions.csv", {"test": part}, names)
    write_json(folder / "results.json", report)
    for key, title in (("test", "at 0.5"), ("test_at_thresholds", "at the thresholds")):
        log.info("%d images, %s:\n%s\n", len(indices), title, summary_table(report[key]))
    return folder


def _images(
    experiment: Experiment, config: TrainConfig, data_root: Path | None
) -> tuple[LabelTable, np.ndarray]:
    """The label table, and which of its images are scored."""
    names = tuple(experiment.class_names)
    if data_root is None:
        table = read_table(config.data)
        return table, read_split(experiment.path / "split.csv", table)["test"]
    table = read_label_table(data_root, names, config.data.image_size, config.data.on_bad_image)
    return table, np.arange(len(table))


def _loader(config: TrainConfig, table: LabelTable, indices: np.ndarray) -> DataLoader:
    data = config.data
    dataset = StripDataset(table, indices, data.image_size, channels=data.channels)
    return make_loader(
        dataset, data.batch_size, seed=0, shuffle=False, num_workers=data.num_workers
    )


def _training_counts(experiment: Experiment) -> tuple[np.ndarray, int]:
    part = experiment.results["data"]["split"]["parts"]["train"]
    counts = np.array([part["class_counts"][name] for name in experiment.class_names])
    return counts, part["num_images"]


def _describe(table: LabelTable, indices: np.ndarray) -> dict[str, Any]:
    counts = table.labels[indices].sum(axis=0).tolist()
    return {
        "root": str(table.image_paths[0].parent.parent),
        "source": table.source,
        "fingerprint": table.fingerprint(),
        "class_names": table.class_names,
        "num_images": len(indices),
        "class_counts": dict(zip(table.class_names, counts, strict=True)),
    }

"""A finished experiment, scored again on its own test part or on another labelled folder."""

import logging
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from core.analysis.text_tables import summary_table
from core.command.config import TrainConfig, check_values
from core.data.dataset import StripDataset
from core.data.duplicate_groups import duplicate_groups
from core.data.duplicates import find_duplicate_pairs, kept_descriptors
from core.data.image_source import ImageFiles
from core.data.label_table import LabelTable
from core.data.loaders import make_loader
from core.data.model_labels import read_model_labels
from core.data.split_file import read_split
from core.errors import InputError
from core.experiments.finding import find_experiment
from core.experiments.folder import make_unused_folder
from core.experiments.predictions import PREDICTIONS_FILE, read_groups, write_predictions
from core.experiments.reading import RESULTS_FILE, Experiment, read_experiment
from core.experiments.schema import SCHEMA_VERSION
from core.experiments.strips import SPLIT_FILE, Strips
from core.files.same_content import same_content
from core.files.writing import write_json
from core.machine.device import choose_device, keep_freed_memory
from core.metrics.evaluation import with_intervals
from core.metrics.intervals import Bootstrap
from core.predicting.trained_model import FinalModel, read_final_model
from core.running.components import build_loss
from core.running.experiment_record import describe_table
from core.running.loading import read_table
from core.training.classification.objective import Objective
from core.training.classification.outputs import ModelOutputs, predict, with_groups

log = logging.getLogger(__name__)


def reevaluate(path: Path, data_root: Path | None = None) -> Path:
    """Score the final model of an experiment, and return the folder of the new figures.

    The folder is `<experiment>/evaluation_<date>_<time>/`, so no old figures are overwritten.
    Thresholds are those that were chosen on the validation part. Images of `data_root` that the
    model learned from, or was tuned on, are left out. Raises InputError where the experiment is not
    completed or cannot be written to, the data does not fit it, or all images are left out.
    """
    experiment = read_experiment(find_experiment(path))
    if not os.access(experiment.path, os.W_OK):  # before minutes of scoring
        raise InputError(f"{experiment.path}: cannot be written to: copy it to another folder")
    try:
        config = check_values(experiment.results["config"])
    except InputError as error:
        raise InputError(f"{experiment.path / RESULTS_FILE}: config: {error}") from None
    final = read_final_model(experiment)
    if data_root is None:
        # As it was trained on: synthetic strips that are gone are generated again. By name, since
        # a labels.csv may have got another column, or another order. No mask is used here.
        update = {"class_names": final.class_names, "missing_masks": "ignore"}
        table = read_table(config.data.model_copy(update=update))
        _warn_of_changes(experiment, table)
        indices = read_split(experiment.path / SPLIT_FILE, table)["test"]
    else:
        on_bad_image = config.data.on_bad_image
        trained_on = experiment.look_up("data", "source")
        size = final.image_format.image_size
        table = read_model_labels(data_root, final.class_names, trained_on, size, on_bad_image)
        indices = _not_learned(experiment, table)
    num_left_out = 0 if data_root is None else len(table) - len(indices)
    # The loss of the image labels alone: another folder need not have masks.
    statistics = _training_statistics(experiment)
    objective = Objective(build_loss(config.loss, table.class_names, *statistics))
    outputs = _outputs(config, final, objective, StripDataset(
        table, indices, final.image_size,
        images=ImageFiles(table.image_paths, final.image_format),
    ))  # fmt: skip
    if final.scaled_thresholds:
        outputs = replace(outputs, scaling=final.calibration())
    settings = config.evaluation
    if data_root is None:
        outputs = _grouped(outputs, experiment.path / PREDICTIONS_FILE)
    elif config.data.group_duplicates and (groups := _groups_of(table, config, final)):
        outputs = with_groups(outputs, groups)
    bootstrap = Bootstrap(
        settings.bootstrap_resamples, settings.confidence, config.experiment.seed, outputs.groups
    )
    scored = (outputs.labels, outputs.probabilities, final.class_names)
    report = {
        "schema_version": SCHEMA_VERSION,
        "experiment": experiment.name,
        "data": {**describe_table(table, indices), "num_left_out": num_left_out},
        "thresholds": final.thresholds,
        # The weights of a compound loss may be learned or follow a schedule. It is built here with
        # its initial weights, so its value would be another loss.
        "loss": None if objective.get_weights() else outputs.loss,
        "test": with_intervals(*scored, bootstrap=bootstrap),
        "test_at_thresholds": with_intervals(*scored, final.thresholds, bootstrap),
    }
    for key, title in (("test", "at 0.5"), ("test_at_thresholds", "at the thresholds")):
        images = "1 image" if len(indices) == 1 else f"{len(indices)} images"
        if (intervals := report[key]["intervals"])["unit"] == "groups":
            images += f" in {intervals['num_units']} groups, which the intervals resample"
        log.info("%s, %s:\n%s\n", images, title, summary_table(report[key]))
    folder = make_unused_folder(
        experiment.path, f"evaluation_{datetime.now().astimezone():%Y%m%d_%H%M%S}"
    )
    write_predictions(folder / "predictions.csv", {"test": outputs}, final.class_names)
    write_json(folder / "results.json", report)
    return folder


def _outputs(
    config: TrainConfig, final: FinalModel, objective: Objective, dataset: StripDataset
) -> ModelOutputs:
    """The outputs on a data set, on whichever device is available here."""
    device = choose_device(num_threads=config.runtime.num_threads)
    keep_freed_memory()
    data = config.data
    loader = make_loader(dataset, data.batch_size, seed=0, shuffle=False, num_workers=data.workers)
    return predict(final.build().to(device), objective.to(device), loader, device)


def _grouped(outputs: ModelOutputs, predictions: Path) -> ModelOutputs:
    """The outputs with the groups of near-duplicates that the training found, if it kept any."""
    groups = read_groups(predictions, "test") if predictions.is_file() else None
    is_known = groups is not None and groups.keys() >= set(outputs.image_ids)
    return with_groups(outputs, groups) if is_known else outputs


def _groups_of(table: LabelTable, config: TrainConfig, final: FinalModel) -> dict[str, int] | None:
    """The group of near-duplicates of each image of another folder; None: there are no duplicates.

    Copies of one image tell no more than the image, so the intervals resample groups.
    """
    folder = config.data.model_copy(update={"root": table.root}).cache_folder
    pairs = find_duplicate_pairs(kept_descriptors(table.image_paths, final.image_format, folder))
    groups = duplicate_groups(len(table), pairs).tolist()
    return dict(zip(table.image_ids, groups, strict=True)) if pairs else None


def _not_learned(experiment: Experiment, table: LabelTable) -> np.ndarray:
    """The rows of the images, by their content, that had no part in making the model.

    Raises InputError where there are none.
    """
    strips = Strips(experiment)
    names = [*strips.ids("train"), *strips.ids("validation")]
    known = [path for path in map(strips.find, names) if path is not None]
    if len(known) < len(names):
        log.warning(
            "%s holds %d of the %d images that the model learned from or was tuned on: the others, "
            "if they are in %s, are not noticed and make the figures too good",
            *(strips.root, len(known), len(names), table.root),
        )
    seen = {path for path, _ in same_content(table.image_paths, known)}
    rows = [row for row, path in enumerate(table.image_paths) if path not in seen]
    if not rows:
        raise InputError(
            f"--data-root {table.root}: the model learned from all of its images or was tuned on "
            "them: give others, or leave out --data-root to score its own test part"
        )
    if seen:
        log.warning(
            "%d of %d images are left out: the model learned from them or was tuned on them",
            *(len(seen), len(table)),
        )
    return np.array(rows)


def _warn_of_changes(experiment: Experiment, table: LabelTable) -> None:
    """Say what is known to differ between the data now and when the model was trained."""
    data = experiment.results["data"]
    if data.get("fingerprint") in (None, table.fingerprint()):
        return
    counts = table.labels.sum(axis=0, dtype=int).tolist()
    now = {"images": len(table), **dict(zip(table.class_names, counts, strict=True))}
    before = {"images": data.get("num_images"), **data.get("class_counts", {})}
    changes = [
        f"{name} {before[name]} -> {number}"
        for name, number in now.items()
        if before.get(name) not in (None, number)
    ]
    log.warning(
        "%s: changed since training (%s): these figures are not those of %s",
        table.root,
        ", ".join(changes) or "other labels or file sizes, the same number of each class",
        experiment.name,
    )


def _training_statistics(experiment: Experiment) -> tuple[np.ndarray, int, np.ndarray]:
    """Class counts and number of images of the training part, and the drawn share per class."""
    part, names = experiment.results["data"]["split"]["parts"]["train"], experiment.class_names
    counts = np.array([part["class_counts"][name] for name in names])
    drawn = experiment.look_up("data", "sampler", "expected_class_shares")
    shares = counts / part["num_images"] if drawn is None else [drawn[name] for name in names]
    return counts, part["num_images"], np.array(shares)

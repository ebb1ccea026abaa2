"""Cross-validation: K trainings that together test every image once."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import astuple, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.analysis.label_errors import Suspect, rank_label_errors, share_of_flips_found
from core.analysis.text_tables import summary_table
from core.command.config import TrainConfig
from core.data.settings import DataSettings
from core.data.split_file import Split
from core.data.splitting import stratified_folds
from core.errors import InputError
from core.experiments.folder import ExperimentFolder
from core.experiments.predictions import GROUP, PREDICTIONS_FILE, read_rows, value_columns
from core.experiments.reading import read_results
from core.files.spreadsheet import as_text
from core.files.tables import read_records, write_table
from core.machine.distributed import from_first, is_first
from core.machine.interruption import Interruption
from core.metrics.evaluation import with_intervals
from core.metrics.intervals import Bootstrap
from core.metrics.scored_predictions import METRICS
from core.running.autotuning import Chosen, build_fastest
from core.running.components import with_num_classes
from core.running.composition import build, run
from core.running.computation import applied
from core.running.continuation import (
    check_fingerprint,
    continue_training,
    describe_resumption,
    recorded_computation,
)
from core.running.experiment_record import LoadedData, describe_input
from core.running.loading import read_data, with_image_size
from core.running.mask_supervision import check_missing_masks
from core.running.out_of_memory import note_settled, settle_batch_size
from core.running.pretrained_images import check_unseen
from core.running.trial_step import try_step
from core.training.trackers import tracked

log = logging.getLogger(__name__)


def check_split_strategy(config: TrainConfig) -> None:
    """Raise InputError for a split that a cross-validation would not use."""
    if config.data.split_strategy != DataSettings().split_strategy:
        raise InputError(
            f"training.folds={config.training.folds}: makes its own splits, so "
            f"data.split_strategy={config.data.split_strategy} would not be used: leave out one"
        )


def cross_validate(
    config: TrainConfig, resumed: Path | None = None, changed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Train once per fold, and score the out-of-fold probabilities of all images together.

    Fold k is tested by the training that chose its best epoch on fold k + 1 and learned from the
    rest. Folds are multi-label stratified and keep near-duplicates together. Each fold is an
    experiment in `fold_1/`, `fold_2/`, ... In a `resumed` folder, complete folds are kept and a
    begun fold continues from its last checkpoint; `changed` lists the changes to its config.
    Raises InputError for invalid data or values, or other data than the resumed folder's.
    """
    check_split_strategy(config)
    given, config = config, replace(config, data=with_image_size(config.data))
    data = read_data(config.data)
    config = with_num_classes(config, data.table)
    table, num_folds = data.table, config.training.folds
    folds = stratified_folds(
        table.labels, num_folds, config.experiment.seed, data.groups, table.class_names
    )
    splits = [fold_split(folds, fold, num_folds) for fold in range(num_folds)]
    if resumed is None:
        check_missing_masks(config, table)
        from_first(partial(check_unseen, config, table, splits))
    of_first = partial(build, data=data, split=splits[0])
    config = settle_batch_size(config, of_first)
    # Built once before a folder is made, so that a mistake in the config leaves nothing behind.
    chosen = recorded_computation(config, resumed / "fold_1") if resumed else None
    if chosen:
        try_step(config, of_first(applied(config, chosen[0])))
    else:
        setup = build_fastest(config, of_first, try_step)
        chosen = setup.computation, setup.choice
    folder = _folder(config, data, resumed, changed or {})
    note_settled(folder, given)
    with tracked(folder, config.training.trackers), folder.running(Interruption()):
        log.info("Cross-validation %s, %d folds", folder.path, num_folds)
        if is_first():
            describe_input(folder, config, data, {"test": np.arange(len(table))})
        results = [
            _fold(config, data, split, folder.path / f"fold_{number}", chosen)
            for number, split in enumerate(splits, start=1)
        ]
        if not is_first():
            return folder.results
        _summarise(folder, config, results, data.group_by_id)
    log.info("\nAll %d images, out of fold, threshold 0.5:\n%s\n",
             len(table), summary_table(folder.results["test"]))  # fmt: skip
    if "label_errors" in folder.results:
        log.info("Of %d images with a label flipped on purpose, %d are among the first %d of "
                 "label_errors.csv (a share of %.2f)\n",
                 *folder.results["label_errors"].values())  # fmt: skip
    log.info("Results: %s", folder.results_file)
    return folder.results


def fold_split(folds: np.ndarray, fold: int, num_folds: int) -> Split:
    """Test on `fold`, validate on the next one, train on the others."""
    test, validation = folds == fold, folds == (fold + 1) % num_folds
    masks = {"train": ~(test | validation), "validation": validation, "test": test}
    return {part: np.flatnonzero(mask) for part, mask in masks.items()}


def _fold(
    config: TrainConfig, data: LoadedData, split: Split, path: Path, chosen: Chosen
) -> dict[str, Any]:
    """The results of one fold; train it, computed as `chosen`, unless it is complete."""
    known, is_begun = from_first(lambda: (read_results(path), (path / "config.yaml").is_file()))
    if known.get("status") == "completed":
        log.info("%s is complete", path)
        return known
    if is_begun:
        return continue_training(config, path, data=data, split=split)
    if is_first():
        shutil.rmtree(path, ignore_errors=True)
    setup = replace(build(applied(config, chosen[0]), data, split), choice=chosen[1])
    return run(config, setup, ExperimentFolder.at(path))


def _folder(
    config: TrainConfig, data: LoadedData, resumed: Path | None, changed: Mapping[str, Any]
) -> ExperimentFolder:
    if resumed is None:
        results_dir = Path(config.experiment.results_dir)
        return ExperimentFolder.create(results_dir, config.experiment.name)
    from_first(lambda: check_fingerprint(resumed, data, config))
    return ExperimentFolder.reopen(resumed, describe_resumption(changed))


def _summarise(
    folder: ExperimentFolder,
    config: TrainConfig,
    results: list[dict[str, Any]],
    groups: Mapping[str, int] | None,
) -> None:
    """Write out-of-fold predictions, their figures and spread over folds, and suspected label
    errors."""
    names = list(results[0]["data"]["class_names"])
    image_ids, labels, probabilities = _write_out_of_fold(folder.path, len(results), names, groups)
    suspects = rank_label_errors(image_ids, labels, probabilities, names)
    header = [field.name for field in fields(Suspect)]
    rows = map(astuple, suspects)
    write_table(folder.path / "label_errors.csv", header, rows, float_format="")
    if config.data.label_noise:
        flips = read_records(folder.path / "flipped_labels.csv", ("image_id", "class_name"))
        flipped = {row["image_id"] for _, row in flips}
        folder.record(label_errors=share_of_flips_found(suspects, flipped))
    settings = config.evaluation
    bootstrap = Bootstrap(
        settings.bootstrap_resamples,
        settings.confidence,
        config.experiment.seed,
        None if groups is None else np.array([groups[name] for name in image_ids]),
    )
    folder.record(
        folds=[
            {"name": f"fold_{k}", "best_epoch": r["best_epoch"], "test": r["test"]["macro"]}
            for k, r in enumerate(results, start=1)
        ],
        spread={
            metric: _spread([r["test"]["macro"][metric] for r in results]) for metric in METRICS
        },
        test=with_intervals(labels, probabilities, names, bootstrap=bootstrap),
    )


def _write_out_of_fold(
    path: Path, num_folds: int, names: list[str], groups: Mapping[str, int] | None
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Write predictions.csv with what the fold that tested an image said of it; return the same.

    Shape: image ids (images,), labels and probabilities (images, classes).
    """
    rows = [
        (image_id, "test", *map(int, values[: len(names)]), *values[len(names) :], number)
        for number in range(1, num_folds + 1)
        for image_id, values in read_rows(path / f"fold_{number}" / PREDICTIONS_FILE, names, "test")
    ]
    rows.sort(key=lambda row: as_text(row[0]))  # in the order of what the file shows
    header = ["image_id", "split", *value_columns(names), "fold"]
    written = rows
    if groups is not None:
        header, written = [*header, GROUP], [(*row, groups[row[0]]) for row in rows]
    write_table(path / PREDICTIONS_FILE, header, written)
    labels, probabilities = np.split(np.array([row[2:-1] for row in rows]), 2, axis=1)
    return [row[0] for row in rows], labels.astype(np.int64), probabilities


def _spread(values: list[float | None]) -> dict[str, float | None]:
    """Mean and sample standard deviation over the folds in which the figure is defined."""
    defined = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(defined)) if defined else None,
        "standard_deviation": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
    }

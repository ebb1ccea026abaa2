"""The strips of an experiment or of a data set, read in a child process."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.analysis.decisions import Decisions, chosen_thresholds, decisions_of
from core.analysis.label_errors import rank_label_errors
from core.data.annotations import read_labels, read_other_labels
from core.data.label_agreement import agreed
from core.data.label_table import LabelTable
from core.data.model_labels import names_to_read
from core.data.sources import LABEL_CSV, find_sources
from core.errors import InputError
from core.experiments.predictions import PREDICTIONS_FILE, read_predictions
from core.experiments.reading import Experiment, read_begun
from core.experiments.strips import SPLIT_FILE, ImageFolder, Strips
from core.files.resizing import MOST_PIXELS, Resize
from core.files.tables import read_records

# Images of any size are listed, each with masks of its own size.
_ANY_SIZE = Resize((256, 1600))
_TRAIN = "train"
_DIGITS = 4
_MOST_PROBLEMS = 5


@dataclass
class Listed:
    """The strips of one source, by column; None stands for what is not known of a strip.

    `labels` and `predicted` hold the numbers of classes. `disagreement` is how far the calibrated
    probability is from the label, `margin` how far the nearest probability is from its threshold.
    """

    class_names: Sequence[str]
    images: ImageFolder
    thresholds: Sequence[float] | None = None
    ids: list[str] = field(default_factory=list)
    parts: list[str | None] = field(default_factory=list)
    labels: list[list[int] | None] = field(default_factory=list)
    predicted: list[list[int] | None] = field(default_factory=list)
    probabilities: list[list[float] | None] = field(default_factory=list)
    disagreement: list[float | None] = field(default_factory=list)
    margin: list[float | None] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    has_masks: bool = False
    problems: list[str] = field(default_factory=list)


def read_strips(experiment: Path | None, data_root: Path | None, stamp: Any) -> Listed:
    """The strips of an experiment or, without one, of the data set in `data_root`.

    `stamp` changes where the files have changed. Raises InputError where there are no strips.
    """
    if experiment is not None:
        return _of_experiment(read_begun(experiment), data_root, stamp)
    table, problems = _table(data_root, None, None, stamp)
    listed = Listed(table.class_names, ImageFolder(data_root), problems=list(problems))
    _add_table(listed, table)
    listed.ids = list(table.image_ids)
    count = len(table)
    listed.parts, listed.predicted, listed.probabilities = ([None] * count for _ in range(3))
    listed.disagreement, listed.margin = [None] * count, [None] * count
    listed.labels = [np.flatnonzero(row).tolist() for row in table.labels]
    return listed


def true_masks(
    experiment: Path | None, data_root: Path | None, stamp: Any, image_id: str
) -> np.ndarray | None:
    """Masks uint8 (classes, height, width) of the image as it is stored; None: not known.

    Raises InputError where the data set cannot be read.
    """
    if experiment is None:
        table, _ = _table(data_root, None, None, stamp)
    else:
        table, _ = _table_of(read_begun(experiment), data_root, stamp)
    row = _rows(table).get(image_id)
    if row is None or table.masks is None or row in table.masks.missing:
        return None
    height, width = table.masks.stored_sizes[row]
    if height * width > MOST_PIXELS:  # an image that cannot be read has an endless size
        return None
    return table.masks.stored(row)


def _of_experiment(experiment: Experiment, data_root: Path | None, stamp: Any) -> Listed:
    names = experiment.look_up("data", "class_names")
    if not names:
        raise InputError(f"{experiment.path} has no classes: it is no training, or has just begun")
    images = ImageFolder(_root(experiment, data_root))
    listed = Listed(list(names), images, list(chosen_thresholds(experiment).values()))
    parts = _parts(experiment)
    predicted = _predicted(experiment, sorted({*parts.values()} | {"test"}), listed.problems)
    given: dict[str, list[int]] = {}
    try:
        table, problems = _table_of(experiment, data_root, stamp)
    except InputError as error:
        listed.problems.append(f"Labels and masks of the data set are not shown: {error}")
    else:
        _add_table(listed, table)
        listed.problems += problems
        rows = zip(table.image_ids, table.labels, strict=True)
        given = {image_id: np.flatnonzero(row).tolist() for image_id, row in rows}
    for image_id in sorted({*parts, *predicted}):
        found = predicted.get(image_id, _Predicted())
        listed.ids.append(image_id)
        listed.parts.append(found.part or parts.get(image_id))
        listed.labels.append(given.get(image_id) if found.labels is None else found.labels)
        listed.predicted.append(found.predicted)
        listed.probabilities.append(found.probabilities)
        listed.disagreement.append(found.disagreement)
        listed.margin.append(found.margin)
    if not listed.ids:
        raise InputError(
            f"{experiment.path} has neither {SPLIT_FILE} nor {PREDICTIONS_FILE}: it names no strips"
        )
    return listed


@dataclass(frozen=True)
class _Predicted:
    part: str | None = None
    labels: list[int] | None = None
    predicted: list[int] | None = None
    probabilities: list[float] | None = None
    disagreement: float | None = None
    margin: float | None = None


def _parts(experiment: Experiment) -> dict[str, str]:
    file = experiment.path / SPLIT_FILE
    if not file.is_file():  # a cross-validation has one for each fold
        return {}
    return {row["image_id"]: row["split"] for _, row in read_records(file, ("image_id", "split"))}


def _predicted(
    experiment: Experiment, parts: Sequence[str], problems: list[str]
) -> dict[str, _Predicted]:
    file = experiment.path / PREDICTIONS_FILE
    found: dict[str, _Predicted] = {}
    if not file.is_file():
        return found
    try:
        there = {row["split"] for _, row in read_records(file, ("image_id", "split"))}
        for part in (each for each in parts if each in there):
            decisions = decisions_of(experiment, read_predictions(experiment, part))
            found |= _of_part(decisions, part)
    except InputError as error:
        problems.append(str(error))
    return found


def _of_part(part: Decisions, name: str) -> dict[str, _Predicted]:
    suspects: Mapping[str, float] = {}
    if name != _TRAIN:  # a model agrees with what it was trained on
        ranked = rank_label_errors(
            part.image_ids, part.labels, part.probabilities, part.class_names
        )
        suspects = {one.image_id: round(one.disagreement, _DIGITS) for one in ranked}
    thresholds = np.array(list(part.thresholds.values()))
    margins = np.abs(part.probabilities - thresholds).min(axis=1).round(_DIGITS).tolist()
    probabilities = part.probabilities.round(_DIGITS).tolist()
    return {
        image_id: _Predicted(
            name,
            np.flatnonzero(part.labels[row]).tolist(),
            np.flatnonzero(part.predicted[row]).tolist(),
            probabilities[row],
            suspects.get(image_id),
            margins[row],
        )
        for row, image_id in enumerate(part.image_ids)
    }


def _add_table(listed: Listed, table: LabelTable) -> None:
    paths = zip(table.image_ids, table.image_paths, strict=True)
    listed.files = {image_id: str(path) for image_id, path in paths}
    listed.has_masks = table.masks is not None


def _root(experiment: Experiment, data_root: Path | None) -> Path:
    """Where the experiment read its strips or, where that folder is gone, `data_root`."""
    root = Strips(experiment).root
    return root if root.is_dir() or data_root is None else data_root


def _table_of(
    experiment: Experiment, data_root: Path | None, stamp: Any
) -> tuple[LabelTable, Sequence[str]]:
    root = _root(experiment, data_root)
    return _table(root, tuple(experiment.class_names), experiment.look_up("data", "source"), stamp)


@lru_cache(2)
def _table(
    root: Path, class_names: tuple[str, ...] | None, trained_on: str | None, stamp: Any
) -> tuple[LabelTable, Sequence[str]]:
    """The table of a data set whatever its images are, and what is wrong with its rows."""
    source, *others = find_sources(root)
    given = None if class_names is None else names_to_read(root, class_names, trained_on)
    errors: list[InputError] = []
    table = read_labels(root, source, given, _ANY_SIZE, errors)
    if LABEL_CSV in others:
        with suppress(InputError):  # they contradict each other: validate_data.py says how
            table = agreed(
                table, read_other_labels(root, LABEL_CSV, table, _ANY_SIZE, errors), "ignore"
            )
    problems = [str(error) for error in errors[:_MOST_PROBLEMS]]
    if len(errors) > _MOST_PROBLEMS:
        problems.append(
            f"... and {len(errors) - _MOST_PROBLEMS} more: code/validate_data.py {root}"
        )
    if class_names is not None:
        table = table.reorder_classes(class_names)
    return table, problems


def _rows(table: LabelTable) -> Mapping[str, int]:
    return {image_id: row for row, image_id in enumerate(table.image_ids)}

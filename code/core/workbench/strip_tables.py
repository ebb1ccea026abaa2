"""The strips of an experiment or of a data set as a list, read in a child process."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.analysis.decisions import Decisions, chosen_thresholds, decisions_of
from core.analysis.label_errors import rank_label_errors
from core.data.label_table import LabelTable
from core.errors import InputError
from core.experiments.predictions import PREDICTIONS_FILE, read_predictions
from core.experiments.reading import Experiment, read_begun
from core.experiments.schema import NOVELTY
from core.experiments.strips import SPLIT_FILE, ImageFolder
from core.files.tables import read_records
from core.workbench.strip_data import corrections_of, data_stamp, root_of, table_in, table_of

MODEL_FILE = "model_final.pt"
_TRAIN, _SCORES_FILE = "train", "scores.csv"
_DIGITS = 4
# Columns that a detector adds to predictions.
_SCORE = "novelty_score"


SIMILAR_FILE = Path("similar") / "similar.csv"
Similar = tuple[str, float, str]
"""The name of a strip's file, its similarity, and whether it is a copy."""


@dataclass
class Strip:
    """One strip; None stands for what is not known of it.

    `labels` and `predicted` hold the numbers of classes. `disagreement` is how far the calibrated
    probability is from the label, `margin` how far the nearest probability is from its threshold.
    """

    part: str | None = None
    labels: list[int] | None = None
    predicted: list[int] | None = None
    probabilities: list[float] | None = None
    disagreement: float | None = None
    margin: float | None = None
    novelty: float | None = None


@dataclass
class Listed:
    """The strips of one place by their image ids, and the `files` of those that are known."""

    class_names: Sequence[str]
    images: ImageFolder
    strips: dict[str, Strip]
    stamp: Any = None
    corrections: str | None = None
    thresholds: Sequence[float] | None = None
    novelty_threshold: float | None = None
    files: dict[str, str] = field(default_factory=dict)
    has_masks: bool = False
    has_encoder: bool = False
    has_model: bool = False
    has_mask_head: bool = False
    problems: list[str] = field(default_factory=list)


def read_strips(experiment: Path | None, data_root: Path | None) -> Listed:
    """The strips of an experiment or, without one, of the data set in `data_root`.

    Raises InputError where there are no strips.
    """
    if experiment is not None:
        return _of_experiment(read_begun(experiment), data_root)
    stamp = data_stamp(data_root)  # before it is read, so that a change meanwhile is noticed
    table, problems = table_in(data_root)
    listed = Listed(table.class_names, ImageFolder(data_root), {}, stamp, problems=list(problems))
    listed.strips = {image_id: Strip() for image_id in table.image_ids}
    _add_table(listed, table)
    return listed


def read_similar(experiment: Path, stamp: Any) -> dict[str, list[Similar]]:
    """The nearest strips of each, by file names, as find_similar.py wrote them.

    Raises InputError for a damaged table.
    """
    found: dict[str, list[Similar]] = {}
    file = experiment / SIMILAR_FILE
    for line, row in read_records(file, ("query", "image", "similarity", "copy")):
        similarity = _number(row["similarity"])
        if similarity is None:
            raise InputError(f"{file} line {line}: similarity {row['similarity'][:40]!r}")
        # Paths of the machine that wrote them: only the names count.
        neighbour = (Path(row["image"]).name, similarity, row["copy"])
        found.setdefault(Path(row["query"]).name, []).append(neighbour)
    return found


def _of_experiment(experiment: Experiment, data_root: Path | None) -> Listed:
    names = experiment.look_up("data", "class_names")
    if not names:
        raise InputError(f"{experiment.path} has no classes: it is no training, or has just begun")
    images = ImageFolder(root_of(experiment, data_root), experiment.look_up("data", "source"))
    corrections = corrections_of(experiment)
    stamp = data_stamp(images.root, corrections)
    listed = Listed(list(names), images, {}, stamp, corrections)
    _add_model(listed, experiment)
    try:
        if experiment.kind == NOVELTY:
            listed.strips = dict(_scored(experiment))
            listed.novelty_threshold = experiment.look_up("threshold", "threshold")
        else:
            listed.thresholds = list(chosen_thresholds(experiment).values())
            listed.strips = dict(_split(experiment))
            listed.strips |= dict(_predicted(experiment))
    except InputError as error:
        listed.problems.append(str(error))
    if not listed.strips:
        why = "; ".join(listed.problems) or f"no {SPLIT_FILE} and no {PREDICTIONS_FILE}"
        raise InputError(f"{experiment.path} names no strips: {why}")
    listed.strips = dict(sorted(listed.strips.items()))
    try:
        table, problems = table_of(experiment.path, data_root)
    except InputError as error:
        listed.problems.append(f"Labels and masks of the data set are not shown: {error}")
    else:
        listed.problems += problems
        _add_table(listed, table)
    return listed


def _add_model(listed: Listed, experiment: Experiment) -> None:
    listed.has_encoder = (experiment.path / MODEL_FILE).is_file()
    # The folds of a cross-validation have one each.
    listed.has_model = listed.has_encoder or bool(experiment.look_up("folds"))
    listed.has_mask_head = listed.has_model and bool(experiment.config.get("model.mask_head"))


def _split(experiment: Experiment) -> Iterator[tuple[str, Strip]]:
    file = experiment.path / SPLIT_FILE
    if file.is_file():  # a cross-validation has one for each fold
        for _, row in read_records(file, ("image_id", "split")):
            yield row["image_id"], Strip(row["split"])


def _predicted(experiment: Experiment) -> Iterator[tuple[str, Strip]]:
    file = experiment.path / PREDICTIONS_FILE
    if not file.is_file():
        return
    rows = [row for _, row in read_records(file, ("image_id", "split"))]
    novelty = {row["image_id"]: _number(row.get(_SCORE, "")) for row in rows}
    for part in sorted({row["split"] for row in rows}):
        decisions = decisions_of(experiment, read_predictions(experiment, part))
        for image_id, strip in _of_part(decisions, part):
            strip.novelty = novelty[image_id]
            yield image_id, strip


def _of_part(part: Decisions, name: str) -> Iterator[tuple[str, Strip]]:
    suspects = {}
    if name != _TRAIN:  # a model agrees with what it was trained on
        ranked = rank_label_errors(
            part.image_ids, part.labels, part.probabilities, part.class_names
        )
        suspects = {one.image_id: round(one.disagreement, _DIGITS) for one in ranked}
    thresholds = np.array(list(part.thresholds.values()))
    margins = np.abs(part.probabilities - thresholds).min(axis=1).round(_DIGITS).tolist()
    probabilities = part.probabilities.round(_DIGITS).tolist()
    for row, image_id in enumerate(part.image_ids):
        yield (
            image_id,
            Strip(
                name,
                _numbers(part.labels[row]),
                _numbers(part.predicted[row]),
                probabilities[row],
                suspects.get(image_id),
                margins[row],
            ),
        )


def _scored(experiment: Experiment) -> Iterator[tuple[str, Strip]]:
    """The strips that a detector of novelty was tested on, or its threshold was set on."""
    names = experiment.class_names
    for _, row in read_records(experiment.path / _SCORES_FILE, ("image", "part", "score")):
        labels = [c for c, name in enumerate(names) if row.get(name) == "1"]
        # The file names a path of the machine that wrote it: only the name counts.
        image_id = Path(row["image"]).name
        yield image_id, Strip(row["part"], labels, novelty=_number(row["score"]))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _numbers(row: np.ndarray) -> list[int]:
    return np.flatnonzero(row).tolist()


def _add_table(listed: Listed, table: LabelTable) -> None:
    """Where images are, and the labels of those that nothing else says."""
    listed.has_masks = table.masks is not None
    rows = zip(table.image_ids, table.image_paths, table.labels, strict=True)
    for image_id, path, labels in rows:
        listed.files[image_id] = str(path)
        strip = listed.strips.get(image_id)
        if strip is not None and strip.labels is None:
            strip.labels = _numbers(labels)

"""predictions.csv: the probabilities of each held-out image, beside its labels."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.experiments.reading import Experiment
from core.files.reading import MEBIBYTE, read_bytes
from core.files.tables import read_records, read_table, write_table
from core.metrics.scored_predictions import check_predictions

PREDICTIONS_FILE = "predictions.csv"
# The column of the group of near-duplicates, where any were found.
GROUP = "group"
# A million images of four classes take 150 MiB.
_MOST_BYTES = 2048 * MEBIBYTE


@dataclass(frozen=True)
class Predictions:
    """Labels (images, classes), bool, and probabilities of one part, sorted by image id.

    `groups` (images,) are the numbers of groups of near-duplicates, None where none were found.
    """

    image_ids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray | None = None


def write_predictions(file: Path, parts: Mapping[str, Any], class_names: Sequence[str]) -> None:
    """Write image_id, split, a label and a probability per class, and the group if there are any.

    Each part has the fields of `Predictions`, in any order of its images.
    """
    grouped = all(part.groups is not None for part in parts.values())
    rows = (
        [image_id, split, *map(int, labels), *probabilities, *group]
        for split, part in parts.items()
        for image_id, labels, probabilities, group in zip(
            part.image_ids,
            part.labels,
            part.probabilities,
            part.groups.reshape(-1, 1).tolist() if grouped else [()] * len(part.labels),
            strict=True,
        )
    )
    header = ["image_id", "split", *value_columns(class_names), *([GROUP] if grouped else [])]
    write_table(file, header, rows)


def read_predictions(experiment: Experiment, split: str = "test") -> Predictions:
    """Read and check the predictions of one part of the split.

    Raises InputError for missing columns, an image twice, impossible values, or other images than
    results.json counted.
    """
    file, names = experiment.path / PREDICTIONS_FILE, experiment.class_names
    rows = sorted(read_rows(file, names, split))
    if not rows:
        raise InputError(f"{file} has no row with split {split!r}")
    image_ids = tuple(image_id for image_id, _ in rows)
    for image_id, following in itertools.pairwise(image_ids):
        if image_id == following:
            raise InputError(f"{file}: image {image_id} occurs twice in split {split!r}")
    values = np.array([row for _, row in rows])
    try:
        checked = check_predictions(values[:, : len(names)], values[:, len(names) :], names)
    except InputError as error:
        raise InputError(f"{file}, split {split!r} sorted by image: {error}") from None
    found = {(split, "num_images"): ("images", len(rows))}
    for name, support in zip(names, checked[0].sum(axis=0), strict=True):
        found[split, "per_class", name, "support"] = (f"images of {name}", support)
    for keys, (what, number) in found.items():
        counted = experiment.look_up(*keys)
        if counted is not None and counted != number:
            raise InputError(
                f"{file} has {number} {what} in split {split!r}; results.json counted {counted}"
            )
    groups = read_groups(file, split)
    if groups is None:
        return Predictions(image_ids, *checked)
    return Predictions(image_ids, *checked, np.array([groups[name] for name in image_ids]))


def value_columns(class_names: Sequence[str]) -> list[str]:
    """The columns of numbers: a label of each class, then a probability of each."""
    return [f"{what}_{name}" for what in ("label", "probability") for name in class_names]


def read_rows(file: Path, class_names: Sequence[str], split: str) -> list[tuple[str, list[float]]]:
    """Image id and `value_columns`, which must be numbers, of each row of one part, in order."""
    rows, columns = [], value_columns(class_names)
    for line, row in read_records(file, ("image_id", "split", *columns), _MOST_BYTES):
        if row["split"] == split:
            try:
                rows.append((row["image_id"], [float(row[column]) for column in columns]))
            except ValueError as error:
                raise InputError(f"{file} line {line}: {error}") from None
    return rows


def read_groups(file: Path, split: str) -> dict[str, int] | None:
    """Group of near-duplicates of each image of one part; None where none were found.

    Files of older versions have none. Raises InputError for what is no number.
    """
    groups: dict[str, int] = {}
    for line, row in read_records(file, ("image_id", "split"), _MOST_BYTES):
        if GROUP not in row:
            return None
        if row["split"] == split:
            try:
                groups[row["image_id"]] = int(row[GROUP])
            except ValueError:
                raise InputError(
                    f"{file} line {line}: {GROUP} {row[GROUP][:40]!r}; expected a whole number"
                ) from None
    return groups


def images_key(experiment: Experiment) -> str:
    """Equal for two experiments if, and only if, they were tested on the same images.

    It holds the fingerprint of the data set and the ids of the test images; where predictions.csv
    cannot be read, what results.json says about the split.
    """
    fingerprint = str(experiment.look_up("data", "fingerprint"))
    try:
        ids = b"\n".join(sorted(_test_ids(experiment.path / PREDICTIONS_FILE)))
    except InputError:
        return f"{fingerprint} {split_key(experiment)}"
    return f"{fingerprint} {hashlib.sha256(ids).hexdigest()}"


def _test_ids(file: Path) -> list[bytes]:
    """The ids of the test images, as they are written."""
    content = read_bytes(file, _MOST_BYTES)
    if b'"' in content:  # a cell with a comma
        cells = (row for _, row in read_table(file, _MOST_BYTES))
        return [row[0].encode() for row in cells if row[1:2] == ["test"]]
    # A thousand of these files are read at once: skip parsing their numbers, and the rows of the
    # validation part, which come first.
    start = content.rfind(b"\n", 0, max(content.find(b",test,"), 0)) + 1
    rows = (row.split(b",", 2) for row in content[start:].splitlines())
    return [row[0] for row in rows if row[1:2] == [b"test"]]


def split_key(experiment: Experiment) -> str:
    """What results.json says about the split of the data; equal keys are equal splits."""
    split = experiment.look_up("data", "split") or {}
    described = (
        experiment.look_up("data", "fingerprint"),
        split.get("strategy"),
        split.get("seed"),
        experiment.look_up("config", "data", "split_file"),
        experiment.look_up("config", "data", "group_duplicates"),
        (split.get("parts") or {}).get("test"),
    )
    return repr(described)

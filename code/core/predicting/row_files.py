"""Rows of predictions as CSV or as JSON lines, by the file's suffix."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from core.errors import InputError
from core.experiments.predictions import PREDICTIONS_FILE
from core.experiments.reading import RESULTS_FILE
from core.files.overwriting import check_replaceable, first_line
from core.files.tables import write_cells
from core.files.writing import replacing
from core.predicting.outcome import Outcome
from core.predicting.signature import Signature
from core.predicting.stream import Row


def check_output(path: Path, force: bool = False) -> None:
    """Raises InputError for a file that could not or must not be written, before any work is done.

    A file that this module wrote is replaced; any other one only with `force`, and the
    predictions.csv of an experiment never.
    """
    if path.suffix.lower() not in _WRITERS:
        raise InputError(
            f"--output {path}: unknown suffix {path.suffix!r}; expected {' or '.join(_WRITERS)}"
        )
    if path.name == PREDICTIONS_FILE and (path.parent / RESULTS_FILE).is_file():
        raise InputError(
            f"--output {path}: holds the predictions that the experiment was tested by: give "
            "another file"
        )
    check_replaceable(path, "--output", _is_own, force)


def _is_own(path: Path) -> bool:
    """Whether the file begins as those written here, which no other file does."""
    line = first_line(path)
    if path.suffix.lower() == ".csv":
        names = [
            name[len(_PROBABILITY) :] for name in _cells(line) if name.startswith(_PROBABILITY)
        ]
        own, cells = _header(names), _cells(line)
        # Columns may be added before the last one.
        return bool(names) and [*cells[: len(own) - 1], *cells[-1:]] == own
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and list(content)[: len(_KEYS)] == _KEYS


def write_rows(
    path: Path, rows: Iterable[Row], signature: Signature, columns: Sequence[str] = ()
) -> Outcome:
    """Write every row, the file whole or not at all. Raises InputError where it cannot be.

    `columns` name the cells that were added to the rows.
    """
    outcome = Outcome(signature)
    write = _WRITERS[path.suffix.lower()]
    try:
        with (
            replacing(path) as temporary,
            # A path need not be valid UTF-8.
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
        ):
            write(stream, outcome.counted(rows), signature, columns)
            if not outcome.num_images:  # a folder or a glob without images was refused before
                raise InputError("-: standard input names no image; expected one path per line")
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written ({error.strerror})") from None
    return outcome


def _write_csv(
    stream: TextIO, rows: Iterable[Row], signature: Signature, columns: Sequence[str]
) -> None:
    names = signature.class_names
    *header, last = _header(names)
    header = [*header, *columns, last]
    versions = (signature.model, signature.threshold_version)

    def cells(row: Row) -> list[Any]:
        if row.probabilities is None:
            return [""] * (2 * len(names))
        found = row.probabilities >= signature.thresholds
        return [*map(float, row.probabilities), *map(int, found)]

    def added(row: Row) -> Sequence[Any]:
        return row.added or [""] * len(columns)

    table = ([row.image, *cells(row), *versions, *added(row), row.error] for row in rows)
    write_cells(stream, header, table, float_format="")


def _header(class_names: Sequence[str]) -> list[str]:
    columns = [f"{what}{name}" for what in (_PROBABILITY, "decision_") for name in class_names]
    return ["image", *columns, "model", "thresholds", "error"]


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _write_json_lines(
    stream: TextIO, rows: Iterable[Row], signature: Signature, columns: Sequence[str]
) -> None:
    for row in rows:
        content: dict[str, Any] = {"image": row.image, "probabilities": None, "decisions": None}
        if row.probabilities is not None:
            found = row.probabilities >= signature.thresholds
            for key, values in (("probabilities", row.probabilities), ("decisions", found)):
                content[key] = dict(zip(signature.class_names, values.tolist(), strict=True))
        versions = {"model": signature.model, "thresholds": signature.threshold_version}
        content |= {**versions, "error": row.error or None}
        content |= dict(zip(columns, row.added or [None] * len(columns), strict=True))
        stream.write(json.dumps(content, allow_nan=False) + "\n")


_PROBABILITY = "probability_"
_KEYS = ["image", "probabilities", "decisions", "model", "thresholds", "error"]
_WRITERS = {".csv": _write_csv, ".jsonl": _write_json_lines}

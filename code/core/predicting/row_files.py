"""Rows of predictions as CSV or as JSON lines, by the file's suffix."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from core.errors import InputError
from core.files.tables import write_cells
from core.files.writing import replacing
from core.predicting.signature import Signature
from core.predicting.stream import Row


def check_output(path: Path) -> None:
    """Raises InputError for a file that could not be written, before any work is done."""
    if path.suffix.lower() not in _WRITERS:
        raise InputError(
            f"--output {path}: unknown suffix {path.suffix!r}; expected {' or '.join(_WRITERS)}"
        )
    if path.is_dir():
        raise InputError(f"--output {path} is a folder; expected the name of a file")


@dataclass
class Outcome:
    """How many images there were, and how many of them could not be predicted."""

    num_images: int = 0
    num_errors: int = 0


def write_rows(path: Path, rows: Iterable[Row], signature: Signature) -> Outcome:
    """Write every row, the file whole or not at all. Raises InputError where it cannot be."""
    outcome = Outcome()

    def counted() -> Iterator[Row]:
        for row in rows:
            outcome.num_images += 1
            outcome.num_errors += bool(row.error)
            yield row

    write = _WRITERS[path.suffix.lower()]
    try:
        with (
            replacing(path) as temporary,
            # A path need not be valid UTF-8.
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
        ):
            write(stream, counted(), signature)
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written ({error.strerror})") from None
    return outcome


def _write_csv(stream: TextIO, rows: Iterable[Row], signature: Signature) -> None:
    names = signature.class_names
    columns = [f"probability_{name}" for name in names] + [f"decision_{name}" for name in names]
    versions = (signature.model, signature.threshold_version)

    def cells(row: Row) -> list[Any]:
        if row.probabilities is None:
            return [""] * len(columns)
        found = row.probabilities >= signature.thresholds
        return [*map(float, row.probabilities), *map(int, found)]

    table = ([row.image, *cells(row), *versions, row.error] for row in rows)
    write_cells(stream, ["image", *columns, "model", "thresholds", "error"], table, float_format="")


def _write_json_lines(stream: TextIO, rows: Iterable[Row], signature: Signature) -> None:
    for row in rows:
        content: dict[str, Any] = {"image": row.image, "probabilities": None, "decisions": None}
        if row.probabilities is not None:
            found = row.probabilities >= signature.thresholds
            for key, values in (("probabilities", row.probabilities), ("decisions", found)):
                content[key] = dict(zip(signature.class_names, values.tolist(), strict=True))
        versions = {"model": signature.model, "thresholds": signature.threshold_version}
        content |= {**versions, "error": row.error or None}
        stream.write(json.dumps(content, allow_nan=False) + "\n")


_WRITERS = {".csv": _write_csv, ".jsonl": _write_json_lines}

"""The paths that may be chosen in a form, by keys that the server makes.

A data set is one that was named when the workbench was started, or that an experiment used. Files
are those that experiments and reviews wrote.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.files.escaping import for_terminal
from core.workbench.index import ExperimentIndex

Places = dict[str, dict[str, str]]
_OF_PRETRAINING, _OF_TRAINING, _SPLIT = "encoder.safetensors", "model_final.pt", "split.csv"
_MOST = 200


def places(index: ExperimentIndex, data_root: Path | None = None) -> Places:
    """For each key of the config that takes a path: those that are there, by their keys."""
    rows = sorted(index.rows()[0], key=lambda row: str(row["values"].get("created")), reverse=True)
    reviews = sorted((index.results_dir / "reviews").glob("*.sqlite"))
    return {
        "data.root": _keyed(_data_roots(rows, data_root)),
        "data.split_file": _keyed(_files(index, rows, _SPLIT)),
        "data.corrections": _keyed([*map(str, filter(_is_plain, reviews)), *_used(rows)]),
        "model.weights": _keyed(
            [*_files(index, rows, _OF_PRETRAINING), *_files(index, rows, _OF_TRAINING)]
        ),
    }


def described(known: Places) -> dict[str, list[dict[str, str]]]:
    """The places as a page shows them."""
    return {
        key: [{"key": name, "label": for_terminal(path)} for name, path in paths.items()]
        for key, paths in known.items()
    }


def _data_roots(rows: list[dict[str, Any]], data_root: Path | None) -> Iterator[str]:
    if data_root is not None:
        yield str(data_root)
    used = (row["values"].get("data.root") for row in rows)
    for path in dict.fromkeys(path for path in used if isinstance(path, str)):
        if Path(path).is_dir():
            yield path


def _used(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        path = row["values"].get("data.corrections")
        if isinstance(path, str) and _is_plain(Path(path)):
            yield path


def _files(index: ExperimentIndex, rows: list[dict[str, Any]], name: str) -> Iterator[str]:
    for row in rows[:_MOST]:
        found = index.find(row["key"])
        if found is not None and _is_plain(found.path / name):
            yield str(found.path / name)


def _is_plain(path: Path) -> bool:
    """Whether it is a file, and no link, which may lead anywhere."""
    return path.is_file() and not path.is_symlink()


def _keyed(paths: Any) -> dict[str, str]:
    # Of an experiment that somebody sent: what OmegaConf would replace, or a home folder.
    usable = (path for path in paths if "${" not in path and not path.startswith("~"))
    return {hashlib.sha256(os.fsencode(path)).hexdigest()[:16]: path for path in usable}

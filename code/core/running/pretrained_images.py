"""Whether an encoder was pretrained on images that a training keeps for validation and test."""

import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from core.command.config import TrainConfig
from core.data.image_folder import EXTENSIONS
from core.data.label_table import LabelTable
from core.data.sources import find_sources, list_images
from core.data.split_file import PARTS, Split
from core.errors import InputError
from core.experiments.reading import look_up, read_results
from core.experiments.schema import PRETRAINING
from core.experiments.strips import SPLIT_FILE
from core.files.same_content import same_content
from core.files.tables import read_records
from core.models.weights import read_card
from core.predicting.image_list import ImageList

log = logging.getLogger(__name__)

_LEARNED = {"training": {"train"}, "training and test": {"train", "test"}}
"""The parts of a labelled data set that were learned from, by `data.part` of results.json."""


def check_unseen(config: TrainConfig, table: LabelTable, splits: Iterable[Split]) -> None:
    """Raise InputError where the encoder in model.weights was pretrained on held-out images.

    What it learned from is known by the results.json beside it. A pretraining with
    `data.allow_all=true` is not refused. Neither is a file of which nothing is known; a warning
    says so where its card names this data set.
    """
    pretrainings, splits = list(_pretrainings(config)), list(splits)
    if not pretrainings:
        _warn_of_unknown(config, table)
    for results, folder in pretrainings:
        if _allows_all(results):
            continue
        for split in splits:
            if seen := _seen(results, folder, table, split):
                images = "1 image" if len(seen) == 1 else f"{len(seen)} images"
                raise InputError(
                    f"model.weights={config.model['weights']}: was pretrained on {images} of the "
                    f"validation or test part, such as {min(seen)}: "
                    f"{_remedy(config, table, folder)} data.allow_all=true, which is recorded"
                )


def record_of_seen(config: TrainConfig, table: LabelTable, split: Split) -> dict[str, int]:
    """`held_out_images_seen`, where data.allow_all=true was given and some were; warns of it."""
    seen: set[str] = set()
    for results, folder in _pretrainings(config):
        if _allows_all(results):
            seen |= _seen(results, folder, table, split)
    if not seen:
        return {}
    log.warning(
        "model.weights=%s: was pretrained with data.allow_all=true on %d images of the validation "
        "or test part: the figures are too good",
        config.model["weights"], len(seen),
    )  # fmt: skip
    return {"held_out_images_seen": len(seen)}


def _warn_of_unknown(config: TrainConfig, table: LabelTable) -> None:
    weights = config.model.get("weights")
    if weights and read_card(weights).get("data_fingerprint") == table.fingerprint():
        log.warning(
            "model.weights=%s: was pretrained on images of data.root; whether validation or test "
            "images are among them is known only with the results.json and %s of its pretraining "
            "beside it",
            weights, SPLIT_FILE,
        )  # fmt: skip


def _pretrainings(config: TrainConfig) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """The pretraining in model.weights, the one that it went on from, and so on, by their folders.

    The results.json beside a file says so, if a pretraining wrote it.
    """
    weights, known = config.model.get("weights"), set()
    while weights and (folder := Path(weights).absolute().parent) not in known:
        known.add(folder)
        results = read_results(folder)
        if results.get("kind") != PRETRAINING:
            return
        yield results, folder
        weights = look_up(results, "config", "model", "weights")


def _allows_all(results: Mapping[str, Any]) -> bool:
    return bool(look_up(results, "config", "data", "allow_all"))


def _seen(results: Mapping[str, Any], folder: Path, table: LabelTable, split: Split) -> set[str]:
    """The ids of the held-out images that the pretraining in `folder` learned from."""
    held_out = np.concatenate([split["validation"], split["test"]]).tolist()
    parts = _LEARNED.get(str(look_up(results, "data", "part")))
    learned = None if parts is None else _ids_in(folder / SPLIT_FILE, parts)
    if learned is not None and look_up(results, "data", "fingerprint") == table.fingerprint():
        return learned & {table.image_ids[row] for row in held_out}
    by_path = {table.image_paths[row]: table.image_ids[row] for row in held_out}
    source = str(look_up(results, "data", "source"))
    files = _learned_files(source, learned)
    if (first := next(files, None)) is None:
        log.warning(
            "%s was pretrained on %s, which is not there any more: whether validation or test "
            "images were among them is not known", folder, source,
        )  # fmt: skip
        return set()
    files = chain([first], files)
    return {by_path[known] for _, known in same_content(files, by_path)}


def _ids_in(file: Path, parts: set[str]) -> set[str]:
    """The images of these parts of a split.csv; none where it is gone or damaged."""
    with suppress(InputError):
        rows = read_records(file, ("image_id", "split"))
        return {row["image_id"] for _, row in rows if row["split"] in parts}
    return set()


def _learned_files(source: str, ids: set[str] | None) -> Iterator[Path]:
    """The files that were learned from, as far as they are still where they were.

    Those of a labelled data set have these `ids`. A folder without labels counts as a whole, though
    the images that were watched were held out.
    """
    with suppress(InputError):
        if ids is None:
            nothing = io.StringIO()  # a list on the standard input of then is not known any more
            paths = map(Path, ImageList([source], EXTENSIONS, nothing))
            yield from (path for path in paths if path.is_file())
            return
        images = list_images(Path(source), find_sources(Path(source))[0])
        yield from (path for image_id, path in images.items() if image_id in ids)


def _remedy(config: TrainConfig, table: LabelTable, folder: Path) -> str:
    fits = _ids_in(folder / SPLIT_FILE, set(PARTS)) == set(table.image_ids)
    if fits and not config.training.folds:
        return (
            "take the split that it was pretrained with (data.split_strategy=file "
            f"data.split_file={folder / SPLIT_FILE}), or pretrain with"
        )
    return "pretrain on other images, or with"

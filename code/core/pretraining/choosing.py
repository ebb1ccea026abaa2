"""Which strips are learned from, which are watched, and which a probe is taken on."""

import hashlib
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.bit_depth import find_bit_depth
from core.data.fitting_size import fitting_size
from core.data.image_cache import open_images
from core.data.image_folder import EXTENSIONS
from core.data.images import ImageFormat
from core.data.settings import DataSettings
from core.data.sources import labelled_folders
from core.data.split_file import Split
from core.data.splitting import split_by_strategy
from core.errors import InputError
from core.files.same_content import same_content
from core.machine.distributed import first_before_others
from core.predicting.image_list import ImageList
from core.pretraining.settings import PretrainConfig, PretrainingData
from core.pretraining.strips import PathList, Strips
from core.running.experiment_record import LoadedData
from core.running.loading import read_data, with_image_size

log = logging.getLogger(__name__)

FEWEST = 4
"""Images: two to learn from, and two to watch."""
_WATCHED_SHARE = 10


@dataclass(frozen=True)
class Chosen:
    """Strips with the rows to learn from and to watch, and a labelled set with its split if any."""

    strips: Strips
    train: np.ndarray
    watched: np.ndarray
    image_format: ImageFormat
    fingerprint: str
    source: str
    part: str
    labelled: LoadedData | None = None
    split: Split | None = None


def choose_strips(config: PretrainConfig) -> Chosen:
    """Read what `data.*` names. Raises InputError for too few strips, or strips of a test part."""
    data, seed = config.data, config.experiment.seed
    labelled = split = None
    if data.unlabelled is None or data.root is not None:
        labelled, split = _read_labelled(data, seed)
    if data.unlabelled is not None:
        return _choose_unlabelled(data, seed, labelled, split)
    train = split["train"]
    if data.allow_all:
        train = np.setdiff1d(np.arange(len(labelled.table)), split["validation"])
    strips = Strips(labelled.images, labelled.table.image_ids, labelled.table.labels)
    source = str(labelled.table.root)
    watched = _some(split["validation"], data.watched_images, seed)
    if min(len(train), len(watched)) < 2:
        raise InputError(
            f"data.root={source}: {len(train)} training and {len(watched)} validation images; "
            "expected at least 2 of each"
        )
    return Chosen(
        strips,
        train,
        watched,
        labelled.image_format,
        labelled.table.fingerprint(),
        source,
        "training and test" if data.allow_all else "training",
        labelled,
        split,
    )


def _read_labelled(data: PretrainingData, seed: int) -> tuple[LoadedData, Split]:
    root = data.root or Path("data") / data.source
    settings = with_image_size(data.model_copy(update={"root": root}))
    loaded = read_data(settings)
    split = split_by_strategy(
        loaded.table, data.split_strategy, seed, data.split_file, groups=loaded.groups
    )
    return loaded, split


def _choose_unlabelled(
    data: PretrainingData, seed: int, labelled: LoadedData | None, split: Split | None
) -> Chosen:
    where = f"data.unlabelled={data.unlabelled}"
    try:
        paths = PathList(ImageList([data.unlabelled], EXTENSIONS, sys.stdin))
    except InputError as error:
        raise InputError(f"data.unlabelled: {error}") from None
    _check_number(where, len(paths))
    if not data.allow_all:
        check_no_labelled_folder(where, paths)
        if labelled is not None:
            test = np.setdiff1d(np.arange(len(labelled.table)), split["train"])
            check_unseen(where, paths, [labelled.table.image_paths[row] for row in test])
    data = settled(data, paths)
    with first_before_others():  # a cache may be filled
        images = open_images(paths, data)
    images.read(0)  # images of another size are refused before a folder is made
    # A tenth, but of a few images a quarter, or of fewer than 8 of those there would be no rank.
    held_out = max(2, len(paths) // _WATCHED_SHARE, min(8, len(paths) // 4))
    num_watched = min(data.watched_images, held_out)
    watched = _some(np.arange(len(paths)), num_watched, seed)
    return Chosen(
        Strips(images, paths),
        np.setdiff1d(np.arange(len(paths)), watched),
        watched,
        data.image_format,
        fingerprint(paths),
        data.unlabelled,
        "all",
        labelled,
        split,
    )


def _check_number(where: str, number: int) -> None:
    if number < FEWEST:
        images = "1 image" if number == 1 else f"{number} images"
        raise InputError(f"{where}: {images}; expected at least {FEWEST} to learn from")


def _some(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of the rows, drawn by the seed, in their order."""
    generator = np.random.default_rng(np.random.SeedSequence((seed, len(rows))))
    return np.sort(generator.permutation(rows)[:most])


def check_no_labelled_folder(where: str, paths: Iterable[Path]) -> None:
    """Raise InputError for images of a labelled data set, whose test part would be seen."""
    checked = set()
    for path in paths:
        if path.parent in checked:
            continue
        checked.add(path.parent)
        # As it is named, and where it is: `.` has no parents, and a link has others.
        for place in dict.fromkeys((path.parent.absolute(), path.parent.resolve())):
            for folder in list(place.parents)[:3]:
                _check_not_labelled_in(where, place, folder)


def _check_not_labelled_in(where: str, place: Path, folder: Path) -> None:
    for source, images in labelled_folders(folder):
        if place.is_relative_to(images):
            raise InputError(
                f"{where}: {images} is labelled by {folder / source}, and its test images "
                f"would be learned from: give data.root={folder} instead, whose training "
                "part is taken, or data.allow_all=true"
            )


def check_unseen(where: str, paths: Iterable[Path], unseen: Iterable[Path]) -> None:
    """Raise InputError for a file with the content of one that must stay unseen."""
    for path, same in same_content(paths, unseen):
        raise InputError(
            f"{where}: {path} is the image {same.name} of the validation or test part of "
            "data.root: leave such images out, or give data.allow_all=true"
        )


def settled(data: DataSettings, paths: PathList) -> DataSettings:
    """The settings by which these images are read, with numbers for what was `auto`.

    Raises InputError for a setting that only images of a labelled data set heed.
    """
    if data.on_bad_image == "skip" and data.root is None:
        raise InputError(
            "data.on_bad_image=skip: has no effect on data.unlabelled, whose images are read when "
            "they are needed: leave it out, and remove images that cannot be decoded"
        )
    data = data.model_copy(update={"root": Path(data.unlabelled)})  # for the place of a cache
    if data.resize == "auto":
        data = data.model_copy(update={"resize": fitting_size(paths)})
    depth = find_bit_depth(paths, data.bit_depth, data.image_format.image_size)
    return data.model_copy(update={"bit_depth": depth})


def fingerprint(paths: PathList) -> str:
    """SHA-256 over the names and sizes of the files."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            digest.update(f"{path.name}\0{path.stat().st_size}\n".encode())
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()

"""Which strips a detector learns from, which set its threshold, and which it is tested on."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.data.duplicate_groups import duplicate_groups
from core.data.duplicates import find_duplicate_pairs, kept_descriptors, warn_of_large_group
from core.data.image_cache import open_images
from core.data.image_folder import EXTENSIONS
from core.data.images import ImageFormat
from core.data.splitting import split_by_strategy
from core.errors import InputError
from core.files.threads import map_in_threads
from core.novelty.evaluation import KnownStrips
from core.novelty.settings import NoveltyConfig, NoveltyData
from core.predicting.image_list import ImageList
from core.pretraining.choosing import check_no_labelled_folder, check_unseen, fingerprint, settled
from core.pretraining.strips import PathList, Strips
from core.running.loading import read_data, with_image_size

log = logging.getLogger(__name__)

FEWEST_UNLABELLED = 5
_READERS = 2


@dataclass(frozen=True)
class Part:
    """Strips by their rows. Shape: rows (strips,), groups (strips,) of near-duplicates"""

    strips: Strips
    rows: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batch_size: int, bar: str = "") -> Iterator[Tensor]:
        """uint8 (batch, channels, height, width), read ahead."""
        read = self.strips.images.read
        images = map_in_threads(
            read, map(int, self.rows), num_threads=_READERS, ahead=2 * batch_size, bar=bar
        )
        group: list[np.ndarray] = []
        for number, image in enumerate(images, start=1):
            group.append(image)
            if len(group) == batch_size or number == len(self.rows):
                yield as_batch(group)
                group = []


@dataclass(frozen=True)
class Chosen:
    """Parts to fit on and to set the threshold with; `tested` are the strips of `test`.

    `image_format` is how all of them are read.
    """

    fit: Part
    threshold: Part
    test: Part
    tested: KnownStrips
    image_format: ImageFormat
    about: dict[str, str] = field(default_factory=dict)


def choose_strips(config: NoveltyConfig) -> Chosen:
    """Read what `data.*` names. Raises InputError for too few strips, or none without a defect."""
    data, seed = config.data, config.experiment.seed
    if data.unlabelled is None:
        for key in ("threshold_share", "held_out_share", "allow_all"):
            if getattr(data, key) != NoveltyData.model_fields[key].default:
                raise InputError(
                    f"data.{key}={getattr(data, key)}: has no effect without data.unlabelled: "
                    "leave it out"
                )
    labelled = None
    if data.unlabelled is None or data.root is not None:
        labelled = _choose_labelled(data, seed)
    if data.unlabelled is not None:
        return _choose_unlabelled(data, seed, labelled)
    for name, part in (("training", labelled.fit), ("validation", labelled.threshold)):
        if not len(part):
            raise InputError(
                f"data.root={labelled.about['source']}: no clean strips in the {name} part: a "
                "detector learns from strips without a defect"
            )
    return labelled


def _choose_labelled(data: NoveltyData, seed: int) -> Chosen:
    """Clean strips of the training and the validation part, and all of the test part."""
    root = data.root or Path("data") / data.source
    loaded = read_data(with_image_size(data.model_copy(update={"root": root})))
    table, groups = loaded.table, loaded.groups
    split = split_by_strategy(table, data.split_strategy, seed, data.split_file, groups=groups)
    groups = np.arange(len(table)) if groups is None else groups
    strips = Strips(loaded.images, table.image_paths, table.labels)
    clean = ~table.labels.astype(bool).any(axis=1)
    fit, threshold = (split[name][clean[split[name]]] for name in ("train", "validation"))
    parts = [Part(strips, rows, groups[rows]) for rows in (fit, threshold, split["test"])]
    tested = KnownStrips(table.labels[split["test"]], table.class_names, parts[2].groups)
    about = {"source": str(table.root), "fingerprint": table.fingerprint()}
    return Chosen(*parts, tested, loaded.image_format, about)


def _choose_unlabelled(data: NoveltyData, seed: int, labelled: Chosen | None) -> Chosen:
    where = f"data.unlabelled={data.unlabelled}"
    try:
        paths = PathList(ImageList([data.unlabelled], EXTENSIONS, sys.stdin))
    except InputError as error:
        raise InputError(f"data.unlabelled: {error}") from None
    if len(paths) < FEWEST_UNLABELLED:
        raise InputError(
            f"{where}: {len(paths)} images; expected at least {FEWEST_UNLABELLED}, to learn from, "
            "to set the threshold and to count false alarms on"
        )
    if not data.allow_all:
        check_no_labelled_folder(where, paths)
        if labelled is not None:
            check_unseen(where, paths, [labelled.test.strips.names[r] for r in labelled.test.rows])
    data = settled(data, paths)
    images = open_images(paths, data)
    images.read(0)  # images of another size are refused before a folder is made
    groups = _groups(paths, data)
    if labelled is not None and data.group_duplicates and not data.allow_all:
        _check_no_copies(where, paths, labelled, data)
    shares = (data.threshold_share, data.held_out_share)
    if labelled is not None:  # its test part takes the place of the second share
        shares = (sum(shares),)
    held_out = split_by_groups(groups, shares, seed)
    strips = Strips(images, paths)
    parts = [Part(strips, rows, groups[rows]) for rows in held_out]
    if not all(map(len, parts)):
        raise InputError(
            f"{where}: {len(paths)} images in {len(np.unique(groups))} groups of near-duplicates, "
            "which are too few to hold some out: give more, or data.group_duplicates=false"
        )
    about = {"source": data.unlabelled, "fingerprint": fingerprint(paths)}
    if labelled is None:
        unknown = KnownStrips(np.zeros((len(parts[2]), 0)), (), parts[2].groups)
        return Chosen(*parts, unknown, data.image_format, about)
    if labelled.image_format != data.image_format:
        raise InputError(
            f"data.root={data.root}: its images are read as {tuple(labelled.image_format)}, and "
            f"those of {where} as {tuple(data.image_format)}: give data.resize and data.bit_depth"
        )
    about["tested_on"] = str(data.root)
    return Chosen(*parts[:2], labelled.test, labelled.tested, data.image_format, about)


def _groups(paths: PathList, data: NoveltyData) -> np.ndarray:
    """The group of near-duplicates of each image."""
    if not data.group_duplicates:
        return np.arange(len(paths))
    described = kept_descriptors(list(paths), data.image_format, data.cache_folder)
    groups = duplicate_groups(len(paths), find_duplicate_pairs(described))
    warn_of_large_group(groups)
    return groups


def _check_no_copies(where: str, paths: PathList, labelled: Chosen, data: NoveltyData) -> None:
    """Raise InputError for a near-duplicate of a strip of the labelled test part."""
    tested = [Path(labelled.test.strips.names[row]) for row in labelled.test.rows]
    both = [*paths, *tested]
    described = kept_descriptors(both, data.image_format, data.cache_folder)
    for one, other in find_duplicate_pairs(described):
        if one < len(paths) <= other:
            raise InputError(
                f"{where}: {both[one]} shows the same strip as {both[other].name} of the test part "
                "of data.root: leave such images out, or give data.allow_all=true"
            )


def split_by_groups(groups: np.ndarray, shares: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Rows to fit on, then rows of each share, with each group in one of them.

    A group goes to the first share that has room for all of it, in a random order of groups.
    Shape: groups (strips,) of group numbers
    """
    generator = np.random.default_rng(np.random.SeedSequence((seed, len(groups))))
    room = [max(1, round(share * len(groups))) for share in shares]
    part_of = np.zeros(int(groups.max()) + 1, int)
    sizes = np.bincount(groups)
    for group in generator.permutation(np.flatnonzero(sizes)).tolist():
        for number, left in enumerate(room):
            if sizes[group] <= left:
                room[number] -= int(sizes[group])
                part_of[group] = number + 1
                break
    return [np.flatnonzero(part_of[groups] == part) for part in range(len(shares) + 1)]


def as_batch(images: list[np.ndarray]) -> Tensor:
    """uint8 (batch, channels, height, width) from (height, width) or (height, width, 3) each."""
    stacked = np.stack(images)
    planes = stacked[:, None] if stacked.ndim == 3 else stacked.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(planes))

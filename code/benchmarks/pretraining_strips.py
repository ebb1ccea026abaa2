"""The strips of the sweep over pretrainings: unlabelled ones, and few labelled ones by seed."""

import csv
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from core.data.class_names import CLASS_FILE
from core.data.sources import find_sources
from core.data.splitting import stratified_folds
from core.errors import InputError
from core.files.tables import write_table
from core.novelty.choosing import split_by_groups
from core.pretraining.settings import PretrainingData
from core.running.experiment_record import LoadedData
from core.running.loading import read_data
from core.synthetic.generator import StripSettings
from core.synthetic.store import ensure_strips

MOST_LABELLED, _VALIDATION = 600, 40
_UNLABELLED_SEED, _LABELLED_SEED, _SPLIT_SEED = 1000, 42, 0
_FOLDS, _TEST_FOLDS = 5, 2


class Labelled(NamedTuple):
    """A data set, the file of its split, and the number of its training strips."""

    root: Path
    split_file: Path
    num_train: int


@dataclass(frozen=True)
class ProceduralStrips:
    """Procedural strips with natural shares in a folder, drawn once.

    The test and validation parts are the same for all; labelled training strips are drawn from
    others by the seed, fewer being the first of more.
    """

    has_masks: ClassVar = True

    folder: Path
    size: tuple[int, int]
    num_unlabelled: int
    num_test: int

    def unlabelled(self) -> Path:
        """The folder of the unlabelled strips, which has no table."""
        folder = self.folder / "unlabelled"
        if not folder.exists():
            settings = StripSettings(self.num_unlabelled, self.size, seed=_UNLABELLED_SEED)
            _link(_images(ensure_strips(self.folder / "drawn", settings)), folder)
        return folder

    def labelled(self, number: int, seed: int) -> Labelled:
        """A data set with so many training strips."""
        total = MOST_LABELLED + _VALIDATION + self.num_test
        source = ensure_strips(
            self.folder / "drawn", StripSettings(total, self.size, seed=_LABELLED_SEED)
        )
        images = _images(source)
        names = np.random.default_rng(0).permutation(sorted(images)).tolist()
        pool, others = names[:MOST_LABELLED], names[MOST_LABELLED:]
        parts = {
            "train": np.random.default_rng(seed).permutation(pool)[:number].tolist(),
            "validation": others[:_VALIDATION],
            "test": others[_VALIDATION:],
        }
        return _labelled(self.folder / f"labelled_{number}_{seed}", source, images, parts)


@dataclass(frozen=True)
class Photographs:
    """A labelled data set of photographs: two fifths are tested, the others are learned from.

    Near-duplicates are in one part. Those that are learned from serve as the unlabelled ones too;
    some of each class, drawn by the seed, keep their labels, fewer being the first of more.
    """

    folder: Path
    root: Path
    size: tuple[int, int]

    @cached_property
    def _data(self) -> LoadedData:
        data = read_data(PretrainingData(root=self.root, resize=self.size, missing_masks="ignore"))
        if not data.table.source.endswith(".csv"):
            raise InputError(
                f"--data-root {self.root}: its labels are in {data.table.source}; expected a "
                "train.csv or labels.csv"
            )
        return data

    @property
    def has_masks(self) -> bool:
        """Whether a mask head can be trained."""
        return self._data.table.masks is not None

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        """The rows of each part, of which `train` are all that may be labelled."""
        table, groups = self._data.table, self._data.groups
        folds = stratified_folds(table.labels, _FOLDS, _SPLIT_SEED, groups, table.class_names)
        others = np.flatnonzero(folds >= _TEST_FOLDS)
        if len(others) <= 2 * _VALIDATION:
            raise InputError(
                f"--data-root {self.root}: {len(others)} images to learn from; expected more than "
                f"twice the {_VALIDATION} of the validation part"
            )
        group_of = others if groups is None else groups[others]
        train, validation = split_by_groups(group_of, (_VALIDATION / len(others),), _SPLIT_SEED)
        test = np.flatnonzero(folds < _TEST_FOLDS)
        return {"train": others[train], "validation": others[validation], "test": test}

    @cached_property
    def _images(self) -> dict[str, Path]:
        table = self._data.table
        return dict(zip(table.image_ids, table.image_paths, strict=True))

    def _names(self, rows: np.ndarray) -> list[str]:
        return [self._data.table.image_ids[row] for row in rows]

    def unlabelled(self) -> Path:
        """The folder of all images that may be learned from, which has no table."""
        folder = self.folder / "unlabelled"
        if not folder.exists():
            names = self._names(self._rows["train"])
            _link({name: self._images[name] for name in names}, folder)
        return folder

    def labelled(self, number: int, seed: int) -> Labelled:
        """A data set with so many training images of each class, and of clean ones.

        Of a class with fewer, all are taken.
        """
        pool = np.random.default_rng(seed).permutation(self._rows["train"])
        labels = self._data.table.labels[pool] > 0
        kinds = [*labels.T, ~labels.any(axis=1)]
        chosen = np.unique(np.concatenate([pool[kind][:number] for kind in kinds]))
        rows = {**self._rows, "train": chosen}
        parts = {part: self._names(members) for part, members in rows.items()}
        folder = self.folder / f"labelled_{number}_{seed}"
        return _labelled(folder, self.root, self._images, parts)


def _images(source: Path) -> dict[str, Path]:
    return {path.name: path for path in (source / "train_images").iterdir()}


def _labelled(
    folder: Path, source: Path, images: Mapping[str, Path], parts: Mapping[str, list[str]]
) -> Labelled:
    """The strips of these parts with their labels in `source`, and the file of the split."""
    part_of = {name: part for part, members in parts.items() for name in members}
    if not folder.exists():
        _link({name: images[name] for name in part_of}, folder, source)
    split_file = folder.with_suffix(".csv")
    write_table(split_file, ("image_id", "split"), sorted(part_of.items()))
    return Labelled(folder, split_file, len(parts["train"]))


def _image_of(header: list[str]) -> Callable[[list[str]], str]:
    """The image's id in a row of a table with this header."""
    if header[0] == "ImageId_ClassId":  # the older form of train.csv
        return lambda row: row[0].rpartition("_")[0]
    place = header.index("ImageId")
    return lambda row: row[place]


def _link(images: Mapping[str, Path], folder: Path, source: Path | None = None) -> None:
    """Links to these images in a folder; as a data set with their rows, where it has a source.

    The folder is whole or not there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".links."))
    links = temporary if source is None else temporary / "train_images"
    for name, path in images.items():
        (links / name).parent.mkdir(parents=True, exist_ok=True)
        (links / name).symlink_to(path.resolve())
    if source is not None:
        for name in (name for name in find_sources(source) if name.endswith(".csv")):
            with (source / name).open(newline="") as file:
                header, *rows = csv.reader(file)
            image_of = _image_of(header)
            write_table(temporary / name, header, [row for row in rows if image_of(row) in images])
        if (source / CLASS_FILE).exists():
            shutil.copyfile(source / CLASS_FILE, temporary / CLASS_FILE)
    try:
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

"""The strips of the sweep over pretrainings: unlabelled ones, and few labelled ones by seed."""

import csv
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.files.tables import write_table
from core.synthetic.generator import StripSettings
from core.synthetic.store import ensure_strips

MOST_LABELLED, _VALIDATION = 600, 40
_UNLABELLED_SEED, _LABELLED_SEED = 1000, 42
_HEADER = ("ImageId", "ClassId", "EncodedPixels")


@dataclass(frozen=True)
class SweepStrips:
    """Procedural strips with natural shares in a folder, drawn once.

    The test and validation parts are the same for all; labelled training strips are drawn from
    others by the seed, fewer being the first of more.
    """

    folder: Path
    size: tuple[int, int]
    num_unlabelled: int
    num_test: int

    def unlabelled(self) -> Path:
        """The folder of the unlabelled strips, which has no table."""
        folder = self.folder / "unlabelled"
        if not folder.exists():
            settings = StripSettings(self.num_unlabelled, self.size, seed=_UNLABELLED_SEED)
            _link(ensure_strips(self.folder / "drawn", settings), folder, None)
        return folder

    def labelled(self, number: int, seed: int) -> tuple[Path, Path]:
        """A data set with so many training strips, and the file of its split."""
        folder = self.folder / f"labelled_{number}_{seed}"
        split_file = folder.with_suffix(".csv")
        total = MOST_LABELLED + _VALIDATION + self.num_test
        source = ensure_strips(
            self.folder / "drawn", StripSettings(total, self.size, seed=_LABELLED_SEED)
        )
        names = sorted(path.name for path in (source / "train_images").iterdir())
        names = np.random.default_rng(0).permutation(names).tolist()
        pool, others = names[:MOST_LABELLED], names[MOST_LABELLED:]
        parts = {
            "train": np.random.default_rng(seed).permutation(pool)[:number].tolist(),
            "validation": others[:_VALIDATION],
            "test": others[_VALIDATION:],
        }
        part_of = {name: part for part, members in parts.items() for name in members}
        if not folder.exists():
            _link(source, folder, set(part_of))
        write_table(split_file, ("image_id", "split"), sorted(part_of.items()))
        return folder, split_file


def _link(source: Path, folder: Path, names: set[str] | None) -> None:
    """The strips of a data set with these names as links, with their rows; without names, all of
    them, without a table. The folder is whole or not there.
    """
    temporary = Path(tempfile.mkdtemp(dir=source.parent, prefix=".links."))
    images = temporary if names is None else temporary / "train_images"
    images.mkdir(exist_ok=True)
    for path in (source / "train_images").iterdir():
        if names is None or path.name in names:
            os.link(path, images / path.name)
    if names is not None:
        with (source / "train.csv").open(newline="") as file:
            rows = [list(row.values()) for row in csv.DictReader(file) if row["ImageId"] in names]
        write_table(temporary / "train.csv", _HEADER, rows)
    try:
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

"""The stratified split of a table as long as that of the real data set."""

from functools import partial
from pathlib import Path

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

from benchmarks.measurement import Contender
from benchmarks.options import Options
from core.data.splitting import StratifiedSplitter

ITEM = "table"
NUM_STRIPS = 12568
# Images per class of the labelled strips.
COUNTS = (897, 247, 5150, 801)


def contenders(options: Options, folder: Path) -> list[Contender]:
    """The library's two-way split first, done twice."""
    labels = label_table(NUM_STRIPS)
    pairs = np.arange(NUM_STRIPS)
    pairs[1:200:2] = pairs[0:200:2]
    ours = StratifiedSplitter(0).split
    ways = {
        "iterative-stratification, twice": partial(plain_split, labels),
        "ours, sizes and classes evened out": partial(ours, labels),
        "ours, 100 pairs of duplicates kept together": partial(ours, labels, groups=pairs),
    }
    return [Contender(name, split, 1) for name, split in ways.items()]


def label_table(num_strips: int) -> np.ndarray:
    """Multi-hot labels with the shares of the real ones, drawn independently."""
    generator = np.random.default_rng(0)
    return (generator.random((num_strips, len(COUNTS))) < np.array(COUNTS) / NUM_STRIPS).astype(int)


def plain_split(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """70 %, then the rest in halves, as in the documentation of the library."""
    first = MultilabelStratifiedShuffleSplit(1, test_size=0.3, random_state=0)
    train, rest = next(first.split(labels, labels))
    second = MultilabelStratifiedShuffleSplit(1, test_size=0.5, random_state=0)
    validation, test = next(second.split(labels[rest], labels[rest]))
    return train, rest[validation], rest[test]

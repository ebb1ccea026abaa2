import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.duplicate_groups import duplicate_groups
from core.data.label_table import LabelTable
from core.data.splitting import StratifiedSplitter, split_by_strategy, stratified_folds
from core.errors import InputError

RATIOS = {"stratified_70_15_15": (0.7, 0.15, 0.15), "stratified_80_10_10": (0.8, 0.1, 0.1)}


def table_of(labels: np.ndarray) -> LabelTable:
    names = tuple(f"defect_{number}" for number in range(1, labels.shape[1] + 1))
    ids = tuple(f"{number:05d}.jpg" for number in range(len(labels)))
    return LabelTable((), ids, labels, names, None, "test")


@pytest.fixture(scope="module")
def severstal(shared_file) -> tuple[np.ndarray, np.ndarray]:
    """Labels of all strips, and groups of the known pairs."""
    frame = pd.read_csv(shared_file("data/severstal_labels.csv"))
    positions = {image_id: index for index, image_id in enumerate(frame["ImageId"])}
    ids = shared_file("data/severstal_duplicate_pairs.txt").read_text().split()
    indices = [positions[image_id] for image_id in ids]
    pairs = list(zip(indices[::2], indices[1::2], strict=True))
    assert len(pairs) == 44
    labels = frame[["c1", "c2", "c3", "c4"]].to_numpy(np.uint8)
    return labels, duplicate_groups(len(labels), pairs)


def part_numbers(parts: list[np.ndarray]) -> np.ndarray:
    numbers = np.full(sum(map(len, parts)), -1)
    for number, indices in enumerate(parts):
        numbers[indices] = number
    assert (numbers >= 0).all()
    return numbers


def straddling(numbers: np.ndarray, groups: np.ndarray) -> int:
    """How many groups have images of several numbers."""
    return int((pd.Series(numbers).groupby(groups).nunique() > 1).sum())


def deviations(
    labels: np.ndarray, numbers: np.ndarray, ratios: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far counts of classes, clean images and all are from their shares, and the shares."""
    clean = labels.sum(axis=1, keepdims=True) == 0
    columns = np.hstack([labels, clean, np.ones_like(clean)]).astype(int)
    counts = np.array([columns[numbers == part].sum(axis=0) for part in range(len(ratios))])
    shares = np.outer(ratios, columns.sum(axis=0))
    return np.abs(counts - shares), shares


@pytest.mark.parametrize("strategy", RATIOS)
@pytest.mark.parametrize("seed", [0, 42])
def test_known_pairs_stay_together_and_classes_keep_their_shares(severstal, strategy, seed):
    labels, groups = severstal
    split = split_by_strategy(table_of(labels), strategy, seed, groups=groups)
    numbers = part_numbers(list(split.values()))
    pairs = np.flatnonzero(np.bincount(groups)[groups] > 1)
    assert len(pairs) == 88
    assert straddling(numbers[pairs], groups[pairs]) == 0
    deviation, shares = deviations(labels, numbers, np.array(RATIOS[strategy]))
    assert (deviation <= np.maximum(0.02 * shares, 2)).all()
    assert deviation.max() < 2


def test_the_split_without_groups_tears_some_of_the_known_pairs_apart(severstal):
    labels, groups = severstal
    numbers = part_numbers(StratifiedSplitter(0).split(labels))
    pairs = np.flatnonzero(np.bincount(groups)[groups] > 1)
    assert straddling(numbers[pairs], groups[pairs]) > 5


@pytest.mark.slow
@given(st.integers(0, 2**32), st.integers(600, 12_000), st.sampled_from(sorted(RATIOS)))
@settings(deadline=None, max_examples=8)
def test_random_groups_of_all_strips(severstal, seed, num_groups, strategy):
    labels, _ = severstal
    groups = np.random.default_rng(seed).integers(0, num_groups, len(labels))
    ratios = np.array(RATIOS[strategy])
    numbers = part_numbers(StratifiedSplitter(seed).split(labels, ratios, groups=groups))
    assert straddling(numbers, groups) == 0
    deviation, shares = deviations(labels, numbers, ratios)
    assert (deviation <= np.maximum(0.02 * shares, 2)).all()


@st.composite
def grouped_labels(choose: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and groups of any sizes; each class is in ten groups at least."""
    num_classes = choose(st.integers(1, 4))
    num_groups = choose(st.integers(10 * num_classes, 60))
    sizes = choose(st.lists(st.integers(1, 8), min_size=num_groups, max_size=num_groups))
    groups = np.repeat(np.arange(num_groups), sizes)
    generator = np.random.default_rng(choose(st.integers(0, 2**32)))
    labels = (generator.random((len(groups), num_classes)) < 0.15).astype(np.uint8)
    for number in range(num_classes):
        labels[np.isin(groups, range(10 * number, 10 * number + 10)), number] = 1
    order = generator.permutation(len(groups))
    return labels[order], groups[order] * 7 - 3


@pytest.mark.slow
@given(grouped_labels(), st.integers(0, 2**63), st.integers(2, 10))
@settings(deadline=None, max_examples=30)
def test_no_group_straddles_and_no_part_or_fold_is_empty(case, seed, num_folds):
    labels, groups = case
    parts = StratifiedSplitter(seed).split(labels, groups=groups)
    assert all(len(part) for part in parts)
    assert straddling(part_numbers(parts), groups) == 0
    folds = stratified_folds(labels, num_folds, seed, groups)
    assert np.unique(folds).tolist() == list(range(num_folds))
    assert straddling(folds, groups) == 0
    np.testing.assert_array_equal(folds, stratified_folds(labels, num_folds, seed, groups))


def test_classes_of_large_groups_are_mostly_within_one_of_their_share():
    """As of photographs under several lights; exchanges alone end up to six images away."""
    largest = []
    for seed in range(15):
        generator = np.random.default_rng(seed)
        sizes = np.r_[np.ones(150, int), generator.integers(2, 16, 60)]
        groups = np.repeat(np.arange(len(sizes)), sizes)
        labels = np.eye(9, dtype=np.uint8)[generator.integers(0, 9, len(sizes)), :5][groups]
        numbers = part_numbers(StratifiedSplitter(seed).split(labels, groups=groups))
        assert straddling(numbers, groups) == 0
        deviation, _ = deviations(labels, numbers, np.array(RATIOS["stratified_70_15_15"]))
        largest.append(deviation[:, :5].max())
    assert np.median(largest) <= 1


def test_a_split_that_is_further_from_a_share_is_told(caplog):
    caplog.set_level("INFO")
    labels, groups = np.ones((30, 1), np.uint8), np.repeat(np.arange(3), 10)
    split_by_strategy(table_of(labels), "stratified_70_15_15", 0, groups=groups)
    message = caplog.records[-1].getMessage()
    assert "validation has 10 images of defect_1, and its share is 4.5" in message
    caplog.clear()
    split_by_strategy(table_of(labels), "stratified_70_15_15", 0)
    assert not caplog.records


def test_groups_of_one_image_change_nothing(severstal):
    labels = severstal[0][:1500]
    alone = StratifiedSplitter(7).split(labels)
    grouped = StratifiedSplitter(7).split(labels, groups=np.arange(1500))
    for one, other in zip(alone, grouped, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_class_in_too_few_groups_is_refused_by_name():
    labels = np.zeros((40, 2), np.uint8)
    labels[:20, 0] = 1
    labels[30:34, 1] = 1
    groups = np.arange(40)
    groups[30:33] = 99
    with pytest.raises(InputError, match="defect_2 has 4 images in 2 groups of near-duplicates"):
        split_by_strategy(table_of(labels), "stratified_70_15_15", 0, groups=groups)
    with pytest.raises(InputError, match="data set has 40 images in 1 group of"):
        StratifiedSplitter().split(labels, groups=np.zeros(40, int))


@pytest.mark.parametrize("groups", [np.zeros(8, int), np.zeros((9, 1), int), np.zeros(9)])
def test_groups_that_are_no_number_per_image_are_refused(groups):
    with pytest.raises(InputError, match="groups of shape"):
        StratifiedSplitter().split(np.ones((9, 1), np.uint8), groups=groups)


@pytest.mark.parametrize(
    ("groups", "warned"),
    [
        ([0, 1, 2, 0, 3, 1], "2 groups of near-duplicates .* such as 00000.jpg .train. and 00003"),
        ([5, 5, 0, 1, 2, 3], None),
        (None, None),
    ],
)
def test_a_split_file_that_tears_groups_apart_is_told(tmp_path, caplog, groups, warned):
    table = table_of(np.ones((6, 1), np.uint8))
    path = tmp_path / "split.csv"
    parts = ["train", "train", "train", "test", "validation", "test"]
    rows = [f"{image_id},{part}" for image_id, part in zip(table.image_ids, parts, strict=True)]
    path.write_text("\n".join(["image_id,split", *rows, ""]))
    groups = None if groups is None else np.array(groups)
    split_by_strategy(table, "file", 0, path, groups)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (warned is not None)
    if warned:
        assert re.search(warned, messages[0])


@pytest.mark.parametrize(
    "num_folds", [2, *(pytest.param(number, marks=pytest.mark.slow) for number in (5, 10))]
)
def test_folds_keep_pairs_together_and_classes_spread(severstal, num_folds):
    labels, groups = severstal
    folds = stratified_folds(labels, num_folds, 3, groups)
    pairs = np.flatnonzero(np.bincount(groups)[groups] > 1)
    assert straddling(folds[pairs], groups[pairs]) == 0
    deviation, shares = deviations(labels, folds, np.full(num_folds, 1 / num_folds))
    assert (deviation <= np.maximum(0.02 * shares, 2)).all()
    assert folds.tolist() != stratified_folds(labels, num_folds, 4, groups).tolist()


def test_folds_that_cannot_show_every_class_are_refused_by_name():
    labels = np.zeros((30, 2), np.uint8)
    labels[:10, 0] = 1
    labels[10:14, 1] = 1
    assert len(stratified_folds(labels, 4, 0)) == 30
    with pytest.raises(
        InputError, match="crack has 4 images; expected at least 5, one for each fold"
    ):
        stratified_folds(labels, 5, 0, class_names=["pit", "crack"])
    groups = np.arange(30)
    groups[10:12] = 50
    with pytest.raises(InputError, match="class 2 has 4 images in 3 groups"):
        stratified_folds(labels, 4, 0, groups)
    with pytest.raises(InputError, match="1 folds; expected at least 2"):
        stratified_folds(labels, 1, 0)
    with pytest.raises(InputError, match="3 images to split; expected at least 4"):
        stratified_folds(labels[:3], 4, 0)

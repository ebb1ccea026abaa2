import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.data.label_table import LabelTable
from core.data.splitting import StratifiedSplitter, split_by_strategy
from core.data.stratification import target_counts
from core.errors import InputError

RATIOS = {
    "stratified_70_15_15": (0.7, 0.15, 0.15),
    "stratified_80_10_10": (0.8, 0.1, 0.1),
    "stratified_34_16_50": (0.34, 0.16, 0.5),
}


def table_of(labels: np.ndarray) -> LabelTable:
    names = tuple(f"defect_{number}" for number in range(1, labels.shape[1] + 1))
    ids = tuple(f"{number:05d}.jpg" for number in range(len(labels)))
    return LabelTable((), ids, labels, names, None, "test")


@pytest.fixture(scope="module")
def severstal_labels(shared_file) -> np.ndarray:
    frame = pd.read_csv(shared_file("data/severstal_labels.csv"))
    return frame[["c1", "c2", "c3", "c4"]].to_numpy(np.uint8)


@pytest.mark.parametrize("strategy", RATIOS)
@pytest.mark.parametrize("seed", [0, 42, 123456789])
def test_classes_clean_strips_and_sizes_are_within_one_of_their_share(
    severstal_labels, strategy, seed
):
    split = split_by_strategy(table_of(severstal_labels), strategy, seed)
    clean = severstal_labels.sum(axis=1, keepdims=True) == 0
    columns = np.hstack([severstal_labels, clean, np.ones_like(clean)])
    for part, ratio in zip(("train", "validation", "test"), RATIOS[strategy], strict=True):
        deviation = columns[split[part]].sum(axis=0) - ratio * columns.sum(axis=0)
        assert np.abs(deviation).max() < 1
    assert sorted(np.concatenate(list(split.values())).tolist()) == list(range(12_568))


def matrices(max_per_image: int) -> st.SearchStrategy[np.ndarray]:
    """Random label matrices in which every class has three images at least."""

    @st.composite
    def draw(choose: st.DrawFn) -> np.ndarray:
        num_classes = choose(st.integers(1, 5))
        num_images = choose(st.integers(3 * num_classes, 90))
        generator = np.random.default_rng(choose(st.integers(0, 2**32)))
        shares = generator.uniform(0.02, 0.5, num_classes)
        labels = (generator.random((num_images, num_classes)) < shares).astype(np.uint8)
        # Keep the first classes of an image in a random order of classes.
        order = generator.permutation(num_classes)
        labels[:, order] *= labels[:, order].cumsum(axis=1) <= max_per_image
        return labels

    return draw()


@given(matrices(max_per_image=5), st.integers(0, 2**63), st.sampled_from(sorted(RATIOS)))
@settings(deadline=None, max_examples=60)
def test_any_split_is_a_partition_and_repeats_itself(labels, seed, strategy):
    assume((labels.sum(axis=0) >= 3).all())
    np.random.seed(1)
    first = StratifiedSplitter(seed).split(labels, RATIOS[strategy])
    np.random.seed(2)
    random.seed(2)
    state = np.random.get_state()[1].copy()
    second = StratifiedSplitter(seed).split(labels, RATIOS[strategy])
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert sorted(np.concatenate(first).tolist()) == list(range(len(labels)))
    for one, two in zip(first, second, strict=True):
        assert len(one) > 0
        assert (np.diff(one) > 0).all()
        np.testing.assert_array_equal(one, two)


@given(matrices(max_per_image=1), st.integers(0, 2**32), st.sampled_from(sorted(RATIOS)))
@settings(deadline=None, max_examples=60)
def test_with_one_class_an_image_every_class_is_in_every_part_within_one(labels, seed, strategy):
    assume((labels.sum(axis=0) >= 3).all())
    parts = StratifiedSplitter(seed).split(labels, RATIOS[strategy])
    counts = np.array([labels[part].sum(axis=0) for part in parts])
    assert (counts >= 1).all()
    shares = np.outer(RATIOS[strategy], labels.sum(axis=0))
    plenty = (shares >= 1).all(axis=0)
    assert (np.abs(counts - shares)[:, plenty] < 1).all()


def test_another_seed_is_another_split(severstal_labels):
    labels = severstal_labels[:600]
    one, two = (StratifiedSplitter(seed).split(labels)[0] for seed in (1, 2))
    assert one.tolist() != two.tolist()


def test_images_are_mixed_over_the_parts_not_cut_in_blocks():
    labels = np.tile(np.array([[1, 0], [0, 1], [0, 0]], np.uint8), (100, 1))
    for part in StratifiedSplitter().split(labels):
        assert part.min() < 60
        assert part.max() > 240


def test_two_and_five_parts():
    labels = np.eye(4, dtype=np.uint8)[np.arange(200) % 4]
    for ratios in ((0.5, 0.5), (0.2,) * 5):
        parts = StratifiedSplitter().split(labels, ratios)
        assert [len(part) for part in parts] == [round(200 * ratio) for ratio in ratios]


def test_targets_are_the_shares_but_one_at_least_where_there_are_enough():
    targets = target_counts(np.array([100, 3, 2, 105]), np.array([0.7, 0.15, 0.15]))
    np.testing.assert_allclose(targets[:, 0], [70, 15, 15])
    np.testing.assert_allclose(targets[:, 1], [1, 1, 1])
    np.testing.assert_allclose(targets[:, 2], [1.4, 0.3, 0.3])
    np.testing.assert_allclose(targets[:, 3], [73.5 - 1.1, 15.75 + 0.55, 15.75 + 0.55])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_class_with_too_few_images_is_refused_by_name(count):
    labels = np.zeros((30, 2), np.uint8)
    labels[:10, 0] = 1
    labels[10 : 10 + count, 1] = 1
    with pytest.raises(InputError) as caught:
        split_by_strategy(table_of(labels), "stratified_70_15_15", 0)
    for part in ("defect_2", f"{count} image", "expected at least 3", "data.split_file"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match="class 2 has"):
        StratifiedSplitter().split(labels)
    with pytest.raises(InputError, match="crack has"):
        StratifiedSplitter().split(labels, class_names=["pit", "crack"])


def test_three_images_of_a_class_are_enough():
    labels = np.zeros((30, 1), np.uint8)
    labels[[0, 1, 2]] = 1
    assert [labels[part].sum() for part in StratifiedSplitter().split(labels)] == [1, 1, 1]


@pytest.mark.parametrize("ratios", [(0.7, 0.2, 0.2), (0.9, 0.1, 0.0), (1.2, -0.1, -0.1), ()])
def test_ratios_that_are_no_shares_are_refused(ratios):
    with pytest.raises(InputError, match="split_ratios="):
        StratifiedSplitter().split(np.ones((9, 1), np.uint8), ratios)


def test_labels_that_are_no_binary_matrix_are_refused():
    for labels in (np.zeros(9), np.full((9, 2), 2), np.full((9, 2), 0.5)):
        with pytest.raises(InputError, match="matrix"):
            StratifiedSplitter().split(labels)
    with pytest.raises(InputError, match="2 images to split"):
        StratifiedSplitter().split(np.ones((2, 1)))


def test_an_unknown_strategy_and_a_split_file_that_would_not_be_read_are_refused(tmp_path):
    table = table_of(np.ones((9, 1), np.uint8))
    for unknown in (
        "random",
        "stratified_70_15_16",
        "stratified_90_10_0",
        "stratified_50_50",
        "stratified_-9_99_10",
        "stratified_70_15_15\n",
    ):
        with pytest.raises(InputError, match=r"sum to 100.*stratified_70_15_15"):
            split_by_strategy(table, unknown, 0)
    with pytest.raises(InputError, match=r"data\.split_file is missing"):
        split_by_strategy(table, "file", 0)
    with pytest.raises(InputError, match=r"split\.csv is not read with"):
        split_by_strategy(table, "stratified_70_15_15", 0, tmp_path / "split.csv")


def test_a_part_without_a_class_is_told(tmp_path, caplog):
    table = table_of(np.array([[1, 0], [1, 1], [1, 0]], np.uint8))
    path = tmp_path / "split.csv"
    path.write_text("image_id,split\n00000.jpg,train\n00001.jpg,validation\n00002.jpg,test\n")
    split_by_strategy(table, "file", 0, path)
    assert [record.getMessage() for record in caplog.records] == [
        f"No image of defect_2 in part {part}: its figures are undefined"
        for part in ("train", "test")
    ]

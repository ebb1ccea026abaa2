"""Labels flipped and masks left out on purpose: as many as asked, the same for the same seed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.label_table import LabelTable, Masks
from core.data.weak_supervision import choose_flips, choose_known_masks, flip_labels, write_flips
from core.errors import InputError


@pytest.fixture
def table() -> LabelTable:
    labels = (np.random.default_rng(0).random((200, 3)) < 0.2).astype(np.uint8)
    ids = tuple(f"{number:04d}.jpg" for number in range(200))
    return LabelTable((), ids, labels, ("a", "b", "c"), None, "labels.csv")


@given(
    st.integers(1, 300),
    st.integers(1, 6),
    st.floats(0, 0.5),
    st.integers(0, 2**32),
)
def test_flips_are_in_distinct_images(num_images, num_classes, share, seed):
    rows, columns = choose_flips(num_images, num_classes, share, seed)
    assert len(set(rows.tolist())) == len(rows) == len(columns) == round(share * num_images)
    assert ((rows >= 0) & (rows < num_images)).all()
    assert ((columns >= 0) & (columns < num_classes)).all()


def test_one_label_is_wrong_in_that_share_of_the_images(table):
    wrong = flip_labels(table, 0.05, seed=1).labels != table.labels
    assert wrong.sum() == 10
    assert wrong.any(axis=1).sum() == 10


def test_the_seed_chooses(table):
    flipped = flip_labels(table, 0.05, seed=1).labels
    np.testing.assert_array_equal(flipped, flip_labels(table, 0.05, seed=1).labels)
    assert (flipped != flip_labels(table, 0.05, seed=2).labels).any()


def test_no_noise_is_the_same_table(table):
    assert flip_labels(table, 0.0, seed=1) is table


def test_uniform_noise_is_what_it_always_was(table):
    """One label of the first images of a seeded permutation, columns drawn after it."""
    generator = np.random.default_rng(7)
    rows = generator.permutation(200)[:20]
    expected = table.labels.copy()
    expected[rows, generator.integers(3, size=20)] ^= 1
    np.testing.assert_array_equal(flip_labels(table, 0.1, seed=7).labels, expected)


def with_squares(table: LabelTable) -> LabelTable:
    """The table with a square mask for each label, larger with each image, and thrice for `b`."""
    codes = {
        row: [(column, 1 + row % 20 + 40 * (column == 1)) for column in np.flatnonzero(shown)]
        for row, shown in enumerate(table.labels.tolist())
    }

    def draw(plane: np.ndarray, side: int) -> None:
        plane[:side, :side] = 1

    return replace(table, masks=Masks(codes, (3, 64, 64), draw))


@pytest.mark.parametrize("kind", ["missing", "borderline"])
def test_other_kinds_drop_one_label_of_an_image_that_shows_one(table, kind):
    table = with_squares(table)
    noisy = flip_labels(table, 0.1, 5, kind)
    lost = table.labels.astype(int) - noisy.labels
    assert lost.min() == 0
    assert lost.sum() == (lost.sum(axis=1) == 1).sum() == len(noisy.flips) == 20
    assert noisy.flips == tuple((row, column, 0) for row, column in np.argwhere(lost).tolist())


def test_missing_labels_depend_on_the_seed(table):
    first, other = (flip_labels(table, 0.1, seed, "missing").labels for seed in (1, 2))
    assert (first != other).any()
    np.testing.assert_array_equal(first, flip_labels(table, 0.1, 1, "missing").labels)


def test_borderline_labels_are_those_with_the_smallest_masks_of_each_class(table):
    table = with_squares(table)
    noisy = flip_labels(table, 0.1, 5, "borderline")
    whole = np.ones(200, bool)
    whole[[row for row, _, _ in noisy.flips]] = False  # an image loses one label at most
    for column in range(3):
        area = np.arange(200) % 20
        lost = area[[row for row, at, _ in noisy.flips if at == column]]
        kept = area[whole & (noisy.labels[:, column] == 1)]
        assert len(lost) > 3
        assert lost.max() <= kept.min()


def test_each_class_loses_the_same_share_of_its_borderline_labels(table):
    labels = np.zeros((200, 3), np.uint8)
    labels[:120, 0] = labels[120:160, 1] = labels[160:180, 2] = 1
    noisy = flip_labels(with_squares(replace(table, labels=labels)), 0.09, 5, "borderline")
    assert (labels.astype(int) - noisy.labels).sum(axis=0).tolist() == [12, 4, 2]


def test_more_labels_than_there_are_cannot_be_dropped(table):
    with pytest.raises(InputError, match=r"data\.label_noise=0\.5: 100 .* give a smaller share"):
        flip_labels(table, 0.5, 1, "missing")
    with pytest.raises(InputError, match="have masks of what they show"):
        flip_labels(table, 0.1, 1, "borderline")


def test_the_list_says_what_each_label_was(table, tmp_path):
    noisy = flip_labels(table, 0.1, seed=3)
    write_flips(tmp_path / "flipped_labels.csv", noisy)
    listed = pd.read_csv(tmp_path / "flipped_labels.csv")
    mended = noisy.labels.copy()
    for row in listed.itertuples():
        at = noisy.image_ids.index(row.image_id), noisy.class_names.index(row.class_name)
        assert mended[at] == row.flipped_to
        mended[at] = row.label
    np.testing.assert_array_equal(mended, replace(noisy, labels=table.labels).labels)
    header, first, *_ = (tmp_path / "flipped_labels.csv").read_bytes().split(b"\n")
    assert header == b"image_id,class_name,label,flipped_to"
    assert first.decode() == ",".join(map(str, listed.iloc[0]))


@given(st.integers(1, 200), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_a_larger_share_of_known_masks_contains_a_smaller(num_images, one, other, seed):
    small, large = sorted((one, other))
    train = np.arange(0, num_images, 2)
    labels = (np.random.default_rng(seed).random((num_images, 3)) < (0.5, 0.2, 0.02)).astype(int)
    fewer = choose_known_masks(labels, train, small, seed)
    more = choose_known_masks(labels, train, large, seed)
    assert fewer.sum() == round(small * len(train))
    assert not fewer[1::2].any()
    assert not (fewer & ~more).any()


@given(st.integers(0, 2**32), st.sampled_from([0.1, 0.3, 0.5]))
def test_a_share_of_known_masks_is_that_of_each_class(seed, share):
    labels = np.zeros((1000, 3), int)
    labels[:400, 0], labels[400:480, 1], labels[480:500, 2] = 1, 1, 1
    known = choose_known_masks(labels, np.arange(1000), share, seed)
    assert np.abs(labels[known].sum(axis=0) - share * labels.sum(axis=0)).max() <= 1


def test_an_image_of_several_classes_counts_for_the_rarest():
    labels = np.ones((100, 2), int)
    labels[10:, 1] = 0
    known = choose_known_masks(labels, np.arange(100), 0.2, seed=0)
    assert labels[known].sum(axis=0).tolist() == [20, 2]

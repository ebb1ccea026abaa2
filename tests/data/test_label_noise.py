"""Labels flipped on purpose: as many as asked, one an image, the same for the same seed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.annotations import LabelTable
from core.data.label_noise import choose_flips, flip_labels, write_flips


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


def test_the_list_says_what_each_label_was(table, tmp_path):
    noisy = flip_labels(table, 0.1, seed=3)
    write_flips(tmp_path / "flipped_labels.csv", noisy, 0.1, seed=3)
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

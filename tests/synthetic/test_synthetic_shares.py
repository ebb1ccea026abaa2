"""Class shares are met by exact counts, and classes co-occur as in the real set."""

import csv
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.synthetic.shares import assign_labels


def assign(num_images: int, shares, seed: int = 0) -> np.ndarray:
    return assign_labels(num_images, shares, np.random.default_rng(seed))


def test_natural_shares_are_the_real_label_table(shared_file) -> None:
    with shared_file("data/severstal_labels.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    real = Counter(tuple(int(value) for value in row[-4:]) for row in rows)
    assert Counter(map(tuple, assign(12568, "natural").tolist())) == real


def test_natural_counts_of_the_real_set() -> None:
    labels = assign(12568, "natural")
    assert labels.sum(axis=0).tolist() == [897, 247, 5150, 801]
    per_strip = labels.sum(axis=1)
    assert (per_strip == 0).sum() == 5902
    assert (per_strip > 1).sum() == 427


@pytest.mark.parametrize("num_images", [18, 60, 100, 399, 1000])
def test_every_class_can_be_split_and_meets_its_share(num_images: int) -> None:
    counts = assign(num_images, "natural").sum(axis=0)
    for count, real in zip(counts, (897, 247, 5150, 801), strict=True):
        assert count == max(3, round(real / 12568 * num_images))


@pytest.mark.parametrize("num_images", [40, 600, 1001])
def test_flat_shares_are_equal_with_clean_strips_and_co_occurrence(num_images: int) -> None:
    labels = assign(num_images, "flat")
    counts = labels.sum(axis=0)
    assert len(set(counts.tolist())) == 1
    assert 0.24 < counts[0] / num_images < 0.31
    per_strip = labels.sum(axis=1)
    assert 0.15 < (per_strip == 0).mean() < 0.25
    assert (per_strip > 1).sum() >= 3
    pairs = {tuple(row) for row in labels[per_strip == 2].tolist()}
    assert len(pairs) >= 3


@pytest.mark.parametrize("shares", ["natural", "flat"])
def test_named_shares_fit_any_number_of_strips(shares: str) -> None:
    for num_images in range(1, 80):
        labels = assign(num_images, shares)
        assert labels.shape == (num_images, 4)
        assert labels.any() or num_images < 3


def test_own_shares_are_met_and_a_zero_share_is_kept() -> None:
    counts = assign(200, (0.5, 0.0, 0.25, 0.005)).sum(axis=0)
    assert counts.tolist() == [100, 0, 50, 3]


def test_the_order_of_the_strips_is_drawn_from_the_generator() -> None:
    assert (assign(100, "flat", 1) == assign(100, "flat", 1)).all()
    assert (assign(100, "flat", 1) != assign(100, "flat", 2)).any()


@given(
    num_images=st.integers(1, 300),
    shares=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    seed=st.integers(0, 9),
)
@settings(deadline=None, max_examples=60)
def test_any_shares_are_met_or_refused(num_images: int, shares: list[float], seed: int) -> None:
    least = min(3, num_images // 6)
    expected = [max(round(share * num_images), least) if share > 0 else 0 for share in shares]
    if sum(expected) > 2 * num_images:
        with pytest.raises(InputError, match="too many defects"):
            assign(num_images, shares, seed)
        return
    labels = assign(num_images, shares, seed)
    assert labels.shape == (num_images, 4)
    assert labels.sum(axis=0).tolist() == expected


@pytest.mark.parametrize(
    "shares", ["equal", (), (0.1, 0.2, 0.3), (0.1, 0.2, 0.3, 1.2), (-0.1, 0.2, 0.3, 0.2)]
)
def test_bad_shares_are_refused_in_one_line(shares) -> None:
    with pytest.raises(InputError, match=r"data\.class_shares=.*natural, flat, or 4 fractions"):
        assign(100, shares)


@pytest.mark.parametrize("num_images", [40, 100, 1000])
@pytest.mark.parametrize(
    "shares", [(0.9, 0.4, 0.4, 0.1), (1, 0.5, 0.5, 0), (0.5, 0.5, 0.5, 0.5), (1, 0.3, 0.3, 0.3)]
)
def test_shares_that_fill_nearly_every_strip_are_met(num_images: int, shares) -> None:
    labels = assign(num_images, shares)
    assert labels.sum(axis=0).tolist() == [round(share * num_images) for share in shares]
    assert labels.sum(axis=1).max() == 2
    with_other = (labels[:, :1] & labels[:, 1:]).sum(axis=0)
    assert (with_other > 0).tolist() == [share > 0 for share in shares[1:]]


def test_more_defects_than_strips_can_carry_are_refused() -> None:
    with pytest.raises(InputError, match="too many defects for 100 strips"):
        assign(100, (0.9, 0.9, 0.9, 0.9))

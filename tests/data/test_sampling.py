"""Samplers: who is drawn how often, against plain loops and against simulation."""

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strip_folders import SIZE, kaggle_folder, strip_ids

from core.data.annotations import read_label_table
from core.data.dataset import StripDataset
from core.data.loaders import make_loader
from core.data.sampling import EpochSampler, describe_sampler, expected_shares, image_weights

NAMES = ("a", "b", "c")
label_tables = arrays(
    np.uint8, st.tuples(st.integers(1, 40), st.just(3)), elements=st.integers(0, 1)
)


def skewed(num_images: int = 400) -> np.ndarray:
    """Most clean, one class common, two rare, some of them together."""
    labels = np.zeros((num_images, 3), np.uint8)
    labels[: num_images // 4, 0] = 1
    labels[num_images // 4 - 5 : num_images // 4 + 15, 1] = 1
    labels[num_images // 4 + 13 : num_images // 4 + 20, 2] = 1
    return labels


@settings(max_examples=60, deadline=None)
@given(label_tables)
def test_balanced_is_a_class_drawn_evenly_and_then_one_of_its_images(labels):
    groups = [np.flatnonzero(labels[:, c]).tolist() for c in range(3)]
    groups.append([i for i in range(len(labels)) if not labels[i].any()])
    groups = [group for group in groups if group]
    expected = np.zeros(len(labels))
    for group in groups:
        for index in group:
            expected[index] += 1 / len(groups) / len(group)
    np.testing.assert_allclose(image_weights(labels, "balanced"), expected)


@settings(max_examples=60, deadline=None)
@given(label_tables)
def test_sqrt_repeats_an_image_by_its_rarest_class(labels):
    repeats = []
    for row in labels:
        factors = [math.sqrt(len(labels) / labels[:, c].sum()) for c in range(3) if row[c]]
        repeats.append(max(factors, default=1.0))
    expected = np.array(repeats) / sum(repeats)
    np.testing.assert_allclose(image_weights(labels, "sqrt"), expected)


def test_natural_is_the_permutation_that_it_was():
    assert image_weights(skewed(), "natural") is None
    generator = np.random.default_rng(np.random.SeedSequence((7, 3)))
    sampler = EpochSampler(50, 7, shuffle=True)
    sampler.set_epoch(3)
    assert list(sampler) == generator.permutation(50).tolist()


@pytest.mark.parametrize("name", ["balanced", "sqrt"])
def test_expected_shares_are_those_of_a_simulation(name):
    labels = skewed()
    weights = image_weights(labels, name)
    sampler = EpochSampler(len(labels), 1, shuffle=True, weights=weights)
    drawn = []
    for epoch in range(100):
        sampler.set_epoch(epoch)
        draws = list(sampler)
        assert len(draws) == len(sampler) == len(labels)
        drawn += [draw % len(labels) for draw in draws]
    record = describe_sampler(labels, name, NAMES)
    shares = labels[drawn].mean(axis=0)
    assert list(record["expected_class_shares"]) == list(NAMES)
    assert list(record["expected_class_shares"].values()) == pytest.approx(shares, abs=0.01)
    clean = (labels[drawn].sum(axis=1) == 0).mean()
    assert record["expected_clean_share"] == pytest.approx(clean, abs=0.01)


def test_samplers_raise_the_rarest_class_in_their_order():
    labels = skewed()
    rarest = [
        expected_shares(labels, image_weights(labels, name))[2]
        for name in ("natural", "sqrt", "balanced")
    ]
    assert rarest[0] == 7 / 400
    assert rarest[0] * 2 < rarest[1] < rarest[2]
    assert rarest[2] >= 1 / 4


def test_natural_shares_are_counts_over_images():
    labels = skewed()
    record = describe_sampler(labels, "natural", NAMES)
    assert record["expected_class_shares"] == {"a": 100 / 400, "b": 20 / 400, "c": 7 / 400}
    assert record["expected_clean_share"] == (400 - 120) / 400


def test_draws_depend_on_seed_and_epoch_alone_and_number_repeats():
    weights = image_weights(skewed(), "balanced")

    def draws(seed, epoch):
        sampler = EpochSampler(400, seed, shuffle=True, weights=weights)
        sampler.set_epoch(epoch)
        return list(sampler)

    first = draws(0, 1)
    np.random.seed(5)
    assert draws(0, 1) == first
    assert len({tuple(draws(seed, epoch)) for seed in range(2) for epoch in range(2)}) == 4
    assert len(set(first)) == 400
    seen: dict[int, int] = {}
    for draw in first:
        repeat, position = divmod(draw, 400)
        assert repeat == seen.get(position, 0)
        seen[position] = repeat + 1
    assert max(seen.values()) > 5


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_image_drawn_again_is_transformed_anew_alike_in_any_process(tmp_path, num_workers):
    def told(image, masks, labels, *, epoch, index):
        return np.full_like(image, index), masks, labels

    kaggle_folder(tmp_path, [f"{strip_ids(3)[2]},1,1 9"], num_images=8)
    table = read_label_table(tmp_path, image_size=SIZE)
    dataset = StripDataset(table, [2, 3, 4], SIZE, transform=told)
    weights = image_weights(table.labels[[2, 3, 4]], "balanced")
    loader = make_loader(dataset, 3, seed=0, shuffle=True, weights=weights, num_workers=num_workers)
    repeated = False
    for epoch in range(6):
        loader.set_epoch(epoch)
        (batch,) = islice(loader, 1)
        numbers = batch["image"][:, 0, 0, 0].tolist()
        assert len(set(numbers)) == 3
        assert [strip_ids(8)[number % 8] for number in numbers] == batch["image_id"]
        repeated |= len(set(batch["image_id"])) < 3
    assert repeated

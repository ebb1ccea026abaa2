"""Mixup and cutmix: whose pixels, which labels, which masks, and who is told what."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.augmentation.mixing import BatchMixing, cut_in, mix_up
from core.augmentation.pipelines import AugmentationPipeline
from core.augmentation.settings import AugmentationSettings, Cutmix, Mixup
from core.augmentation.strip import Strip
from core.errors import InputError
from core.losses.registry import get_registry

SIZE = (12, 60)
NUM_CLASSES = 3


def random_strip(seed: int, with_masks: bool = True) -> Strip:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, SIZE, dtype=np.uint8)
    masks = np.zeros((NUM_CLASSES, *SIZE), np.uint8)
    for number in range(NUM_CLASSES):
        if generator.random() < 0.6:
            left = int(generator.integers(0, 55))
            masks[number, 2:8, left : left + int(generator.integers(1, 30))] = 1
    labels = masks.any(axis=(1, 2)).astype(np.float32)
    return Strip(image, masks if with_masks else None, labels)


def batch_of(size: int, start: int = 0) -> list[Strip]:
    return [random_strip(start + number, with_masks=number % 3 != 2) for number in range(size)]


def same(one: Strip, other: Strip) -> bool:
    return all(
        (a is None and b is None) or np.array_equal(a, b) for a, b in zip(one, other, strict=True)
    )


def mixing(mixup: float = 0.0, cutmix: float = 0.0, seed: int = 0) -> BatchMixing:
    toggles = {"mixup": {"probability": mixup}, "cutmix": {"probability": cutmix}}
    return BatchMixing.of(AugmentationSettings(**toggles), seed)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_mixup_is_the_convex_mix_of_images_and_labels(seed, share):
    one, other = random_strip(seed), random_strip(seed + 1)
    image, masks, labels = mix_up(one, other, share)
    expected = share * one.image.astype(float) + (1 - share) * other.image.astype(float)
    assert image.dtype == np.uint8
    assert np.abs(image - expected).max() <= 0.5 + 1e-4
    np.testing.assert_allclose(labels, share * one.labels + (1 - share) * other.labels, rtol=1e-5)
    assert labels.dtype == np.float32
    assert masks is None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(0, 60))
def test_cutmix_takes_each_column_from_one_of_both_and_labels_what_shows(seed, first, last):
    first, last = sorted((first, last))
    one, other = random_strip(seed), random_strip(seed + 1)
    image, masks, labels = cut_in(one, other, first, last)
    for column in range(SIZE[1]):
        source = other if first <= column < last else one
        assert np.array_equal(image[:, column], source.image[:, column])
        assert np.array_equal(masks[:, :, column], source.masks[:, :, column])
    assert np.array_equal(labels, masks.any(axis=(1, 2)))
    assert image.dtype == masks.dtype == np.uint8
    assert labels.dtype == np.float32


def test_cutmix_without_masks_counts_columns():
    one, other = (
        Strip(np.full(SIZE, 90, np.uint8), None, np.array(labels, np.float32))
        for labels in ([1, 1, 0], [0, 1, 1])
    )
    _, masks, labels = cut_in(one, other, 10, 25)
    assert masks is None
    np.testing.assert_allclose(labels, [0.75, 1, 0.25])
    # A third of the other's columns are border, which holds no defect.
    other.image[:, :20] = 0
    _, _, labels = cut_in(one, other, 20, 40)
    np.testing.assert_allclose(labels, [2 / 3, 1, 0.5], rtol=1e-6)


@pytest.mark.parametrize("brighter", [0, 51])
def test_a_band_shows_steel_in_steel_and_leaves_borders_where_they_are(brighter):
    """Otherwise black would stand in the middle of a strip."""
    left, right = (
        Strip(np.full(SIZE, grey, np.uint8), None, np.ones(1, np.float32)) for grey in (90, 150)
    )
    left.image[:, :20] = right.image[:, 50:] = 0
    left.image[:] += brighter
    right.image[:] += brighter
    sources = np.zeros(SIZE[1], bool)
    for epoch in range(200):
        mixed, _ = mixing(cutmix=1)([left, right], epoch=epoch, indices=[0, 1])
        assert (mixed.image[:, :20] == brighter).all()
        assert (mixed.image[:, 50:] == 90 + brighter).all()
        assert set(np.unique(mixed.image[:, 20:50])) <= {90 + brighter, 150 + brighter}
        sources |= mixed.image[0] == 150 + brighter
    assert np.array_equal(np.flatnonzero(sources), np.arange(20, 50))
    apart = left._replace(
        image=np.where(np.arange(SIZE[1]) < 55, brighter, left.image).astype(np.uint8)
    )
    for mixed, strip in zip(
        mixing(cutmix=1)([apart, right], epoch=0, indices=[0, 1]), [apart, right], strict=True
    ):
        assert same(mixed, strip)


@pytest.mark.parametrize("grey", [0, 30, 255])
def test_a_strip_in_one_grey_is_all_steel(grey):
    flat = Strip(np.full(SIZE, grey, np.uint8), None, np.ones(3, np.float32))
    assert cut_in(flat, flat, 0, 0).labels.tolist() == [1, 1, 1]
    clean = flat._replace(labels=np.zeros(3, np.float32))
    assert cut_in(flat, clean, 15, 30).labels.tolist() == [0.75, 0.75, 0.75]


def test_cutmix_of_known_and_unknown_masks_uses_what_is_known():
    known = random_strip(0)._replace(labels=np.array([1, 1, 1], np.float32))
    known.masks[:] = 0
    known.masks[0, 3, 12] = 1  # goes under the band
    known.masks[1, 3, 40] = 1  # stays
    # The third is labelled, but no mask says where.
    unknown = Strip(known.image, None, np.array([1, 1, 0], np.float32))
    _, masks, labels = cut_in(known, unknown, 10, 25)
    assert masks is None
    np.testing.assert_allclose(labels, [0.25, 1, 0.75])
    _, _, labels = cut_in(unknown, known, 10, 25)
    np.testing.assert_allclose(labels, [1, 0.75, 0.25])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 500),
    st.lists(st.integers(0, 10**5), min_size=1, max_size=9),
)
def test_the_mix_depends_on_seed_epoch_and_indices_alone(seed, epoch, indices):
    strips = batch_of(len(indices))
    before = [Strip(*(None if p is None else p.copy() for p in strip)) for strip in strips]
    one, other = mixing(0.4, 0.4, seed), mixing(0.4, 0.4, seed)
    other(strips, epoch=epoch + 1, indices=indices)
    np.random.seed(0)
    ours = one(strips, epoch=epoch, indices=indices)
    theirs = other(strips, epoch=epoch, indices=indices)
    assert len(ours) == len(strips)
    assert all(map(same, ours, theirs))
    assert all(map(same, strips, before)), "the given strips were changed"


def test_seeds_epochs_and_batches_mix_differently():
    strips = batch_of(6)
    mixed = [
        mixing(1.0, seed=seed)(strips, epoch=epoch, indices=indices)
        for seed in (0, 1)
        for epoch in (0, 1)
        for indices in (range(6), range(1, 7))
    ]
    images = [np.stack([strip.image for strip in batch]).tobytes() for batch in mixed]
    assert len(set(images)) == 8


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.3, 0.0), (0.0, 0.3), (0.3, 0.5)])
def test_each_happens_as_often_as_its_probability(mixup, cutmix):
    strips = [random_strip(number) for number in range(8)]
    kinds = []
    for epoch in range(150):
        for strip, result in zip(
            strips, mixing(mixup, cutmix)(strips, epoch=epoch, indices=range(8)), strict=True
        ):
            kinds.append(
                "mixup"
                if result.masks is None
                else "same"
                if result.image is strip.image
                else "cut"
            )
    assert kinds.count("mixup") / len(kinds) == pytest.approx(mixup, abs=0.04)
    assert kinds.count("cut") / len(kinds) == pytest.approx(cutmix, abs=0.04)


def test_a_partner_is_another_strip_before_any_mixing():
    strips = [Strip(np.full(SIZE, 40 + 20 * n, np.uint8), None, np.eye(5)[n]) for n in range(5)]
    for epoch in range(30):
        for number, mixed in enumerate(mixing(cutmix=1)(strips, epoch=epoch, indices=range(5))):
            values = set(np.unique(mixed.image).tolist())
            assert len(values) <= 2
            assert values <= {40 + 20 * n for n in range(5)}
            if len(values) == 2:
                assert 40 + 20 * number in values
    (alone,) = mixing(mixup=1)(strips[:1], epoch=0, indices=[0])
    assert alone.image is strips[0].image


@pytest.mark.slow
def test_the_laws_of_the_shares_are_as_set():
    """A small alpha leaves most of one strip, alpha = 1 draws evenly: variance of Beta(a, a)."""
    black, white = (
        Strip(np.full((1, 999), grey, np.uint8), None, np.ones(1)) for grey in (50, 250)
    )
    for alpha in (0.2, 1.0, 5.0):
        for toggles in ({"mixup": Mixup(probability=1, alpha=alpha)},
                        {"cutmix": Cutmix(probability=1, alpha=alpha)}):  # fmt: skip
            mix = BatchMixing.of(AugmentationSettings(**toggles), 0)
            shares = [
                mix([black, white], epoch=epoch, indices=[0, 1])[0].image.mean() / 200 - 0.25
                for epoch in range(600)
            ]
            assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
            assert np.var(shares) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.2)


def test_off_is_none_and_the_record_names_what_runs():
    assert AugmentationPipeline().batch_transform is None
    both = AugmentationPipeline({"mixup": True, "cutmix": {"probability": 0.25}})
    record = json.loads(json.dumps(both.record()))[-2:]
    assert record[0] == {"__class_fullname__": "Mixup", "probability": 0.5, "alpha": 0.2}
    assert record[1] == {"__class_fullname__": "Cutmix", "probability": 0.25, "alpha": 1.0}
    assert both.batch_transform.uses_masks
    assert not AugmentationPipeline({"mixup": True}).batch_transform.uses_masks


def test_more_than_every_image_is_refused():
    with pytest.raises(InputError, match=r"cutmix.*mixup\.probability is already 0\.6") as error:
        AugmentationPipeline({"mixup": {"probability": 0.6}, "cutmix": {"probability": 0.5}})
    assert "\n" not in str(error.value)


def test_mixup_is_refused_where_masks_are_learnt_and_cutmix_is_not():
    with pytest.raises(InputError, match=r"augmentation\.mixup\.probability=0\.5.*cutmix"):
        AugmentationPipeline({"mixup": True}, learns_masks=True)
    AugmentationPipeline({"cutmix": True}, learns_masks=True)
    AugmentationPipeline({"mixup": None}, learns_masks=True)


@pytest.mark.parametrize("name", get_registry().filter_by_tag("image_labels"))
def test_every_loss_of_image_labels_takes_soft_ones(name):
    options = {"components": [{"type": "bce"}, {"type": "dice"}]} if name == "compound" else {}
    loss = get_registry().instantiate(name, **options)
    loss.set_class_statistics([30, 20, 50], 100, source="train_split")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, NUM_CLASSES, generator=generator).requires_grad_()
    labels = torch.rand(6, NUM_CLASSES, generator=generator)
    value = loss(logits, labels)
    (slope,) = torch.autograd.grad(value, logits)
    assert torch.isfinite(value)
    assert torch.isfinite(slope).all()
    assert (slope != 0).all()
    better, worse = torch.logit(labels), torch.logit(1 - labels)
    assert loss(better, labels) < loss(worse, labels)

"""Blackout: only defects are painted, and a label goes exactly when nothing of it is left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.augmentation.blackout import BlackoutTransform, black_out
from core.augmentation.pipelines import AugmentationPipeline
from core.augmentation.settings import Blackout
from core.augmentation.strip import Strip

SIZE = (32, 120)
NUM_CLASSES = 3

box = st.tuples(
    st.integers(0, NUM_CLASSES - 1),
    st.integers(0, SIZE[0] - 1),
    st.integers(0, SIZE[1] - 1),
    st.integers(1, SIZE[0]),
    st.integers(1, SIZE[1]),
)
boxes = st.lists(box, max_size=6)
choices = st.lists(st.booleans(), min_size=NUM_CLASSES, max_size=NUM_CLASSES)


def strip_with(boxes: list, colour: bool = False, border: int = 0) -> Strip:
    shape = (*SIZE, 3) if colour else SIZE
    image = np.random.default_rng(0).integers(90, 140, shape, dtype=np.uint8)
    image[:, :border] = 3
    masks = np.zeros((NUM_CLASSES, *SIZE), np.uint8)
    for number, top, left, height, width in boxes:
        masks[number, top : top + height, left : left + width] = 1
    return Strip(image, masks, masks.any(axis=(1, 2)).astype(np.float32))


def copied(strip: Strip) -> Strip:
    return Strip(*(part.copy() for part in strip))


@settings(max_examples=150, deadline=None)
@given(boxes, choices, st.sampled_from(["texture", "mean"]), st.booleans(), st.integers(0, 110))
def test_what_holds_of_every_blackout(boxes, chosen, fill, colour, border):
    strip, chosen = strip_with(boxes, colour, border), np.array(chosen)
    before = copied(strip)
    image, masks, labels = black_out(strip, chosen, fill)
    for part, same in zip(strip, before, strict=True):
        assert np.array_equal(part, same), "the given strip was changed"
    kept = strip.masks[~chosen].any(axis=0)
    painted = strip.masks[chosen].any(axis=0) & ~kept
    assert np.array_equal(image[~painted], strip.image[~painted])
    assert np.array_equal(masks[:, ~painted], strip.masks[:, ~painted])
    assert not masks[:, painted].any()
    assert np.array_equal(masks[~chosen], strip.masks[~chosen])
    assert np.array_equal(labels, masks.any(axis=(1, 2)))
    assert image.dtype == masks.dtype == np.uint8
    assert labels.dtype == np.float32


@pytest.mark.parametrize("fill", ["texture", "mean"])
def test_a_class_under_one_that_is_kept_keeps_its_label_while_any_of_it_shows(fill):
    hidden = strip_with([(0, 5, 20, 8, 10), (1, 0, 10, 30, 40)])
    only_first = np.array([True, False, False])
    assert np.array_equal(black_out(hidden, only_first, fill).image, hidden.image)
    assert black_out(hidden, only_first, fill).labels.tolist() == [1, 1, 0]
    half = strip_with([(0, 5, 20, 8, 10), (1, 0, 25, 30, 40)])
    image, masks, labels = black_out(half, only_first, fill)
    assert labels.tolist() == [1, 1, 0]
    assert masks[0].sum() == 8 * 5
    assert np.array_equal(image[:, 25:], half.image[:, 25:])
    both = black_out(half, np.array([True, True, False]), fill)
    assert both.labels.tolist() == [0, 0, 0]
    assert not both.masks.any()


def test_a_label_without_a_pixel_stays():
    strip = strip_with([(0, 5, 20, 8, 10)])._replace(labels=np.array([1, 1, 0], np.float32))
    everything = np.ones(NUM_CLASSES, bool)
    assert black_out(strip, everything, "mean").labels.tolist() == [0, 1, 0]


def test_the_mean_is_that_of_the_steel_without_defects_and_border():
    strip = strip_with([(0, 5, 60, 8, 10), (1, 20, 80, 8, 10)], border=40)
    strip.image[:, 40:] = 120
    strip.image[strip.masks.any(axis=0)] = 250
    painted = black_out(strip, np.array([True, False, False]), "mean").image
    assert (painted[5:13, 60:70] == 120).all()
    assert (painted[20:28, 80:90] == 250).all()


def test_texture_is_taken_from_steel_nearby_not_from_a_defect_nor_from_the_border():
    strip = strip_with([(0, 8, 60, 10, 20), (1, 8, 85, 10, 30)], border=40)
    strip.image[:, 40:] = np.where(np.arange(80) % 2, 100, 110)
    strip.image[strip.masks.any(axis=0)] = 250
    painted = black_out(strip, np.array([True, False, False]), "texture").image
    patch = painted[8:18, 60:80]
    assert set(np.unique(patch)) == {100, 110}
    assert np.array_equal(patch[:, 0], painted[8:18, 59])  # mirrored at the seam


def test_texture_meets_the_brightness_of_both_sides():
    strip = strip_with([(0, 0, 40, 32, 40)])
    strip.image[:] = np.linspace(40, 200, SIZE[1])
    painted = black_out(strip, np.array([True, False, False]), "texture").image
    means = painted.astype(float).mean(axis=0)
    assert means[30:40].mean() < means[40:60].mean() < means[60:80].mean() < means[80:90].mean()


@pytest.mark.parametrize("fill", ["texture", "mean"])
def test_a_strip_that_is_all_defect_becomes_its_mean(fill):
    strip = strip_with([(0, 0, 0, 32, 120)])
    painted, _, labels = black_out(strip, np.array([True, False, False]), fill)
    assert np.ptp(painted) == 0
    assert abs(float(painted[0, 0]) - strip.image.mean()) <= 0.5
    assert labels.tolist() == [0, 0, 0]


def test_each_class_has_its_own_chance():
    strip = strip_with([(0, 5, 20, 8, 10), (1, 20, 80, 8, 10)])
    transform = BlackoutTransform(Blackout(probability=0.3))
    drawn = np.stack(
        [transform(strip, np.random.default_rng(seed)).labels[:2] for seed in range(1000)]
    )
    gone = drawn == 0
    assert gone.mean(axis=0) == pytest.approx([0.3, 0.3], abs=0.05)
    assert gone.all(axis=1).mean() == pytest.approx(0.09, abs=0.03)


def test_an_image_whose_masks_are_unknown_is_left_alone():
    strip = strip_with([(0, 5, 20, 8, 10)])
    pipeline = AugmentationPipeline(
        {"horizontal_flip": None, "vertical_flip": None, "rotation": None, "gaussian_blur": None,
         "brightness_contrast": None, "blackout": {"probability": 1}}
    )  # fmt: skip
    image, masks, labels = pipeline(strip.image, None, strip.labels, epoch=0, index=0)
    assert masks is None
    assert np.array_equal(image, strip.image)
    assert np.array_equal(labels, strip.labels)


def test_real_strips_lose_their_defects_and_nothing_else(severstal_sample):
    from core.data.annotations import read_label_table
    from core.data.images import read_image

    table = read_label_table(severstal_sample)
    everything = np.ones(len(table.class_names), bool)
    for index in np.flatnonzero(table.labels.any(axis=1))[:25]:
        strip = Strip(
            read_image(table.image_paths[index], (256, 1600)),
            table.masks[index],
            table.labels[index].astype(np.float32),
        )
        painted, masks, labels = black_out(strip, everything, "texture")
        defects = strip.masks.any(axis=0)
        assert np.array_equal(painted[~defects], strip.image[~defects])
        assert not masks.any()
        assert not labels.any()
        # What was painted is as bright as steel: neither border nor defect came in.
        steel = strip.image[~defects & (strip.image > 24)]
        assert painted[defects].mean() == pytest.approx(steel.mean(), abs=2.5 * steel.std())

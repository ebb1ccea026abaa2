"""The shift: masks go with their image, borders stay black, labels go with what leaves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.augmentation.pipelines import AugmentationPipeline
from core.augmentation.settings import AugmentationSettings, HorizontalShift
from core.augmentation.shift import ShiftTransform, shift
from core.augmentation.strip import Strip, steel_columns

SIZE = (16, 100)
NUM_CLASSES = 2


def strip_of(left: int = 0, right: int = 0, boxes: tuple = (), colour: bool = False) -> Strip:
    """Steel whose grey is its column, between borders of these widths."""
    row = np.arange(100, 200, dtype=np.uint8)
    row[:left] = 2
    row[SIZE[1] - right :] = 2
    image = np.tile(row, (SIZE[0], 1))
    masks = np.zeros((NUM_CLASSES, *SIZE), np.uint8)
    for number, first, last in boxes:
        masks[number, 2:6, first:last] = 1
    if colour:
        image = np.repeat(image[..., None], 3, axis=2)
    return Strip(image, masks, masks.any(axis=(1, 2)).astype(np.float32))


@pytest.mark.parametrize(
    ("left", "right", "expected"), [(0, 0, (0, 100)), (30, 0, (30, 100)), (0, 7, (0, 93))]
)
def test_steel_is_what_is_not_black(left, right, expected):
    assert steel_columns(strip_of(left, right).image) == expected
    assert steel_columns(strip_of(left, right, colour=True).image) == expected


def test_specks_in_the_border_are_no_steel_and_black_is_black():
    image = strip_of(left=30).image.copy()
    image[3, 10] = 255
    assert steel_columns(image) == (30, 100)
    assert steel_columns(np.zeros(SIZE, np.uint8)) == (0, 0)


edges = st.tuples(st.sampled_from(["left", "right", "neither"]), st.integers(1, 60))
boxes = st.lists(
    st.tuples(st.integers(0, NUM_CLASSES - 1), st.integers(0, 99), st.integers(1, 100)), max_size=3
)


@settings(max_examples=150, deadline=None)
@given(edges, boxes, st.integers(-20, 20), st.booleans())
def test_what_holds_of_every_shift(edge, boxes, distance, colour):
    side, width = edge
    strip = strip_of(**({} if side == "neither" else {side: width}), boxes=boxes, colour=colour)
    before = [part.copy() for part in strip]
    first, last = steel_columns(strip.image)
    image, masks, labels = shift(strip, distance, first, last)
    for part, same in zip(strip, before, strict=True):
        assert np.array_equal(part, same), "the given strip was changed"
    assert image.shape == strip.image.shape
    assert masks.shape == strip.masks.shape
    for column in range(SIZE[1]):
        source = column - distance
        if 0 <= source < SIZE[1]:
            assert np.array_equal(image[:, column], strip.image[:, source])
            assert np.array_equal(masks[:, :, column], strip.masks[:, :, source])
    # The border stays on its side, wider or narrower by the distance.
    moved = (
        (max(0, first + distance) if first else 0),
        (min(100, last + distance) if last < 100 else 100),
    )
    assert steel_columns(image) == moved
    assert np.array_equal(labels, masks.any(axis=(1, 2)))
    assert labels.dtype == np.float32


def test_steel_that_comes_in_is_mirrored_with_its_masks():
    strip = strip_of(boxes=((0, 3, 10),))
    image, masks, _ = shift(strip, 20, 0, 100)
    assert np.array_equal(image[:, :20], strip.image[:, 19::-1])
    assert np.array_equal(masks[:, :, :20], strip.masks[:, :, 19::-1])
    image, masks, _ = shift(strip, -20, 0, 100)
    assert np.array_equal(image[:, 80:], strip.image[:, :79:-1])


def test_a_class_that_leaves_the_image_loses_its_label_and_another_keeps_it():
    strip = strip_of(left=40, boxes=((0, 90, 100), (1, 85, 100)))
    assert shift(strip, 12, 40, 100).labels.tolist() == [0, 1]
    assert shift(strip, 15, 40, 100).labels.tolist() == [0, 0]
    assert shift(strip, -12, 40, 100).labels.tolist() == [1, 1]


@pytest.mark.parametrize(("side", "sign"), [("left", -1), ("right", 1)])
def test_without_masks_only_black_is_lost(side, sign):
    strip = strip_of(**{side: 30})._replace(masks=None)
    transform = ShiftTransform(HorizontalShift(probability=1, pixels=20))
    first, last = steel_columns(strip.image)
    ways = []
    for seed in range(200):
        image, masks, labels = transform(strip, np.random.default_rng(seed))
        assert masks is None
        assert labels is strip.labels
        start, stop = steel_columns(image)
        ways.append(start - first if side == "left" else stop - last)
        assert image.max() == strip.image.max()
    assert set(np.sign(ways)) == {0, sign}
    assert max(map(abs, ways)) == 20
    bare = strip_of()._replace(masks=None)
    assert transform(bare, np.random.default_rng(0)).image is bare.image


def test_with_masks_it_goes_as_far_either_way_and_as_often_as_set():
    strip = strip_of(left=30, boxes=((0, 50, 60),))
    transform = ShiftTransform(HorizontalShift(probability=0.6, pixels=15))
    ways = [
        steel_columns(transform(strip, np.random.default_rng(seed)).image)[0] - 30
        for seed in range(600)
    ]
    assert set(ways) == set(range(-15, 16))
    assert np.mean(ways) == pytest.approx(0, abs=0.7)
    assert np.mean(np.array(ways) != 0) == pytest.approx(0.6 * 30 / 31, abs=0.06)


def test_a_sliver_of_steel_is_never_lost_and_all_black_stays():
    sliver = strip_of(left=96, boxes=((0, 96, 100),))
    transform = ShiftTransform(HorizontalShift(probability=1, pixels=64))
    black = sliver._replace(image=np.zeros(SIZE, np.uint8))
    for seed in range(50):
        start, stop = steel_columns(transform(sliver, np.random.default_rng(seed)).image)
        assert stop - start >= 2
        assert np.array_equal(transform(black, np.random.default_rng(seed)).image, black.image)


def test_shift_and_flips_combine():
    """What is flipped is the shifted strip: masks still lie on the pixels that they marked."""
    strip = strip_of(left=20, boxes=((0, 50, 60),))
    strip.image[strip.masks[0] > 0] = 255
    toggles = dict.fromkeys(AugmentationSettings.model_fields) | {
        "horizontal_flip": True, "vertical_flip": True, "horizontal_shift": {"probability": 1}
    }  # fmt: skip
    pipeline = AugmentationPipeline(toggles, seed=3)
    sides = set()
    for index in range(40):
        image, masks, labels = pipeline(*strip, epoch=0, index=index)
        assert np.array_equal(image == 255, masks[0] > 0)
        assert labels.tolist() == [float(masks[0].any()), 0]
        sides.add((int(image[0, 0]) < 25, int(image[0, -1]) < 25))
    assert {(True, False), (False, True)} <= sides


@pytest.mark.slow
def test_real_strips_keep_their_border_on_its_side(severstal_sample):
    from core.data.annotations import read_label_table
    from core.data.images import read_image

    table = read_label_table(severstal_sample)
    num_borders = 0
    for index in range(len(table)):
        image = read_image(table.image_paths[index], (256, 1600))
        first, last = steel_columns(image)
        assert first == 0 or last == 1600, "a strip has a border at one of its ends"
        num_borders += last - first < 1600
        strip = Strip(image, table.masks[index], table.labels[index].astype(np.float32))
        # A mask is where steel is, a little of its ragged end aside.
        assert strip.masks[:, :, first:last].sum() > 0.97 * strip.masks.sum() - 1
        distance = min(60, (last - first) // 2)
        for way in (-distance, distance):
            start, stop = steel_columns(shift(strip, way, first, last).image)
            assert start == (max(0, first + way) if first else 0)
            assert stop == (min(1600, last + way) if last < 1600 else 1600)
    assert num_borders > 30

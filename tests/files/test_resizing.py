"""The map of images and masks to the size that a model takes."""

import cv2
import numpy as np
import pytest

from core.files.resizing import Resize, size_rule

MODES = ("stretch", "letterbox")


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_that_size_is_left_alone(mode):
    image, masks = noise((32, 64)), noise((4, 32, 64)) % 2
    assert Resize((32, 64), mode).image(image) is image
    np.testing.assert_array_equal(Resize((32, 64), mode).masks(masks), masks)


def test_areas_are_averaged_downwards_and_values_interpolated_upwards():
    image = noise((60, 200))
    averaged = image.reshape(30, 2, 50, 4).mean(axis=(1, 3))
    assert np.abs(Resize((30, 50)).image(image) - averaged).max() <= 0.5
    np.testing.assert_array_equal(
        Resize((120, 400)).image(image), cv2.resize(image, (400, 120), None, 0, 0, cv2.INTER_LINEAR)
    )


def test_one_side_may_get_smaller_and_the_other_larger():
    column = np.repeat(noise((40, 1)), 100, axis=1)
    resized = Resize((80, 25)).image(column)
    assert resized.shape == (80, 25)
    expected = cv2.resize(column[:, :1], (1, 80), None, 0, 0, cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resized, np.repeat(expected, 25, axis=1))


@pytest.mark.parametrize(
    ("stored", "inner"),
    [((50, 100), (32, 64)), ((64, 64), (32, 32)), ((10, 100), (6, 64)), ((1, 900), (1, 64))],
)
def test_letterbox_keeps_the_proportions_between_equal_black_borders(stored, inner):
    resize = Resize((32, 64), "letterbox")
    image = resize.image(np.full(stored, 200, np.uint8))
    assert image.shape == (32, 64)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (len(rows), len(columns)) == inner
    assert abs(rows[0] - (31 - rows[-1])) <= 1
    assert abs(columns[0] - (63 - columns[-1])) <= 1
    assert set(np.unique(image)) <= {0, 200}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stored", [(128, 640), (200, 300), (31, 45), (64, 700)])
def test_masks_lie_where_the_image_shows_them(mode, stored):
    """A mask of each class lies on the bright pixels that it marks, to half a pixel of its rim."""
    masks = np.zeros((3, *stored), np.uint8)
    image = np.zeros((*stored, 3), np.uint8)
    for c in range(3):
        top, left = stored[0] // 5 * (c + 1), stored[1] // 5 * (c + 1)
        masks[c, top : top + stored[0] // 4, left : left + stored[1] // 4] = 1
        image[..., c] = masks[c] * 200
    resize = Resize((64, 320), mode)
    resized, moved = resize.image(image), resize.masks(masks)
    assert moved.shape == (3, 64, 320)
    assert moved.dtype == np.uint8
    for c in range(3):
        bright = resized[..., c]
        assert moved[c].any()
        assert bright[moved[c] == 1].min() >= 200 * 0.2
        assert bright[moved[c] == 0].max() <= 200 * 0.8
        assert moved[c][bright == 200].all()


@pytest.mark.parametrize("mode", MODES)
def test_no_mask_vanishes(mode):
    """A label says that the class is there: a mask without a pixel would contradict it."""
    masks = np.zeros((2, 256, 1600), np.uint8)
    masks[0, 200, 0:1600:7] = 1
    masks[1, 0, 0] = 1
    small = Resize((32, 100), mode).masks(masks)
    assert small.any(axis=(1, 2)).all()
    assert small[1].sum() == 1
    assert len(np.flatnonzero(small[0].any(axis=1))) == 1


def test_without_a_mode_nothing_is_resized():
    assert size_rule([64, 320], None) == (64, 320)
    assert size_rule([64, 320], "letterbox") == Resize((64, 320), "letterbox")


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize(("size", "stored"), [((64, 192), (32, 96)), ((40, 50), (90, 70))])
def test_a_box_is_that_of_the_same_pixels_in_the_stored_image(mode, size, stored):
    mark = np.zeros(stored, np.uint8)
    mark[12:20, 30:44] = 255
    resize = Resize(size, mode)
    rows, columns = np.nonzero(resize.image(mark) > 60)
    box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    x, y, width, height = resize.stored_box(tuple(map(int, box)), stored)
    scale = max(1, *(old / new for old, new in zip(stored, resize.inner_size(stored), strict=True)))
    assert abs(x - 30) <= scale
    assert abs(y - 12) <= scale
    assert abs(x + width - 44) <= scale
    assert abs(y + height - 20) <= scale


def test_a_box_in_the_padding_is_at_the_border():
    assert Resize((100, 50), "letterbox").stored_box((10, 0, 20, 5), (40, 40)) == (8, 0, 16, 1)

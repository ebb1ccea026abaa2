"""From a map of distances to a score and a place."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from core.novelty.detectors import get_registry
from core.novelty.score import ScoredDetector, hottest_box, scores, smoothed


def test_the_score_is_the_mean_of_the_largest_values():
    maps = torch.tensor([[[1.0, 5.0], [3.0, 2.0]], [[0.0, 0.0], [0.0, 4.0]]])
    assert scores(maps, 2).tolist() == [4.0, 2.0]
    assert scores(maps, 100).tolist() == [2.75, 1.0]


def test_smoothing_is_that_of_a_gaussian():
    maps = torch.rand(2, 20, 30, generator=torch.Generator().manual_seed(0))
    expected = [gaussian_filter(one.numpy(), 1.5, mode="nearest", radius=5) for one in maps]
    np.testing.assert_allclose(smoothed(maps, 1.5).numpy(), np.stack(expected), atol=1e-6)
    assert smoothed(maps, 0) is maps


def test_the_box_surrounds_the_hottest_region_alone():
    heat = np.zeros((8, 40), np.float32)
    heat[2:4, 10:13] = 1.0
    heat[5:7, 30:32] = 0.9
    heat[3, 11] = 1.2
    assert hottest_box(heat, (64, 320)) == (80, 16, 24, 16)


@pytest.mark.parametrize("size", [(64, 320), (61, 317)])
def test_a_box_lies_within_the_image(size):
    heat = np.zeros((8, 40), np.float32)
    heat[-1, -1] = 1
    x, y, width, height = hottest_box(heat, size)
    assert (x + width, y + height) == (size[1], size[0])


@pytest.mark.parametrize(("stride", "size", "mark"), [(64, (32, 96), 52), (16, (200, 100), 45)])
def test_the_box_surrounds_a_spot_where_the_last_place_is_cut_off(stride, size, mark):
    images = torch.full((1, 1, *size), 120, dtype=torch.uint8)
    images[..., 14:22, mark : mark + 8] = 255
    detector = get_registry().instantiate("high_pass", stride=stride)
    (heat,) = ScoredDetector(detector, smoothing=0.0, largest=1)(images)[1]
    x, _, width, _ = hottest_box(heat.numpy(), size, detector.stride)
    assert x <= mark
    assert x + width >= mark + 8


def test_a_spot_on_flat_steel_is_found_where_it_is():
    images = torch.full((1, 1, 64, 320), 120, dtype=torch.uint8)
    images[..., 24:32, 200:208] = 255
    scored = ScoredDetector(get_registry().instantiate("high_pass"), smoothing=4.0, largest=3)
    (score,), (heat,) = scored(images)
    x, y, width, height = hottest_box(heat.numpy(), (64, 320))
    assert score > 0
    assert x <= 200
    assert x + width >= 208
    assert y <= 24
    assert y + height >= 32
    assert width < 60

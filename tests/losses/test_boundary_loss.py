"""Distance maps and the boundary loss."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from loss_examples import confident
from loss_references import signed_distance

from core.errors import InputError
from core.losses import BoundaryLoss
from core.losses.boundary_loss import scaled_distance_map, signed_distance_map

pytestmark = pytest.mark.filterwarnings("ignore:.*computes distance maps")


def block(shape=(40, 60), rows=slice(10, 20), columns=slice(20, 35)):
    mask = np.zeros(shape)
    mask[rows, columns] = 1
    return mask


def logits_of(mask, size=100.0):
    return confident("boundary_loss", torch.from_numpy(mask)[None, None], None, size).double()


def value(mask, target, **params):
    return BoundaryLoss(**params)(logits_of(mask), torch.from_numpy(target)[None, None]).item()


@settings(deadline=None, max_examples=30)
@given(
    arrays(
        bool,
        st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
        elements=st.booleans(),
    )
)
def test_distances_are_exact(mask):
    np.testing.assert_allclose(signed_distance_map(mask), signed_distance(mask), atol=1e-12)


@pytest.mark.parametrize("mask", [np.zeros((5, 6)), np.ones((5, 6)), np.ones((1,))])
def test_a_mask_without_a_border_has_no_distances(mask):
    assert not signed_distance_map(mask).any()
    assert value(1 - mask, mask) == 0


def test_perfect_is_better_than_shifted_is_better_than_the_complement():
    target = block()
    shifted = [np.roll(target, by, axis=1) for by in (0, 1, 5, 12)]
    for params in ({}, {"scale": "diagonal"}, {"scale": "none"}, {"relative": False}):
        values = [value(mask, target, **params) for mask in [*shifted, 1 - target]]
        assert values == sorted(values)
        assert len(set(values)) == 5
        if params.get("relative", True):
            assert values[0] == pytest.approx(0, abs=1e-12)
        else:
            assert values[0] < 0


def test_both_forms_have_the_same_gradient():
    target = torch.from_numpy(block())[None, None]
    slopes = []
    for relative in (True, False):
        logits = torch.linspace(-3, 3, 2400, dtype=torch.float64).view(1, 1, 40, 60)
        BoundaryLoss(relative=relative)(logits.requires_grad_(), target).backward()
        slopes.append(logits.grad)
    torch.testing.assert_close(slopes[0], slopes[1])


@pytest.mark.parametrize("scale", ["clip", "diagonal"])
def test_its_size_does_not_depend_on_that_of_the_strip(scale):
    for shape in [(40, 60), (256, 1600)]:
        mask = block(shape)
        assert np.abs(scaled_distance_map(mask, scale, max_distance=8)).max() <= 1
        assert 0 < value(1 - mask, mask, scale=scale) <= 1
    # Unscaled, one block on a full strip is a matter of hundreds of pixels.
    assert value(1 - block((256, 1600)), block((256, 1600)), scale="none") > 100


def test_clipping_is_in_units_of_the_longest_distance():
    mask = block()
    raw = signed_distance_map(mask)
    np.testing.assert_allclose(scaled_distance_map(mask, max_distance=4.0), np.clip(raw, -4, 4) / 4)


def test_an_absent_class_adds_nothing():
    mask = block()
    both = torch.from_numpy(np.stack([mask, np.zeros_like(mask)]))[None]
    logits = torch.zeros(1, 2, 40, 60, dtype=torch.float64, requires_grad=True)
    values = BoundaryLoss(reduction="none")(logits, both)
    values.sum().backward()
    assert not values[0, 1].any()
    assert not logits.grad[0, 1].any()
    assert logits.grad[0, 0].any()


def test_maps_of_the_loader_are_those_of_the_loss():
    rng = np.random.default_rng(0)
    masks = (rng.random((2, 3, 6, 7)) < 0.3).astype(np.uint8)
    loss = BoundaryLoss(max_distance=2.0)
    maps = np.stack([loss.distance_maps_of(image) for image in masks])
    assert maps.dtype == np.float32
    logits, targets = torch.randn(2, 3, 6, 7), torch.from_numpy(masks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given_maps = loss(logits, targets, torch.from_numpy(maps))
    with pytest.warns(UserWarning, match="distance maps in each step.*distance_maps_of") as caught:
        computed = [loss(logits, targets) for _ in range(2)]
    assert len(caught) == 1
    torch.testing.assert_close(computed[1], given_maps)


def test_maps_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="distance_maps"):
        BoundaryLoss()(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(1, 2, 4))


@pytest.mark.parametrize("params", [{"max_distance": 0}, {"scale": "height"}])
def test_bad_values_are_refused(params):
    with pytest.raises(InputError, match=f"loss boundary_loss: {next(iter(params))}="):
        BoundaryLoss(**params)

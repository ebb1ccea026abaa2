"""Targets of mask losses: cells by maximum, distance maps, shares."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.data.label_table import LabelTable
from core.data.mask_targets import (
    MaskTargets,
    max_pooled,
    max_pooled_batch,
    measure_pixel_shares,
)

MASKS = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 17)),
    elements=st.integers(0, 1),
)


@given(MASKS, st.integers(1, 5))
def test_a_cell_is_the_maximum_of_its_pixels(masks, stride):
    pooled = max_pooled(masks, stride)
    classes, height, width = masks.shape
    assert pooled.shape == (classes, -(-height // stride), -(-width // stride))
    for c, row, column in np.ndindex(pooled.shape):
        rows = slice(row * stride, (row + 1) * stride)
        cell = masks[c, rows, column * stride : (column + 1) * stride]
        assert pooled[c, row, column] == cell.max()
    batch = torch.from_numpy(np.stack([masks, 1 - masks]))
    alone = [max_pooled(one, stride) for one in (masks, 1 - masks)]
    np.testing.assert_array_equal(max_pooled_batch(batch, stride), np.stack(alone))


def test_a_defect_of_one_pixel_survives():
    masks = np.zeros((1, 256, 1600), np.uint8)
    masks[0, 255, 1599] = 1
    assert max_pooled(masks, 4).sum() == 1


def test_distance_maps_are_made_of_the_targets():
    seen = []

    def maker(targets: np.ndarray) -> np.ndarray:
        seen.append(targets.copy())
        return targets * 2.0

    masks = np.eye(8, dtype=np.uint8)[None]
    made = MaskTargets(4, maker)(masks)
    np.testing.assert_array_equal(seen[0], made["mask_targets"])
    assert made["distance_maps"].dtype == np.float32
    np.testing.assert_array_equal(made["distance_maps"], 2 * made["mask_targets"])
    assert set(MaskTargets(4)(masks)) == {"mask_targets"}


def table_of(masks: list[np.ndarray]) -> LabelTable:
    labels = np.array([mask.any(axis=(1, 2)) for mask in masks]).astype(np.uint8)
    ids = tuple(str(number) for number in range(len(masks)))
    names = tuple("abcd"[: labels.shape[1]])
    return LabelTable((), ids, labels, names, masks, "train.csv")


def test_pixel_shares_are_those_of_the_cells():
    generator = np.random.default_rng(0)
    masks = [(generator.random((2, 8, 12)) < share).astype(np.uint8) for share in (0, 0.1, 0.4)]
    expected = np.mean([max_pooled(mask, 4).mean(axis=(1, 2)) for mask in masks], axis=0)
    measured = measure_pixel_shares(table_of(masks), np.arange(3), stride=4)
    assert measured == pytest.approx(expected)


def test_pixel_shares_of_clean_images_are_zero():
    clean = [np.zeros((2, 8, 8), np.uint8)] * 3
    assert measure_pixel_shares(table_of(clean), np.arange(3), stride=4).tolist() == [0, 0]

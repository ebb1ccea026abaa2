"""Scores of masks against plain loops, and their limits."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from core.metrics.localization import localization_figures
from core.training.classification.outputs import score_masks


def loops(mask_logits: torch.Tensor, masks: torch.Tensor) -> dict[str, np.ndarray]:
    """The same scores, image by image and class by class."""
    enlarged = functional.interpolate(mask_logits, size=masks.shape[-2:], mode="bilinear")
    shape = mask_logits.shape[:2]
    scores = {name: np.full(shape, np.nan) for name in ("dice", "iou", "peak_inside")}
    for b, c in np.ndindex(*shape):
        predicted = set(zip(*np.nonzero(enlarged[b, c].numpy() > 0), strict=True))
        truth = set(zip(*np.nonzero(masks[b, c].numpy()), strict=True))
        both, either = len(predicted & truth), len(predicted | truth)
        scores["dice"][b, c] = 2 * both / (len(predicted) + len(truth)) if either else 1.0
        if either:
            scores["iou"][b, c] = both / either
        if truth:
            row, column = np.unravel_index(int(mask_logits[b, c].argmax()), mask_logits.shape[-2:])
            cell = masks[b, c, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            scores["peak_inside"][b, c] = float(cell.any())
    return scores


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    masks = torch.zeros(6, 3, 32, 48, dtype=torch.uint8)
    masks[:, 0, 4:20, 8:30] = 1
    masks[:3, 1, 9, 11] = 1
    logits = functional.avg_pool2d(masks.float(), 4) * 4 - 1
    return logits + torch.randn(logits.shape, generator=generator), masks


def test_scores_equal_plain_loops(batch):
    scores, expected = score_masks(*batch), loops(*batch)
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(scores, name), values, err_msg=name)


def test_empty_against_empty_is_a_perfect_dice_and_no_iou():
    scores = score_masks(torch.full((1, 1, 4, 4), -5.0), torch.zeros(1, 1, 16, 16))
    assert scores.dice.item() == 1
    assert np.isnan(scores.iou.item())
    assert np.isnan(scores.peak_inside.item())


def test_a_false_alarm_on_an_empty_mask_scores_zero():
    scores = score_masks(torch.full((1, 1, 4, 4), 5.0), torch.zeros(1, 1, 16, 16))
    assert scores.dice.item() == scores.iou.item() == 0


def test_a_perfect_map_scores_one():
    masks = torch.zeros(1, 1, 16, 16)
    masks[..., :8] = 1
    scores = score_masks(functional.avg_pool2d(masks, 4) * 20 - 10, masks)
    assert scores.dice.item() == scores.iou.item() == scores.peak_inside.item() == 1


def test_figures_are_means_where_they_are_defined(batch):
    scores = score_masks(*batch)
    figures = localization_figures(scores, ["a", "b", "c"])
    assert figures["num_images"] == 6
    assert [part["num_with_mask"] for part in figures["per_class"].values()] == [6, 3, 0]
    assert figures["per_class"]["b"]["dice_with_defect"] == pytest.approx(scores.dice[:3, 1].mean())
    assert figures["per_class"]["c"]["pointing_accuracy"] is None
    means = [figures["per_class"][name]["pointing_accuracy"] for name in "ab"]
    assert figures["macro"]["pointing_accuracy"] == pytest.approx(np.mean(means))

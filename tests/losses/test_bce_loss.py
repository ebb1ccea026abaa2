"""Limits of binary cross-entropy, and what its parameters mean."""

import pytest
import torch
from loss_examples import COUNTS, TOTAL, example

from core.errors import InputError
from core.losses import BCEWithLogits


def test_balanced_pos_weight_is_negatives_by_positives():
    loss = BCEWithLogits(pos_weight="balanced")
    loss.set_class_statistics(COUNTS, TOTAL, "train_split")
    params = loss.get_params()
    assert params["pos_weight"] == pytest.approx([13.01, 49.88, 1.440, 14.69], rel=1e-3)
    root = BCEWithLogits(pos_weight="sqrt")
    root.set_class_statistics(COUNTS, TOTAL, "train_split")
    squares = [weight**2 for weight in root.get_params()["pos_weight"]]
    assert squares == pytest.approx(params["pos_weight"])


def test_pos_weight_touches_positives_only():
    logits, targets = example("bce_with_logits", (3, 4, 5))
    plain = BCEWithLogits(reduction="none")(logits, targets)
    weighted = BCEWithLogits(pos_weight=[3, 3, 3, 3], reduction="none")(logits, targets)
    torch.testing.assert_close(weighted / plain, 1 + 2 * targets)


def test_smoothing_of_one_half_puts_the_best_logit_at_log_three():
    logits = torch.full((1, 4), 3.0).log().requires_grad_()
    BCEWithLogits(label_smoothing=0.5)(logits, torch.ones(1, 4)).backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 4), rtol=0, atol=1e-7)


def test_boolean_and_byte_targets_are_taken():
    logits, targets = example("bce_with_logits", (3, 4))
    expected = BCEWithLogits()(logits, targets)
    for dtype in (torch.bool, torch.uint8, torch.int64):
        assert torch.equal(BCEWithLogits()(logits, targets.to(dtype)), expected)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing=1.0: input should be less than 1"),
        ({"pos_weight": [1.0, -2.0]}, "pos_weight"),
        ({"pos_weight": "dynamic"}, "pos_weight='dynamic'.*'balanced' or 'sqrt'"),
        ({"gamma": 2.0}, "gamma=2.0: unknown key"),
    ],
)
def test_bad_values_are_refused(params, message):
    with pytest.raises(InputError, match=f"loss bce_with_logits: {message}"):
        BCEWithLogits(**params)

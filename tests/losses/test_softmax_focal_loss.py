"""Limits of the softmax focal loss."""

import pytest
import torch
from loss_examples import example
from torch.nn import functional as F

from core.errors import InputError
from core.losses import FocalLoss, SoftmaxFocalLoss, get_loss


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 6, 4), (2, 3, 4, 6, 5)])
def test_gamma_zero_is_cross_entropy(shape):
    logits, targets = example("softmax_focal_loss", shape)
    loss = SoftmaxFocalLoss(gamma=0)
    torch.testing.assert_close(loss(logits, targets), F.cross_entropy(logits, targets))


def test_two_classes_are_the_sigmoid_focal_loss_of_their_difference():
    logits, targets = example("softmax_focal_loss", (4, 2, 7), dtype=torch.float64)
    binary = FocalLoss(alpha=0.3, gamma=1.5)
    expected = binary((logits[:, 1] - logits[:, 0])[:, None], targets[:, None])
    value = SoftmaxFocalLoss(alpha=0.3, gamma=1.5)(logits, targets)
    torch.testing.assert_close(value, expected)


def test_volumes_with_index_targets_as_a_user_writes_it():
    loss = get_loss({"type": "softmax_focal", "alpha": 0.25, "gamma": 2.0})
    logits = torch.randn(2, 5, 16, 16, 16, requires_grad=True)
    value = loss(logits, torch.randint(5, (2, 16, 16, 16)))
    value.backward()
    assert value.shape == ()
    assert torch.isfinite(logits.grad).all()


def test_a_shift_of_all_logits_changes_nothing():
    logits, targets = example("softmax_focal_loss", (4, 3, 7), dtype=torch.float64)
    loss = SoftmaxFocalLoss()
    torch.testing.assert_close(loss(logits + 50, targets), loss(logits, targets))


def test_a_class_of_weight_zero_does_not_count():
    logits, targets = example("softmax_focal_loss", (4, 3, 7))
    values = SoftmaxFocalLoss(alpha=[1.0, 0.0, 2.0], reduction="none")(logits, targets)
    assert ((values == 0) == (targets == 1)).all()


def test_a_wrong_number_of_weights_is_named():
    logits, targets = example("softmax_focal_loss", (4, 3))
    with pytest.raises(InputError, match="softmax_focal_loss: alpha has 2 values, expected 3"):
        SoftmaxFocalLoss(alpha=[1.0, 2.0])(logits, targets)

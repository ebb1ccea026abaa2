"""Limits of the asymmetric loss."""

import pytest
import torch
from loss_examples import example

from core.errors import InputError
from core.losses import AsymmetricLoss, BCEWithLogits, FocalLoss


def data(seed=0):
    logits, targets = example("asymmetric_loss", (3, 4, 5), seed, torch.float64)
    return 3 * logits, targets


def test_without_powers_and_margin_it_is_cross_entropy():
    loss = AsymmetricLoss(gamma_positive=0, gamma_negative=0, margin=0)
    torch.testing.assert_close(loss(*data()), BCEWithLogits()(*data()))


def test_with_equal_powers_and_no_margin_it_is_the_focal_loss():
    loss = AsymmetricLoss(gamma_positive=2, gamma_negative=2, margin=0)
    torch.testing.assert_close(loss(*data()), FocalLoss(alpha=None, gamma=2)(*data()))


def test_a_negative_below_the_margin_costs_nothing_and_teaches_nothing():
    logits = torch.tensor([[-4.0, -3.0, -2.9, 0.0]], requires_grad=True)
    for gamma in (0, 0.5, 4):
        loss = AsymmetricLoss(gamma_negative=gamma, reduction="none")
        values = loss(logits, torch.zeros(1, 4))
        (slope,) = torch.autograd.grad(values.sum(), logits)
        # 0.05 is the probability of a logit of -2.944.
        assert ((values == 0) == torch.tensor([True, True, False, False])).all()
        assert ((slope == 0) == torch.tensor([True, True, False, False])).all()


def test_without_a_margin_a_confident_error_keeps_its_slope_on_both_sides():
    logits = torch.tensor([[-100.0, 100.0]], requires_grad=True)
    loss = AsymmetricLoss(margin=0, reduction="sum")
    loss(logits, torch.tensor([[1.0, 0.0]])).backward()
    # (1 - p)^g log(1 / p) has the slope -1, p^g log(1 / (1 - p)) has 1, for every g.
    torch.testing.assert_close(logits.grad, torch.tensor([[-1.0, 1.0]]))


@pytest.mark.parametrize("gamma", [0, 0.5, 4])
def test_with_a_margin_a_missing_label_costs_at_most_minus_log_margin(gamma):
    loss = AsymmetricLoss(gamma_negative=gamma, margin=0.05)
    value = loss(torch.full((1, 1), 100.0), torch.zeros(1, 1))
    expected = 0.95**gamma * -torch.log(torch.tensor(0.05))
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("powers", [(0, 0), (1, 4), (0.5, 0.5), (2, 1)])
def test_the_fused_pass_equals_the_definition(margin, powers):
    logits, targets = data(5)
    targets = targets * 0.9
    loss = AsymmetricLoss(*powers, margin, reduction="none")
    fused = loss(logits.requires_grad_(), targets)
    with torch.no_grad():
        torch.testing.assert_close(fused.detach(), loss(logits, targets))
    weights = torch.linspace(-1, 1, logits.numel(), dtype=torch.float64).view_as(logits)
    (slope,) = torch.autograd.grad(fused, logits, weights, retain_graph=True)
    (other,) = torch.autograd.grad(fused, logits, weights, create_graph=True)
    torch.testing.assert_close(slope, other.detach())


@pytest.mark.parametrize("params", [{"margin": 1.0}, {"gamma_positive": -1}, {"clip": 0.05}])
def test_bad_values_are_refused(params):
    with pytest.raises(InputError, match=f"loss asymmetric_loss: {next(iter(params))}="):
        AsymmetricLoss(**params)

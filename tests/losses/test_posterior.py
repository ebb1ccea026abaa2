"""Undoing what a loss does to probabilities, against a search for the lowest expected loss."""

import copy

import pytest
import torch
from loss_examples import COUNTS, NAMES, TOTAL, build, example
from scipy.optimize import minimize_scalar
from torch import nn

from core.losses import get_loss
from core.losses.base import BaseLoss
from core.losses.posterior import posterior_logits

ELEMENTWISE = [
    *({"type": name} for name in NAMES if build(name).is_elementwise),
    {"type": "bce_with_logits", "pos_weight": "balanced"},
    {"type": "bce_with_logits", "pos_weight": [2.0, 0.5, 30.0, 1.0], "label_smoothing": 0.1},
    {"type": "focal_loss", "alpha": 0.25, "gamma": 0.0},
    {"type": "focal_loss", "alpha": [0.9, 0.3, 0.5, 0.99], "gamma": 0.5, "reduction": "sum"},
    {"type": "focal_loss", "class_weight": "inverse", "alpha_normalize": True},
    {"type": "focal_loss", "alpha": 0.7, "reduction": "positives"},
    {"type": "asymmetric_loss", "gamma_positive": 0.0, "gamma_negative": 2.0, "margin": 0.0},
]
every_loss = pytest.mark.parametrize("params", ELEMENTWISE, ids=str)


def resolved(params) -> BaseLoss:
    loss = get_loss(params)
    loss.set_class_statistics(COUNTS, TOTAL, "train_split")
    return loss


def logit(q):
    return torch.logit(torch.tensor(q, dtype=torch.float64))


def best_logit(loss, posterior, index) -> float:
    """The logit of the lowest expected loss of one class, found by its values alone."""
    loss = copy.deepcopy(loss).double().eval()

    def expected(z):
        logits = torch.zeros(1, 4, dtype=torch.float64)
        logits[0, index] = z
        sides = [loss(logits, torch.full_like(logits, target)).item() for target in (1.0, 0.0)]
        return posterior * sides[0] + (1 - posterior) * sides[1]

    return minimize_scalar(expected, bounds=(-9, 9), options={"xatol": 1e-10}).x


@every_loss
@pytest.mark.parametrize("posterior", [0.1, 0.5, 0.8])
def test_a_logit_stands_for_the_posterior_that_it_is_best_for(params, posterior):
    loss = resolved(params)
    for index in range(4):
        logits = torch.full((1, 4), best_logit(loss, posterior, index))
        found = posterior_logits(loss, logits)[0, index]
        torch.testing.assert_close(found, logit(posterior), rtol=0, atol=1e-5)


@every_loss
def test_decisions_at_one_half_are_those_of_the_posterior(params):
    loss = resolved(params)
    slopes, intercepts = loss.posterior_scaling(4) or ([1.0] * 4, [0.0] * 4)
    for index, (slope, intercept) in enumerate(zip(slopes, intercepts, strict=True)):
        assert slope > 0
        assert slope * best_logit(loss, 0.5, index) + intercept == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_left_alone_unless_it_is_elementwise_and_linear_in_the_target(name):
    loss = build(name)
    if not loss.is_elementwise:
        assert loss.posterior_scaling(4) is None
        return
    logits, targets = example(name, (5, 4), dtype=torch.float64)
    loss = build(name, reduction="none").double()
    one, zero = loss(logits, torch.ones_like(logits)), loss(logits, torch.zeros_like(logits))
    torch.testing.assert_close(loss(logits, targets), torch.where(targets > 0, one, zero))
    soft = loss(logits, torch.full_like(targets, 0.3))
    torch.testing.assert_close(soft, 0.3 * one + 0.7 * zero)


def test_weights_of_cross_entropy_are_undone_exactly():
    loss = get_loss({"type": "bce", "pos_weight": [3.0, 1.0, 0.2]})
    slopes, intercepts = loss.posterior_scaling(3)
    assert slopes == pytest.approx([1, 1, 1], abs=1e-12)
    assert intercepts == pytest.approx((-torch.tensor([3.0, 1.0, 0.2]).log()).tolist(), abs=1e-6)
    logits = torch.linspace(-8, 8, 15, dtype=torch.float64).view(5, 3)
    scaled = logits * torch.tensor(slopes) + torch.tensor(intercepts)
    torch.testing.assert_close(posterior_logits(loss, logits), scaled)


def test_focal_alpha_follows_the_closed_form():
    """The two sides' slopes by p, derived by hand."""
    gamma, alpha = 2.0, 0.9
    loss = get_loss({"type": "focal", "gamma": gamma, "alpha": alpha})
    p = torch.linspace(0.05, 0.95, 9, dtype=torch.float64)
    q = 1 - p
    sides = [(1 - a) ** gamma / a - gamma * (1 - a) ** (gamma - 1) * a.log() for a in (p, q)]
    expected = (sides[1] / sides[0]).log() - logit(alpha)
    found = posterior_logits(loss, torch.logit(p)[:, None])[:, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_side_that_weighs_nothing_leaves_nothing_to_undo(alpha):
    assert get_loss({"type": "focal", "alpha": alpha}).posterior_scaling(2) is None
    some = get_loss({"type": "focal", "alpha": [alpha, 0.9]}).posterior_scaling(2)
    assert (some[0][0], some[1][0]) == (1.0, 0.0)


def test_it_changes_neither_the_loss_nor_the_state_of_torch():
    loss = resolved({"type": "focal_loss"}).train()
    before = str(loss.state_dict())
    with torch.no_grad():
        loss.posterior_scaling(4)
    assert loss.training
    assert loss.reduction == "mean"
    assert loss.warn_of_probabilities
    assert str(loss.state_dict()) == before
    assert torch.is_grad_enabled()


def test_probabilities_that_are_posteriors_stay_as_they_are():
    assert get_loss({"type": "bce"}).posterior_scaling(4) is None
    assert get_loss({"type": "focal", "alpha": 0.5, "gamma": 0.0}).posterior_scaling(4) is None
    slopes, intercepts = get_loss({"type": "focal", "alpha": None}).posterior_scaling(2)
    assert slopes[0] > 2.5
    assert intercepts == pytest.approx([0, 0], abs=1e-12)


def test_another_module_is_left_alone():
    assert not hasattr(nn.BCEWithLogitsLoss(), "posterior_scaling")
    assert (
        get_loss({"type": "compound", "components": [{"type": "focal"}]}).posterior_scaling(4)
        is None
    )

"""What learning the weights of a compound loss does, and what keeps it from collapsing."""

import copy
import math

import pytest
import torch
from torch import nn

from core.losses import CompoundLoss, DiceLoss, FocalLoss, get_loss
from core.losses.loss_weighting import SoftmaxWeights, UncertaintyWeights

CONSTANTS = torch.tensor([0.9, 0.3, 0.05])


def minimise(parameters, objective, steps, rate=0.01):
    """The weights after that many steps of Adam."""
    optimizer = torch.optim.Adam(parameters, lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        objective().backward()
        optimizer.step()


def test_the_naive_softmax_collapses_onto_the_smallest_term():
    scores = torch.zeros(3, requires_grad=True)
    minimise([scores], lambda: (torch.softmax(scores, 0) * CONSTANTS).sum(), 300)
    # Why ours is more than this: units alone decide.
    assert torch.softmax(scores, 0)[2].item() > 0.95


def test_ours_stays_at_the_configured_weights_on_constants():
    weighting = SoftmaxWeights([0.5, 0.3, 0.2], floor=0.05, strength=1.0)
    minimise(weighting.parameters(), lambda: weighting(CONSTANTS), 300)
    torch.testing.assert_close(
        weighting.weights(), torch.tensor([0.5, 0.3, 0.2]), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0])
def test_no_weight_falls_below_its_floor_and_the_pull_bounds_how_far_it_goes(strength):
    weighting = SoftmaxWeights([0.6, 0.39, 0.01], floor=0.05, strength=strength)
    generator = torch.Generator().manual_seed(0)

    def objective():
        # The first falls steadily, the second stays, the third rises.
        step = objective.step = getattr(objective, "step", 0) + 1
        noise = 1 + 0.1 * torch.rand(3, generator=generator)
        trend = torch.tensor([0.99**step, 1.0, 1.01**step])
        return weighting(CONSTANTS * trend * noise)

    minimise(weighting.parameters(), objective, 400, rate=0.05)
    weights = weighting.weights()
    assert weights.sum().item() == pytest.approx(1)
    assert (weights >= torch.tensor([0.05, 0.05, 0.005]) - 1e-6).all()
    if strength == 1.0:
        # At rest, weight / configured is proportional to exp(-ratio): ratios are 0.9 to 1.1.
        torch.testing.assert_close(weights, torch.tensor([0.6, 0.39, 0.01]), atol=0.1, rtol=0)


def test_the_units_of_a_part_do_not_matter():
    generator = torch.Generator().manual_seed(1)
    series = torch.rand(200, 3, generator=generator)
    paths = []
    for scale in (1.0, 1000.0):
        weighting = SoftmaxWeights([0.5, 0.3, 0.2], floor=0.05, strength=0.5)
        optimizer = torch.optim.Adam(weighting.parameters(), lr=0.05)
        path = []
        for values in series * torch.tensor([1.0, scale, 1.0]):
            optimizer.zero_grad()
            weighting(values).backward()
            optimizer.step()
            path.append(weighting.weights().detach())
        paths.append(torch.stack(path))
    torch.testing.assert_close(paths[0], paths[1], atol=1e-4, rtol=0)
    assert (paths[0][-1] - paths[0][0]).abs().max() > 0.005


@pytest.mark.parametrize("mode", ["softmax", "uncertainty"])
def test_weights_move_in_a_real_fit_and_the_fit_succeeds(mode):
    torch.manual_seed(0)
    images = torch.randn(16, 1, 12, 12)
    masks = (nn.functional.avg_pool2d(images, 3, 1, 1) > 0.2).float()
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    loss = CompoundLoss([DiceLoss(), FocalLoss(alpha=0.5)], learnable_weights=mode)
    start, before = loss.get_weights(), loss(network(images), masks).item()
    groups = [{"params": network.parameters()}, {"params": loss.parameters(), "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss(network(images), masks).backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in loss.parameters())
        optimizer.step()
    moved = loss.get_weights()
    assert any(abs(moved[name] - start[name]) > 1e-3 for name in start)
    assert loss(network(images), masks).item() < 0.9 * before
    found = (network(images) > 0).float()
    assert (found == masks).float().mean() > 0.9


def test_the_value_is_the_weighted_sum_and_the_network_sees_nothing_else():
    fixed = CompoundLoss([{"type": "dice", "weight": 0.7}, {"type": "bce", "weight": 0.3}])
    learned = get_loss({**fixed.get_params(), "learnable_weights": True})
    logits, targets = torch.randn(2, 3, 8), torch.randint(2, (2, 3, 8))
    slopes = []
    for loss in (fixed, learned):
        leaf = logits.clone().requires_grad_()
        for _ in range(3):
            value = loss(leaf, targets)
        value.backward()
        slopes.append(leaf.grad)
        torch.testing.assert_close(value, fixed(logits, targets))
    torch.testing.assert_close(slopes[0], slopes[1])


@pytest.mark.slow
def test_kendall_on_constants_finds_one_over_the_loss():
    s = torch.zeros(3, requires_grad=True)
    minimise([s], lambda: (torch.exp(-s) * CONSTANTS / 2 + s / 2).sum(), 2000, rate=0.02)
    torch.testing.assert_close(torch.exp(-s), 1 / CONSTANTS, rtol=1e-2, atol=0)


@pytest.mark.slow
def test_uncertainty_on_constants_finds_the_optimum_of_liebel():
    weighting = UncertaintyWeights([0.5, 0.5, 0.5])
    minimise(weighting.parameters(), lambda: weighting(CONSTANTS), 2000, rate=0.02)
    variance = (CONSTANTS + torch.sqrt(CONSTANTS**2 + 8 * CONSTANTS)) / 4
    torch.testing.assert_close(weighting.weights(), 1 / (2 * variance), rtol=1e-2, atol=0)


@pytest.mark.parametrize(("limit", "leading_on"), [(4.0, 1e6), (-4.0, -1e6)])
def test_uncertainty_comes_back_from_beyond_its_limit(limit, leading_on):
    weighting = UncertaintyWeights([1.0])
    weighting.log_variances.data.fill_(1.1 * limit)
    assert weighting.weights().item() == pytest.approx(math.exp(-limit) / 2)
    weighting(torch.tensor([leading_on])).backward()
    assert weighting.log_variances.grad.item() == 0
    minimise(weighting.parameters(), lambda: weighting(torch.tensor([1.0])), 400, rate=0.1)
    assert weighting.log_variances.item() == pytest.approx(0.0, abs=0.1)


@pytest.mark.slow
def test_uncertainty_stays_bounded_as_a_loss_vanishes():
    weighting = UncertaintyWeights([0.5, 0.5])
    values = torch.tensor([0.0, 1e6])
    minimise(weighting.parameters(), lambda: weighting(values), 2000, rate=0.05)
    weights = weighting.weights()
    assert weights[0].item() == pytest.approx(27.3, rel=1e-2)
    assert weights[1].item() == pytest.approx(0.00916, rel=1e-2)
    assert weighting(values) >= 0


@pytest.mark.parametrize("mode", ["softmax", "uncertainty"])
def test_learned_weights_survive_a_checkpoint_and_a_record(mode):
    config = {
        "type": "compound",
        "components": [{"type": "dice", "weight": 0.6}, {"type": "bce", "weight": 0.4}],
        "learnable_weights": mode,
    }
    loss = get_loss(config)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        logits = torch.randn(2, 3, 8, generator=generator)
        optimizer.zero_grad()
        loss(logits, (logits > 1).float()).backward()
        optimizer.step()
    resumed, rebuilt = get_loss(config), get_loss(loss.get_params())
    resumed.load_state_dict(copy.deepcopy(loss.state_dict()))
    assert resumed.get_weights() == loss.get_weights()
    assert resumed.get_weights() != get_loss(config).get_weights()
    assert rebuilt.get_weights() == pytest.approx(loss.get_weights(), rel=1e-5)
    # The next step is the same, running means included.
    logits = torch.randn(2, 3, 8, generator=generator)
    slopes = []
    for each in (loss, resumed):
        each.zero_grad()
        each(logits, (logits > 1).float()).backward()
        slopes.append(next(each.parameters()).grad)
    assert torch.equal(*slopes)


def test_one_part_alone_keeps_all_the_weight():
    loss = CompoundLoss([DiceLoss()], learnable=True)
    assert loss.get_weights() == pytest.approx({"dice_loss": 1.0})


def test_a_part_that_is_negative_is_measured_by_its_size():
    weighting = SoftmaxWeights([0.5, 0.3, 0.2], floor=0.05, strength=1.0)
    minimise(weighting.parameters(), lambda: weighting(CONSTANTS * torch.tensor([1, -1, 1])), 500)
    # Its ratio is -1 where the others' is 1: at rest it weighs e^2 times more, not everything.
    assert 0.5 < weighting.weights()[1].item() < 0.8
    assert weighting.weights().min().item() > 0.05

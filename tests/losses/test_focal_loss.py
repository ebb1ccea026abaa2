"""Limits of the focal loss, and what its parameters mean."""

import itertools

import pytest
import torch
from loss_examples import COUNTS, TOTAL, example
from torch.nn import functional as F

from core.errors import InputError
from core.losses import FocalLoss, SoftmaxFocalLoss, get_loss
from core.losses.class_weights import effective_number


def data(shape=(3, 4, 5), seed=0):
    return example("focal_loss", shape, seed, torch.float64)


def test_gamma_zero_without_alpha_is_cross_entropy():
    logits, targets = data()
    loss = FocalLoss(alpha=None, gamma=0.0)
    expected = F.binary_cross_entropy_with_logits(logits, targets)
    torch.testing.assert_close(loss(logits, targets), expected, rtol=1e-14, atol=0)


def test_alpha_one_half_is_half_of_no_alpha():
    logits, targets = data()
    half, none = FocalLoss(alpha=0.5)(logits, targets), FocalLoss(alpha=None)(logits, targets)
    torch.testing.assert_close(2 * half, none)


@pytest.mark.parametrize(("alpha", "kept"), [(1.0, 1), (0.0, 0)])
def test_alpha_at_its_ends_leaves_one_side_out(alpha, kept):
    logits, targets = data()
    values = FocalLoss(alpha=alpha, reduction="none")(logits, targets)
    assert torch.equal(values > 0, targets == kept)


def test_a_larger_gamma_lowers_every_element():
    logits, targets = data()
    values = [FocalLoss(None, gamma, reduction="none")(logits, targets) for gamma in (0, 1, 2, 5)]
    assert all((a > b).all() for a, b in itertools.pairwise(values))


def test_saturated_logits_with_gamma_below_one_have_finite_derivatives():
    logits = torch.tensor([[30.0, -30.0, 100.0, -100.0]], requires_grad=True)
    for targets in (torch.ones(1, 4), torch.zeros(1, 4)):
        value = FocalLoss(alpha=None, gamma=0.5)(logits, targets)
        (slope,) = torch.autograd.grad(value, logits, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), logits)
        assert torch.isfinite(value)
        assert torch.isfinite(slope).all()
        assert torch.isfinite(curvature).all()


def test_a_soft_target_is_the_expectation_of_the_hard_ones():
    logits, _ = data()
    loss = FocalLoss(alpha=0.3, gamma=1.5)
    one, zero = loss(logits, torch.ones_like(logits)), loss(logits, torch.zeros_like(logits))
    soft = loss(logits, torch.full_like(logits, 0.8))
    torch.testing.assert_close(soft, 0.8 * one + 0.2 * zero)


def test_positives_divides_by_the_number_expected_of_the_training_part():
    logits, targets = data((2, 4, 30))
    loss = FocalLoss(alpha=0.25, reduction="positives")
    loss.set_class_statistics([10, 20, 30, 40], 1000, "train_split")
    total = FocalLoss(alpha=0.25, reduction="sum")(logits, targets)
    torch.testing.assert_close(loss(logits, targets), total / (targets.numel() * 0.025))
    twice = loss(torch.cat([logits, logits]), torch.cat([targets, targets]))
    torch.testing.assert_close(twice, loss(logits, targets))
    # A batch without a positive does not jump: it is its elements' share of the whole.
    parts = [loss(logits[:, :, part], targets[:, :, part]) for part in (slice(15), slice(15, 30))]
    torch.testing.assert_close(sum(parts) / 2, loss(logits, targets))


def test_positives_counts_what_a_sampler_draws():
    logits, targets = data((6, 2))
    loss = FocalLoss(alpha=0.25, reduction="positives")
    loss.set_class_statistics([10, 30], 100, "train_split", drawn_shares=[0.5, 0.3])
    assert loss.get_params()["positive_shares"] == [0.5, 0.3]
    mean = FocalLoss(alpha=0.25)(logits, targets)
    torch.testing.assert_close(loss(logits, targets), mean / 0.4)
    again = get_loss(loss.get_params())
    assert again.get_params() == loss.get_params()
    torch.testing.assert_close(again(logits, targets), loss(logits, targets))


def test_positives_needs_one_in_the_training_part():
    loss = FocalLoss(alpha=0.25, reduction="positives")
    with pytest.raises(InputError, match="reduction=positives: no class has a positive"):
        loss.set_class_statistics([0, 0], 100, "train_split")


def test_positives_without_statistics_divides_by_their_number_or_by_one():
    logits, targets = data((2, 4, 30))
    targets[:, :, 2:] = 0
    total = FocalLoss(alpha=0.25, reduction="sum")(logits, targets)
    loss = FocalLoss(alpha=0.25, reduction="positives")
    torch.testing.assert_close(loss(logits, targets), total / targets.sum())
    empty = torch.zeros_like(targets)
    expected = FocalLoss(alpha=0.25, reduction="sum")(logits, empty)
    torch.testing.assert_close(loss(logits, empty), expected)


def test_normalized_dynamic_alpha_gives_every_class_the_same_weight():
    labels = torch.zeros(TOTAL, 4)
    for c, n in enumerate(COUNTS):
        labels[:n, c] = 1
    sums = {}
    for normalize in (False, True):
        loss = FocalLoss(gamma=0.0, alpha_normalize=normalize, reduction="none")
        loss.set_class_statistics(COUNTS, TOTAL, "train_split")
        values = loss(torch.zeros_like(labels), labels)
        positive = (values * labels).sum(0)
        torch.testing.assert_close(positive, values.sum(0) / 2, rtol=1e-4, atol=0)
        sums[normalize] = values.sum(0)
    torch.testing.assert_close(sums[True], sums[True].mean().expand(4), rtol=1e-4, atol=0)
    # Without it class 3 takes 62 % of the weight and class 2 takes 5 %.
    shares = sums[False] / sums[False].sum()
    torch.testing.assert_close(shares[[2, 1]], torch.tensor([0.62, 0.05]), rtol=0, atol=0.01)


def test_class_weight_multiplies_whole_classes():
    logits, targets = data()
    plain = FocalLoss(alpha=None, reduction="none")(logits, targets)
    weighted = FocalLoss(None, class_weight=[2, 0, 1, 0.5], reduction="none")(logits, targets)
    factors = torch.tensor([2, 0, 1, 0.5], dtype=torch.float64).view(4, 1)
    torch.testing.assert_close(weighted, plain * factors)


def test_effective_number_reads_beta():
    loss = FocalLoss(class_weight="effective_number", effective_number_beta=0.9999)
    loss.set_class_statistics(COUNTS, TOTAL, "train_split")
    expected = effective_number(COUNTS, TOTAL, beta=0.9999)
    assert loss.get_params()["class_weight"] == pytest.approx(expected)
    assert loss.get_params()["class_weight_source"] == "train_split"


@pytest.mark.parametrize("seed", range(3))
def test_pixels_of_a_mask_count_each(seed):
    logits, targets = data((2, 4, 3, 5), seed)
    loss = FocalLoss(alpha=[0.1, 0.4, 0.6, 0.9])
    flat = loss(logits.movedim(1, -1).reshape(-1, 4), targets.movedim(1, -1).reshape(-1, 4))
    torch.testing.assert_close(loss(logits, targets), flat)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"gamma": -1}, "gamma=-1: input should be greater than or equal to 0"),
        ({"gamma": float("nan")}, "gamma=nan"),
        ({"gamma": float("inf")}, "gamma=inf"),
        ({"gamma": None}, "gamma=None"),
        ({"alpha": 1.5}, "alpha=1.5.*less than or equal to 1"),
        ({"alpha": [0.5, -0.1]}, r"alpha"),
        ({"alpha": "dynamo"}, "alpha='dynamo'.*'dynamic'"),
        ({"class_weight": [1.0, -1.0]}, "class_weight.*greater than or equal to 0"),
        ({"effective_number_beta": 1.0}, "effective_number_beta=1.0.*less than 1"),
        ({"gama": 2.0}, "gama=2.0: unknown key.*'gamma'"),
        ({"alpha": None, "alpha_normalize": True}, "alpha_normalize=true with alpha=None"),
        ({"alpha": [0.5, 1.0], "alpha_normalize": True}, "alpha_normalize=true with alpha"),
    ],
)
def test_bad_values_are_refused_alike_in_python_and_in_a_config(params, message):
    for make in (lambda: FocalLoss(**params), lambda: get_loss({"type": "focal", **params})):
        with pytest.raises(InputError, match=f"loss focal_loss: {message}"):
            make()


def test_wrong_calls_are_type_errors():
    with pytest.raises(TypeError, match="positional"):
        FocalLoss(None, 2.0, None, 0.9, False, "mean", "one too many")
    with pytest.raises(TypeError, match="alpha"):
        FocalLoss(None, alpha=None)


def test_integer_targets_are_taken_one_hot_by_the_softmax_form():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, 8, generator=generator)
    targets = torch.randint(3, (2, 8, 8, 8), generator=generator)
    loss = FocalLoss(alpha=0.25, gamma=2.0)
    torch.testing.assert_close(
        loss(logits, targets), SoftmaxFocalLoss(alpha=0.25, gamma=2.0)(logits, targets)
    )
    p = logits.softmax(1).gather(1, targets[:, None])[:, 0]
    alpha = torch.where(targets > 0, 0.25, 0.75)
    values = -alpha * (1 - p) ** 2 * p.log()
    torch.testing.assert_close(loss(logits, targets), values.mean())
    loss.reduction = "positives"
    torch.testing.assert_close(loss(logits, targets), values.sum() / (targets > 0).sum())
    loss.set_class_statistics([80, 15, 5], 100, "train_split")
    torch.testing.assert_close(loss(logits, targets), values.mean() / 0.2)


def test_the_softmax_form_takes_weights_per_class():
    logits, targets = torch.randn(40, 3), torch.arange(40) % 3
    counts, total = [14, 13, 13], 40
    of_batch = FocalLoss(class_weight="inverse", alpha_normalize=True)
    with pytest.warns(UserWarning, match="from the first batch"):
        of_batch(logits, targets)
    of_counts = FocalLoss(class_weight="inverse", alpha_normalize=True)
    of_counts.set_class_statistics([n + 1 for n in counts], total + 2, "train_split")
    torch.testing.assert_close(of_batch(logits, targets), of_counts(logits, targets))
    alpha = [1 - (n + 1) / (total + 2) for n in counts]
    weight = torch.tensor([1 / (2 * (1 - a)) / (n + 1) for a, n in zip(alpha, counts, strict=True)])
    weight /= torch.tensor([1 / (n + 1) for n in counts]).mean()
    plain = FocalLoss(alpha=None, reduction="none")(logits, targets)
    torch.testing.assert_close(of_counts(logits, targets), (plain * weight[targets]).mean())


def test_class_indices_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="expected"):
        FocalLoss()(torch.zeros(2, 3, 4), torch.zeros(2, 5, dtype=torch.long))
    with pytest.raises(ValueError, match="expected one shape"):
        FocalLoss()(torch.zeros(2, 3, 4), torch.zeros(2, 4))

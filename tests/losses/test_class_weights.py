"""Weights per class: values, limits, and the life cycle of a resolved weight."""

import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_examples import COUNTS, TOTAL

from core.errors import InputError
from core.losses import get_loss
from core.losses.class_weights import (
    RULES,
    ClassWeight,
    balanced,
    check_counts,
    dynamic,
    effective_number,
    inverse,
    sqrt,
)

NAMES = ["pits", "cracks", "scratches", "scale"]


def focal(**params):
    return get_loss({"type": "focal_loss", **params})


def batch(*rows):
    labels = torch.tensor(rows, dtype=torch.float32)
    return torch.zeros_like(labels), labels


def test_dynamic_is_one_minus_the_share_of_images():
    expected = [1 - n / TOTAL for n in COUNTS]
    assert dynamic(COUNTS, TOTAL) == expected
    assert expected == pytest.approx([0.9286, 0.9803, 0.5902, 0.9363], abs=5e-5)


def test_dynamic_stays_away_from_zero_and_one():
    assert dynamic([1, 9999], 10000) == [0.99, 0.01]


def test_balanced_makes_both_sides_of_a_class_weigh_the_same():
    for weight, n in zip(balanced(COUNTS, TOTAL), COUNTS, strict=True):
        assert weight * n == pytest.approx(TOTAL - n)
    squares = [weight**2 for weight in sqrt(COUNTS, TOTAL)]
    assert squares == pytest.approx(balanced(COUNTS, TOTAL))


@pytest.mark.parametrize(
    ("beta", "expected"),
    [(0.999, [0.744, 2.013, 0.443, 0.800]), (0.9999, [0.684, 2.407, 0.146, 0.763])],
)
def test_effective_number_as_published_for_these_counts(beta, expected):
    weights = effective_number(COUNTS, TOTAL, beta=beta)
    assert weights == pytest.approx(expected, abs=5e-4)


def test_effective_number_at_its_limits():
    assert effective_number(COUNTS, TOTAL, beta=0.0) == [1.0] * 4
    nearly_one = effective_number(COUNTS, TOTAL, beta=1 - 1e-12)
    assert nearly_one == pytest.approx(inverse(COUNTS, TOTAL), rel=1e-6)


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=30)
@given(total=st.integers(2, 10**7), shares=st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_weights_are_positive_finite_and_larger_for_rarer_classes(rule, total, shares):
    counts = [min(max(round(total * share), 1), total - 1) for share in shares]
    weights = RULES[rule](counts, total)
    assert all(math.isfinite(weight) and weight > 0 for weight in weights)
    by_count = [weight for _, weight in sorted(zip(counts, weights, strict=True))]
    assert all(a >= b - 1e-9 * a for a, b in itertools.pairwise(by_count))
    if rule in ("effective_number", "inverse", "sqrt_inverse"):
        assert sum(weights) / len(weights) == pytest.approx(1)


def test_impossible_counts_are_programming_errors():
    with pytest.raises(ValueError, match="-1 positives among 10"):
        check_counts([-1], 10, "loss")
    with pytest.raises(ValueError, match="11 positives among 10"):
        check_counts([11], 10, "loss")
    with pytest.raises(ValueError, match="2 class names for 1"):
        check_counts([3], 10, "loss", ["a", "b"])


@pytest.mark.parametrize(
    "config",
    [
        {"type": "focal_loss"},
        {"type": "focal_loss", "alpha": 0.5, "class_weight": "effective_number"},
        {"type": "bce_with_logits", "pos_weight": "balanced"},
    ],
)
@pytest.mark.parametrize(
    ("counts", "found"), [([5, 0, 3, 3], "no positive"), ([5, 10, 3, 3], "no negative")]
)
def test_a_class_of_one_kind_is_refused_by_name(config, counts, found):
    loss = get_loss(config)
    with pytest.raises(InputError, match=f"'cracks' has {found} in the training"):
        loss.set_class_statistics(counts, 10, "train_split", NAMES)
    with pytest.raises(InputError, match="class index 1"):
        loss.set_class_statistics(counts, 10, "train_split")


def test_a_loss_that_needs_no_counts_does_not_mind_an_empty_class():
    loss = get_loss({"type": "bce_with_logits"})
    loss.set_class_statistics([0, 1], 10, "train_split")
    assert loss.get_params()["pos_weight"] is None


@pytest.mark.parametrize(
    "config",
    [
        {"type": "focal_loss", "alpha": [0.1, 0.2, 0.3]},
        {"type": "focal_loss", "class_weight": [1.0, 1.0, 1.0]},
        {"type": "bce_with_logits", "pos_weight": [1.0, 1.0, 1.0]},
    ],
)
def test_a_wrong_number_of_weights_is_named(config):
    key = next(name for name in config if name != "type")
    message = f"loss {config['type']}: {key} has 3 values, expected 4"
    with pytest.raises(InputError, match=message):
        get_loss(config).set_class_statistics(COUNTS, TOTAL, "train_split")
    logits, labels = batch([1, 0, 0, 1])
    loss = get_loss(config | ({} if key == "alpha" or "bce" in config["type"] else {"alpha": None}))
    with pytest.raises(InputError, match=message):
        loss(logits, labels)


def test_alpha_from_the_split_whatever_the_batch_size():
    logits, labels = torch.randn(16, 4), torch.randint(2, (16, 4)).float()
    whole, parts = focal(), focal()
    for loss in (whole, parts):
        loss.set_class_statistics(COUNTS, TOTAL, "train_split")
    value = whole(logits, labels)
    by_parts = [parts(logits[i : i + 4], labels[i : i + 4]) for i in range(0, 16, 4)]
    torch.testing.assert_close(torch.stack(by_parts).mean(), value)
    params = parts.get_params()
    assert params["alpha"] == pytest.approx([1 - n / TOTAL for n in COUNTS], abs=1e-6)
    assert (params["alpha_source"], params["class_counts"]) == ("train_split", COUNTS)
    assert params["class_total"] == TOTAL


def test_alpha_from_the_first_batch_is_smoothed_and_warned_about_once():
    loss = focal()
    assert loss.get_params()["alpha"] == "dynamic"
    with pytest.warns(
        UserWarning, match="alpha=dynamic is computed from the first batch"
    ) as caught:
        loss(*batch([1, 0], [1, 0], [0, 0], [1, 0]))
    assert len(caught) == 1
    # 3 of 4 and 0 of 4, with one more of each kind: an absent class does not get alpha 1.
    assert loss.get_params()["alpha"] == pytest.approx([1 - 4 / 6, 1 - 1 / 6])
    assert loss.get_params()["alpha_source"] == "first_batch"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(*batch([1, 1], [0, 1]))
        loss.eval()(*batch([1, 1], [0, 1]))
    assert loss.get_params()["alpha"] == pytest.approx([1 - 4 / 6, 1 - 1 / 6])


def test_counts_of_the_split_replace_those_of_a_batch():
    loss = focal()
    with pytest.warns(UserWarning, match="first batch"):
        loss(*batch([1, 0]))
    loss.set_class_statistics([3, 1], 10, "train_split")
    assert loss.get_params()["alpha"] == pytest.approx([0.7, 0.9])


def test_evaluating_an_unresolved_alpha_is_an_error():
    with pytest.raises(RuntimeError, match=r"alpha=dynamic is unresolved.*set_class_statistics"):
        focal().eval()(*batch([1, 0]))


def test_unresolved_is_nan_and_survives_a_checkpoint():
    loss = focal()
    state = loss.state_dict()
    assert torch.isnan(state["class_weights.alpha.value"])
    fresh = focal()
    fresh.load_state_dict(state)
    with pytest.warns(UserWarning, match="first batch"):
        fresh(*batch([1, 0]))


@pytest.mark.filterwarnings("ignore:.*first batch")
def test_resume_keeps_alpha_and_its_source():
    loss = focal(class_weight="effective_number")
    loss(*batch([1, 0, 0], [1, 1, 0]))
    resumed = focal(class_weight="effective_number")
    resumed.load_state_dict(loss.state_dict())
    assert resumed.get_params() == loss.get_params()
    other = [[0, 1, 1]]
    assert torch.equal(resumed(*batch(*other)), loss(*batch(*other)))


def test_a_checkpoint_of_another_number_of_given_weights_does_not_load():
    with pytest.raises(RuntimeError, match="size mismatch"):
        focal(alpha=[0.5, 0.5]).load_state_dict(focal(alpha=[0.5] * 3).state_dict())


def test_an_unknown_rule_is_refused():
    with pytest.raises(InputError, match="loss x: alpha='dynamo': expected one of dynamic"):
        ClassWeight("loss x: alpha", "dynamo")

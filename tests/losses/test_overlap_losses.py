"""Limits of the losses of overlap: Tversky, focal Tversky, Dice, generalised Dice."""

import itertools

import pytest
import torch
from loss_examples import confident, example

from core.errors import InputError
from core.losses import DiceLoss, GeneralizedDiceLoss, TverskyLoss
from core.losses.overlap_losses import size_weights

SHAPE = (3, 4, 6, 5)
ALL = [TverskyLoss, DiceLoss, GeneralizedDiceLoss]


def data(seed=0):
    return example("dice_loss", SHAPE, seed, torch.float64)


def masks(*sizes):
    """One image, one class for each size: that many of 40 pixels."""
    found = torch.zeros(1, len(sizes), 40, dtype=torch.float64)
    for index, size in enumerate(sizes):
        found[0, index, :size] = 1
    return found


@pytest.mark.parametrize("batch", [True, False])
def test_tversky_at_one_half_is_dice(batch):
    ours = TverskyLoss(alpha=0.5, beta=0.5, batch=batch)
    torch.testing.assert_close(ours(*data()), DiceLoss(batch=batch)(*data()))


def test_tversky_at_one_is_jaccard():
    logits, targets = data()
    p = logits.sigmoid()
    both = (p * targets).sum((0, 2, 3))
    jaccard = both / (p.sum((0, 2, 3)) + targets.sum((0, 2, 3)) - both)
    loss = TverskyLoss(alpha=1, beta=1, smooth=0)
    torch.testing.assert_close(loss(logits, targets), 1 - jaccard.mean())


def test_alpha_weighs_false_positives_and_beta_false_negatives():
    target = masks(10)
    too_many, too_few = (confident("dice_loss", masks(n), None, 100.0).double() for n in (15, 5))
    for heavy, light, alpha, beta in [
        (too_many, too_few, 0.9, 0.1),
        (too_few, too_many, 0.1, 0.9),
    ]:
        loss = TverskyLoss(alpha=alpha, beta=beta)
        assert loss(heavy, target) > loss(light, target)
    # TP 10, FP 5, FN 0.
    value = TverskyLoss(alpha=0.9, beta=0.1)(too_many, target).item()
    assert value == pytest.approx(1 - 11 / (11 + 4.5))


def test_gamma_is_the_paper_s_power_of_each_class():
    terms = TverskyLoss(reduction="none")(*data())
    focal = TverskyLoss(gamma=4 / 3)(*data())
    torch.testing.assert_close(focal, (terms**0.75).mean())


def test_gamma_keeps_its_slope_finite_at_a_perfect_prediction():
    target = masks(10, 0, 40)
    logits = confident("dice_loss", target, None, 100.0).requires_grad_()
    value = TverskyLoss(gamma=4 / 3)(logits, target)
    value.backward()
    assert value.item() < 1e-4
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("batch", [True, False])
def test_perfect_is_zero_and_the_complement_is_nearly_one(make, batch):
    _, targets = data()
    right = confident("dice_loss", targets, SHAPE, 100.0).double()
    assert make(batch=batch)(right, targets).item() == pytest.approx(0, abs=1e-12)
    assert make(batch=batch, smooth=0)(-right, targets).item() == pytest.approx(1)


@pytest.mark.parametrize("make", ALL)
def test_an_empty_mask_punishes_what_is_predicted_the_more_the_more_it_is(make):
    empty = masks(0, 0)
    values, slopes = [], []
    for predicted in (0, 1, 5, 40):
        logits = confident("dice_loss", masks(predicted, predicted), None, 3.0).requires_grad_()
        values.append(make()(logits, empty))
        slopes.append(torch.autograd.grad(values[-1], logits)[0].abs().sum())
    assert all(a < b for a, b in itertools.pairwise(values))
    assert all(slope > 1e-4 for slope in slopes)


@pytest.mark.parametrize("make", ALL)
def test_without_smoothing_nothing_found_of_nothing_is_right(make):
    logits = torch.full((1, 2, 40), -1000.0, requires_grad=True)
    value = make(smooth=0)(logits, torch.zeros(1, 2, 40))
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("make", ALL)
def test_counts_run_over_the_batch_or_over_each_image(make):
    logits, targets = data()
    apart = [make()(logits[i : i + 1], targets[i : i + 1]) for i in range(len(logits))]
    torch.testing.assert_close(make(batch=False)(logits, targets), torch.stack(apart).mean())
    # One long image with the same pixels.
    whole = [each.movedim(0, 1).reshape(1, 4, -1) for each in (logits, targets)]
    torch.testing.assert_close(make(batch=True)(logits, targets), make(batch=False)(*whole))


@pytest.mark.parametrize("make", ALL)
def test_half_precision_sums_do_not_overflow(make):
    targets = torch.ones(1, 1, 300, 300)
    logits = torch.full_like(targets, 2.0).half().requires_grad_()
    value = make()(logits, targets.half())
    exact = make()(logits.double(), targets.double())
    assert value.item() == pytest.approx(exact.item(), rel=1e-4)


def test_one_class_of_generalised_dice_is_dice_with_half_of_the_smoothing():
    logits, targets = (each[:, :1] for each in data())
    expected = DiceLoss(smooth=0.5)(logits, targets)
    torch.testing.assert_close(GeneralizedDiceLoss(smooth=1)(logits, targets), expected)


def test_generalised_dice_weighs_a_small_class_like_a_large_one():
    weights = size_weights(torch.tensor([[10.0, 40.0], [10.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.0625], [1.0, 1.0], [1.0, 1.0]]))
    target = masks(4, 36)
    half = [masks(2, 36), masks(4, 18)]
    values = [
        GeneralizedDiceLoss(smooth=0)(confident("dice_loss", found, None, 100.0), target)
        for found in half
    ]
    # Losing half of the small class costs at least as much as losing half of the large one.
    assert values[0] > values[1]


@pytest.mark.parametrize("params", [{"alpha": -0.1}, {"gamma": 0}, {"smooth": -1}])
def test_bad_values_are_refused(params):
    with pytest.raises(InputError, match=f"loss tversky_loss: {next(iter(params))}="):
        TverskyLoss(**params)


@pytest.mark.parametrize("make", ALL)
def test_takes_probabilities_where_they_are_announced(make):
    logits, targets = example("dice_loss", (2, 4, 8, 10))
    probabilities = logits.sigmoid().requires_grad_()
    loss = make(smooth=1e-5, from_logits=False)
    torch.testing.assert_close(loss(probabilities, targets), make(smooth=1e-5)(logits, targets))
    loss(probabilities, targets).backward()
    assert torch.isfinite(probabilities.grad).all()
    assert loss.get_params()["from_logits"] is False
    with pytest.raises(InputError, match=r"from_logits=false takes probabilities, found values"):
        loss(logits, targets)

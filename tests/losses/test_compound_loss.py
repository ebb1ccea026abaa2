"""The compound loss: how it is built, what it reports, and what it refuses."""

import numpy as np
import pytest
import torch
from loss_examples import COUNTS, TOTAL, example
from omegaconf import OmegaConf
from torch import nn

from core.errors import InputError
from core.losses import (
    BaseLoss,
    CompoundLoss,
    DiceLoss,
    FocalLoss,
    TverskyLoss,
    get_loss,
    get_registry,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*computes distance maps")

QUOTED = {
    "type": "compound",
    "components": [
        {"type": "dice", "weight": 0.5},
        {"type": "focal", "weight": 0.3, "alpha": 0.25, "gamma": 2.0},
        {"type": "boundary", "weight": 0.2},
    ],
    "learnable_weights": True,
}


def data(seed=0):
    return example("compound", (2, 4, 8, 10), seed)


def compound(*components, **params):
    return get_loss({"type": "compound", "components": list(components), **params})


@pytest.mark.parametrize("config", [QUOTED, OmegaConf.create(QUOTED)])
def test_the_call_of_the_readme(config):
    loss = get_loss(config)
    weights = loss.get_weights()
    expected = {"dice_loss": 0.5, "focal_loss": 0.3, "boundary_loss": 0.2}
    assert weights == pytest.approx(expected)
    assert [parameter.shape for parameter in loss.parameters()] == [(3,)]
    assert loss.get_params()["learnable_weights"] == "softmax"
    assert loss.get_params()["components"][1]["gamma"] == 2.0


def test_from_python_with_losses():
    dice, focal = DiceLoss(), FocalLoss(alpha=0.25)
    weights = CompoundLoss([dice, focal], learnable=True).get_weights()
    assert weights == pytest.approx({"dice_loss": 0.5, "focal_loss": 0.5})
    fixed = CompoundLoss([dice, focal])
    assert fixed.get_weights() == {"dice_loss": 1.0, "focal_loss": 1.0}
    torch.testing.assert_close(fixed(*data()), dice(*data()) + focal(*data()))


def test_fixed_weights_are_used_as_they_are():
    loss = compound({"type": "dice", "weight": 3.0}, {"type": "bce", "weight": 0.5})
    dice, bce = (get_loss({"type": name})(*data()) for name in ("dice", "bce"))
    torch.testing.assert_close(loss(*data()), 3 * dice + 0.5 * bce)
    assert not list(loss.parameters())


def test_terms_are_means_over_the_training_batches_of_an_epoch():
    loss = compound({"type": "dice", "weight": 2.0}, {"type": "bce"})
    dice = DiceLoss()
    assert loss.terms() == {}
    values = [dice(*data(seed)).item() for seed in range(3)]
    for seed in range(3):
        loss(*data(seed))
    loss.eval()(*data(9))
    terms = loss.terms()
    assert list(terms) == ["dice_loss", "bce_with_logits"]
    mean = sum(values) / 3
    expected = {"raw": mean, "weighted": 2 * mean, "weight": 2.0}
    assert terms["dice_loss"] == pytest.approx(expected)
    loss.set_epoch(1)
    assert loss.terms() == {}


def test_two_of_a_kind_are_numbered():
    loss = compound({"type": "focal", "alpha": 0.2}, {"type": "focal", "alpha": 0.8})
    assert list(loss.get_weights()) == ["focal_loss", "focal_loss_2"]


def test_class_statistics_reach_every_part():
    loss = compound({"type": "focal"}, {"type": "bce", "pos_weight": "balanced"})
    loss.set_class_statistics(COUNTS, TOTAL, "train_split", ["a", "b", "c", "d"])
    focal, bce = loss.get_params()["components"]
    assert focal["alpha_source"] == bce["pos_weight_source"] == "train_split"
    with pytest.raises(InputError, match="'b' has no positive"):
        loss.set_class_statistics([1, 0, 1, 1], TOTAL, "train_split", ["a", "b", "c", "d"])


def test_weights_follow_their_schedule():
    loss = compound(
        {"type": "dice", "weight": 0.99, "weight_step": -0.01, "weight_limit": 0.1},
        {"type": "boundary", "weight": 0.01, "weight_step": 0.01, "weight_limit": 0.9},
        {"type": "bce", "weight": 0.1, "weight_step": -0.05},
    )
    for epoch, expected in [
        (0, [0.99, 0.01, 0.1]),
        (1, [0.98, 0.02, 0.05]),
        (50, [0.49, 0.51, 0.0]),
        (200, [0.1, 0.9, 0.0]),
    ]:
        loss.set_epoch(epoch)
        assert list(loss.get_weights().values()) == pytest.approx(expected)
    params = loss.get_params()["components"]
    assert (params[1]["weight"], params[1]["weight_step"]) == (0.01, 0.01)


def test_a_reduction_is_that_of_the_parts_without_their_own():
    parts = ({"type": "bce"}, {"type": "focal", "alpha": 0.25, "reduction": "positives"})
    loss = compound(*parts, reduction="sum")
    assert [p["reduction"] for p in loss.get_params()["components"]] == ["sum", "positives"]


SUM, MEAN = {"type": "bce", "reduction": "sum"}, {"type": "focal", "reduction": "mean"}


@pytest.mark.parametrize(
    ("components", "reduction", "expected"),
    [
        ([MEAN, {"type": "dice"}], "mean", False),
        ([MEAN], "sum", False),
        ([SUM, {"type": "focal"}], "sum", True),
        ([SUM, {"type": "dice", "batch": False}], "sum", True),
        ([SUM, {"type": "dice"}], "sum", None),
        ([SUM, MEAN], "mean", None),
        ([SUM, {"type": "compound", "components": [SUM]}], "mean", True),
        ([SUM, {"type": "compound", "components": [SUM, MEAN]}], "mean", None),
    ],
)
def test_sums_over_images_where_all_of_its_parts_do(components, reduction, expected):
    loss = compound(*components, reduction=reduction)
    assert loss.sums_over_images is expected
    learned = compound(*components, reduction=reduction, learnable_weights="uncertainty")
    assert learned.sums_over_images is (False if expected is False else None)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_module_says_by_its_reduction_whether_it_sums(reduction):
    loss = CompoundLoss([nn.BCEWithLogitsLoss(reduction=reduction)])
    assert loss.sums_over_images is (reduction == "sum")


def test_a_compound_may_hold_a_compound():
    inner = {"type": "compound", "components": [{"type": "bce"}, {"type": "boundary"}]}
    loss = compound({"type": "dice"}, {**inner, "weight": 0.5})
    assert loss.requires_masks
    assert loss.uses_distance_maps
    assert loss.names_needing_masks() == ["boundary_loss"]
    expected = DiceLoss()(*data()) + 0.5 * get_loss(inner)(*data())
    torch.testing.assert_close(loss(*data()), expected)


def test_parts_for_class_indices_go_together():
    loss = compound({"type": "softmax_focal"}, {"type": "softmax_focal", "gamma": 0})
    assert loss.index_targets
    logits, targets = example("softmax_focal_loss", (2, 4, 8))
    assert torch.isfinite(loss(logits, targets))


def test_a_failing_part_is_named():
    class Broken(BaseLoss):
        def forward(self, logits, targets):
            raise KeyError("no such thing")

    loss = CompoundLoss([DiceLoss(), Broken()])
    with pytest.raises(RuntimeError, match=r"component Broken failed: .*no such thing") as caught:
        loss(*data())
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_bad_input_of_a_part_is_named():
    with pytest.raises(InputError, match=r"component boundary_loss: .*needs masks"):
        get_loss(QUOTED)(torch.zeros(2, 4), torch.zeros(2, 4))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "components is missing"),
        ({"components": []}, r"components=\[\].*at least 1"),
        ({"components": [{"weight": 1.0}]}, r"components.0: loss: .*type is missing"),
        ({"components": ["dice"]}, r"components.0='dice'"),
        ({"components": [{"type": "dise"}]}, r"components.0: .*'dise' .did you mean 'dice'"),
        ({"components": [{"type": "dice", "weight": -1}]}, r"components.0: weight=-1"),
        (
            {"components": [{"type": "dice", "weight": float("nan")}]},
            r"components.0: weight=nan",
        ),
        ({"components": [{"type": "dice", "wieght": 1}]}, "dice_loss: wieght=1: unknown key"),
        ({"components": [{"type": "dice", "weight": 0}]}, "weight of every component is 0"),
        ({"components": [{"type": "dice", "reduction": "none"}]}, "components.0: reduction=none"),
        (
            {"components": [{"type": "dice"}, {"type": "softmax_focal"}]},
            "softmax_focal_loss takes class indices",
        ),
        (
            {"components": [{"type": "dice"}], "learnable_weights": "kendall"},
            "learnable_weights='kendall'.*'uncertainty'",
        ),
        (
            {"components": [{"type": "dice"}], "learnable_weights": True, "learnable": False},
            "learnable=False and learnable_weights=True",
        ),
        (
            {"components": [{"type": "dice", "weight": 0}], "learnable_weights": True},
            "dice_loss: weight=0: cannot be learned",
        ),
        (
            {"components": [{"type": "dice", "weight_limit": 0.1}]},
            r"components\.0: weight_limit=0.1: has no effect without weight_step",
        ),
        (
            {"components": [{"type": "dice", "weight_step": 0.1, "weight_limit": 0.5}]},
            "weight_limit=0.5: expected at least weight=1.0, from which weight_step=0.1 leads up",
        ),
        (
            {"components": [{"type": "dice", "weight_step": -0.1, "weight_limit": 2}]},
            "expected at most weight=1.0, from which weight_step=-0.1 leads down",
        ),
        (
            {"components": [{"type": "dice", "weight_step": 0.1}], "learnable_weights": True},
            "dice_loss: weight_step=0.1: a learned weight follows no schedule",
        ),
        (
            {"components": [{"type": "dice", "weight": 99}], "learnable_weights": "uncertainty"},
            r"dice_loss: weight=99.0: expected 0.00916 to 27.3",
        ),
        (
            {
                "components": [{"type": "dice"}, {"type": "boundary"}],
                "learnable_weights": "uncertainty",
            },
            "component boundary_loss: may be negative",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_name(config, message):
    with pytest.raises(InputError, match=f"loss compound: .*{message}|loss compound: {message}"):
        get_loss({"type": "compound", **config})


def test_masks_are_asked_for_before_training():
    with pytest.raises(InputError, match="loss compound: boundary_loss needs masks"):
        get_loss(QUOTED, masks=False)
    assert get_loss(QUOTED, masks=True).requires_masks


def test_a_loss_of_a_newcomer_without_reduction_may_be_a_part():
    @get_registry().register("newcomer")
    class Newcomer(BaseLoss):
        def __init__(self):
            super().__init__()

        def forward(self, logits, targets):
            return (logits - targets).abs().mean()

    try:
        loss = compound({"type": "newcomer"}, {"type": "bce"}, reduction="sum")
        assert loss(*data()) > 0
    finally:
        get_registry().unregister("newcomer")


def test_boundary_components_share_one_kind_of_distance_map():
    clipped = {"type": "boundary", "max_distance": 8.0}
    with pytest.raises(InputError, match="differ in scale or max_distance"):
        get_loss({"type": "compound", "components": [clipped, {"type": "boundary"}]})
    nested = {"type": "compound", "components": [clipped]}
    with pytest.raises(InputError, match="differ in scale or max_distance"):
        get_loss({"type": "compound", "components": [nested, {"type": "boundary"}]})
    unscaled = [{"type": "boundary", "scale": "none", "max_distance": d} for d in (8.0, 9.0)]
    get_loss({"type": "compound", "components": unscaled})


def test_distance_maps_are_those_of_the_component_that_uses_them():
    boundary = {"type": "boundary", "max_distance": 4.0}
    loss = get_loss({"type": "compound", "components": [{"type": "dice"}, boundary]})
    masks = np.zeros((2, 8, 12), np.uint8)
    masks[0, 2:5, 3:7] = 1
    made = loss.distance_maps_of(masks)
    np.testing.assert_array_equal(made, get_loss(boundary).distance_maps_of(masks))
    assert made.min() < 0 < made.max()


def test_terms_go_on_from_the_state_within_an_epoch():
    config = {"type": "compound", "components": [{"type": "dice"}, {"type": "bce"}]}
    straight, first, second = (get_loss(config).train() for _ in range(3))
    for seed in (0, 1, 2):
        straight(*data(seed))
    first(*data(0))
    second.restore_epoch_state(first.epoch_state())
    for seed in (1, 2):
        second(*data(seed))
    assert second.terms() == straight.terms()
    fresh = get_loss(config)
    fresh.restore_epoch_state(get_loss(config).epoch_state())
    assert fresh.terms() == {}


def test_a_loss_without_parts_has_no_state_within_an_epoch():
    loss = get_loss({"type": "bce"})
    loss.restore_epoch_state(loss.epoch_state())
    assert loss.terms() == {}


def test_any_module_of_logits_and_targets_is_a_component():
    dice = DiceLoss()
    loss = CompoundLoss([nn.BCEWithLogitsLoss(), dice], learnable=True)
    logits, targets = example("dice_loss", (2, 4, 8, 10))
    expected = (nn.BCEWithLogitsLoss()(logits, targets) + dice(logits, targets)) / 2
    torch.testing.assert_close(loss(logits, targets), expected)
    assert loss.get_weights() == {"BCEWithLogitsLoss": 0.5, "dice_loss": 0.5}
    record = loss.get_params()["components"][0]
    assert (record["type"], record["module"]) == ("BCEWithLogitsLoss", "torch.nn.modules.loss")
    with pytest.raises(InputError, match="unknown name 'BCEWithLogitsLoss'"):
        get_loss(loss.get_params())


@pytest.mark.parametrize("weights", ["hello", [1.0], {"bce_with_logits": 1.0}, {"a": "b", "c": 1}])
def test_weights_that_are_no_record_are_refused(weights):
    inner = {"type": "compound", "components": [{"type": "bce"}, {"type": "dice"}]}
    with pytest.raises(InputError, match=r"components\.0: loss compound: weights=.*leave it out"):
        compound({**inner, "weights": weights})


def test_a_component_that_returns_no_scalar_is_refused():
    loss = CompoundLoss([nn.BCEWithLogitsLoss(reduction="none"), DiceLoss()])
    with pytest.raises(InputError, match=r"BCEWithLogitsLoss: returned the shape \(2, 4, 8, 10\)"):
        loss(*example("dice_loss", (2, 4, 8, 10)))


def test_all_components_take_logits_or_all_take_probabilities():
    with pytest.raises(InputError, match="components differ in from_logits"):
        CompoundLoss([DiceLoss(), TverskyLoss(from_logits=False)])
    loss = CompoundLoss([nn.BCELoss(), DiceLoss(from_logits=False)])
    logits, targets = example("dice_loss", (2, 4, 8, 10))
    expected = nn.BCELoss()(logits.sigmoid(), targets) + DiceLoss()(logits, targets)
    torch.testing.assert_close(loss(logits.sigmoid(), targets), expected)


def test_weights_per_class_of_components_are_checked_against_the_number_of_classes():
    components = [{"type": "focal_loss", "alpha": [0.1, 0.2, 0.3]}]
    with pytest.raises(InputError, match="alpha has 3 values, expected 4"):
        CompoundLoss(components, num_classes=4)

"""get_loss, the registry's own answers, and a loss of a newcomer."""

import pytest
import torch
from omegaconf import OmegaConf

from core.errors import InputError
from core.losses import BaseLoss, FocalLoss, get_loss, get_registry
from core.losses.factory import ALIASES, loss_for_training


def test_short_names_are_aliases_of_registered_losses():
    for alias, name in ALIASES.items():
        assert name in get_registry(), alias
        assert alias not in get_registry()


def test_a_config_node_is_as_good_as_a_dict():
    node = OmegaConf.create(
        {"g": 1.0, "loss": {"type": "focal", "gamma": "${g}", "alpha": [0.1, 0.2]}}
    )
    loss = get_loss(node.loss)
    assert isinstance(loss, FocalLoss)
    assert loss.gamma == 1.0
    assert loss.get_params()["alpha"] == pytest.approx([0.1, 0.2])
    assert node.loss.type == "focal"


@pytest.mark.parametrize("config", [{}, {"gamma": 1.0}, {"type": None}, {"type": 3}])
def test_a_config_without_type_is_refused(config):
    with pytest.raises(InputError, match=r"loss: .*type is missing.*bce_with_logits.*focal_loss"):
        get_loss(config)


@pytest.mark.parametrize("config", [None, "focal_loss", ["focal_loss"]])
def test_what_is_no_mapping_is_refused(config):
    with pytest.raises(InputError, match="expected a mapping"):
        get_loss(config)


def test_an_unknown_type_names_the_nearest():
    with pytest.raises(InputError, match=r"loss: unknown name 'focall_loss'.*'focal_loss'"):
        get_loss({"type": "focall_loss"})


def test_list_losses_is_sorted_and_complete():
    names = get_registry().list_losses()
    assert names == sorted(names)
    assert {"focal_loss", "bce_with_logits"} <= set(names)


def test_a_loss_of_a_newcomer_needs_one_class_and_one_decorator():
    @get_registry().register("squared_error", description="Brier score.")
    class SquaredError(BaseLoss):
        def __init__(self, scale: float = 1.0, reduction: str = "mean"):
            super().__init__(reduction)
            self.scale = scale

        def forward(self, logits, targets):
            return self.scale * (logits.sigmoid() - targets).square().mean()

    try:
        loss = get_loss({"type": "squared_error", "scale": 4.0})
        loss.set_class_statistics([0, 1], 2, "train_split")
        loss.set_epoch(3)
        assert loss(torch.zeros(2, 2), torch.ones(2, 2)).item() == 1.0
        own = {"type": "squared_error", "scale": 4.0, "reduction": "mean"}
        assert loss.get_params() == {**own, "num_classes": None}
        assert (loss.terms(), loss.get_weights()) == ({}, {})
        for make in (SquaredError, lambda **params: get_loss({"type": "squared_error", **params})):
            with pytest.raises(InputError, match="loss squared_error: scale='high'"):
                make(scale="high")
            with pytest.raises(InputError, match="reduction='median': expected 'mean' or 'sum' or"):
                make(reduction="median")
    finally:
        get_registry().unregister("squared_error")


def test_a_loss_registered_by_a_call_knows_its_name():
    class Plain(BaseLoss):
        def forward(self, logits, targets):
            return super().forward(logits, targets)

    get_registry().register("plain", Plain)
    try:
        expected = {"type": "plain", "reduction": "mean", "num_classes": 3}
        assert get_loss({"type": "plain", "num_classes": 3}).get_params() == expected
        with pytest.raises(NotImplementedError):
            get_loss({"type": "plain"})(torch.zeros(1, 1), torch.zeros(1, 1))
    finally:
        get_registry().unregister("plain")


def test_only_losses_are_registered():
    with pytest.raises(TypeError, match="not a subclass of BaseLoss"):
        get_registry().register("linear", torch.nn.Linear)
    assert "linear" not in get_registry()


def test_a_constructor_may_have_its_own_number_of_classes():
    class Own(BaseLoss):
        def __init__(self, num_classes: int = 4, reduction: str = "mean"):
            super().__init__(reduction, num_classes)

    assert Own(3).get_params() == {"type": "Own", "num_classes": 3, "reduction": "mean"}


def test_an_older_record_of_smoothing_is_read():
    assert get_loss({"type": "dice_loss", "smoothing": 0.5}).smooth == 0.5
    parts = [{"type": "dice_loss", "smoothing": 0.5}]
    (component,) = get_loss({"type": "compound", "components": parts}).components.values()
    assert component.smooth == 0.5


@pytest.mark.parametrize(
    ("config", "key", "masks", "message"),
    [
        ({"type": "focal_loss", "reduction": "none"}, "loss", False, "loss.reduction='none'"),
        ({"type": "softmax_focal_loss"}, "loss", False, "one class per image.*focal_loss"),
        ({"type": "softmax_focal_loss"}, "mask_loss", True, "mask_loss.type=.*per pixel"),
        ({"type": "dice", "from_logits": False}, "mask_loss", True, "mask_loss.from_logits=false"),
        ({"type": "boundary_loss"}, "loss", False, "boundary_loss needs masks.*mask_loss.type"),
    ],
)
def test_what_no_training_can_minimise_is_refused(config, key, masks, message):
    with pytest.raises(InputError, match=message):
        loss_for_training(config, key, masks=masks)

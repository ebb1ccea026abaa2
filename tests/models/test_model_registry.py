"""The registry of models, and the models that must be in it."""

import pkgutil
import sys

import pytest
from model_cases import REGISTRY

import core.losses
import core.models
from core.models.registry import get_registry
from core.registry import UnknownComponentError

REQUIRED = {
    "convnext_tiny_cbam": ("convnext_tiny", (3, 4)),
    "convnext_tiny": ("convnext_tiny", ()),
    "convnext_atto_cbam": ("convnext_atto", (3, 4)),
    "convnext_atto": ("convnext_atto", ()),
    "resnet50": ("resnet50", ()),
    "efficientnet_b2": ("efficientnet_b2", ()),
    "timm": (None, ()),
}


def test_one_registry_that_lists_its_models():
    registry = get_registry()
    assert registry is get_registry()
    assert REGISTRY.list_models() == REGISTRY.list()
    assert set(REQUIRED) <= set(REGISTRY.list_models())


@pytest.mark.parametrize("required", REQUIRED)
def test_required_models_and_what_they_default_to(required):
    backbone, cbam_stages = REQUIRED[required]
    defaults = REGISTRY.defaults(required)
    assert tuple(defaults["cbam_stages"]) == cbam_stages
    assert defaults["num_classes"] == 4
    assert defaults["pretrained"] is True
    assert defaults["cbam_reduction"] == 16
    assert defaults["cbam_kernel_size"] == 7
    assert ("backbone" in defaults) == (required == "timm")
    assert backbone is None or REGISTRY.get(required).backbone_name == backbone


def test_every_parameter_is_described():
    for parameter, field in REGISTRY.schema("timm")["properties"].items():
        assert field.get("description"), parameter


def test_importing_a_room_registers_what_is_in_it():
    for room in (core.models, core.losses):
        names = {f"{room.__name__}.{module.name}" for module in pkgutil.iter_modules(room.__path__)}
        assert names <= sys.modules.keys()
        assert len(room.get_registry()) >= 8
        assert all(hasattr(room, name) for name in room.__all__)


def test_unknown_model_names_the_nearest():
    with pytest.raises(UnknownComponentError, match="did you mean 'convnext_tiny'"):
        REGISTRY.get("convnext_tinny")

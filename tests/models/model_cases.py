"""What the tests of the models share: names, small strips, and models to try."""

from functools import lru_cache
from typing import Any

import core.machine.torchvision_ops

import pytest
import timm
import torch
from torch import Tensor, nn

import core.models  # noqa: F401  registers the models
from core.models.classifier import TimmClassifier
from core.models.output import initialize_lazy_layers
from core.models.registry import get_registry

REGISTRY = get_registry()
MODELS = REGISTRY.list_models()
CLASSIFIERS = [name for name in MODELS if issubclass(REGISTRY.get(name), TimmClassifier)]
"""The models that stand on a network of timm's."""

# Of many parameters: the others keep the quick check.
LARGE = {"convnext_tiny", "convnext_tiny_cbam", "resnet50", "efficientnet_b2"}


def marked(names: list[str]) -> list[Any]:
    return [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in names]


# Module scope groups the tests by model, so that `built` keeps one at a time.
for_each_model = pytest.mark.parametrize("name", marked(MODELS), scope="module")
for_each_classifier = pytest.mark.parametrize("name", marked(CLASSIFIERS), scope="module")


def draw(*shape: int, dtype: torch.dtype = torch.float32, requires_grad: bool = False) -> Tensor:
    """Normal numbers, the same at each call."""
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return numbers.to(dtype).requires_grad_(requires_grad)


STRIPS = draw(2, 1, 64, 192).mul(60).add(100).clamp(0, 255).to(torch.uint8)
"""Two small grey strips."""


def make(name: str, **params) -> nn.Module:
    """A registered model, without ImageNet's weights where it would ask for them."""
    if "pretrained" in REGISTRY.defaults(name):
        params = {"pretrained": False} | params
    torch.manual_seed(0)
    model = REGISTRY.instantiate(name, **params)
    initialize_lazy_layers(model, STRIPS.shape[1:])
    return model


@lru_cache(maxsize=1)
def built(name: str) -> nn.Module:
    """A registered model as `make` has it, for evaluation; a test that changes it copies it."""
    return make(name).eval()


def build(backbone: str = "test_convnext", **params) -> TimmClassifier:
    """Any network of timm's through the registry, by default one of 0.2 M parameters."""
    return make("timm", backbone=backbone, **params)


def timm_network(backbone: str, seed: int = 0, **options) -> nn.Module:
    """timm's own network, for reference."""
    torch.manual_seed(seed)
    return timm.create_model(backbone, **options)


def stir(module: nn.Module) -> nn.Module:
    """Give every parameter of `module` random values, so that no gate is at its start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module

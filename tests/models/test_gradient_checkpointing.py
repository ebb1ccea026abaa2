"""Activations computed twice give the same gradients; layers have rates by their depth."""

import pytest
import torch

from core.errors import InputError
from core.models.registry import get_registry
from core.training.optimization import create_optimizer
from core.training.settings import TrainingSettings

SMALL_CONVNEXT = {
    "backbone": "convnext_atto",
    "pretrained": False,
    "backbone_options": {"depths": (1, 1, 2, 1), "dims": (8, 16, 32, 64)},
}


def network(**options):
    torch.manual_seed(0)
    return get_registry().instantiate("timm", **{**SMALL_CONVNEXT, **options})


def test_gradients_are_the_same_and_attention_has_some():
    images = torch.randint(0, 256, (2, 1, 64, 96), dtype=torch.uint8)
    gradients = []
    for checkpointed in (False, True):
        model = network(cbam_stages=[3, 4], drop_path_rate=0.2)
        if checkpointed:
            model.set_grad_checkpointing()
        torch.manual_seed(1)
        model(images).square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert any(name.startswith("attention.") for name in gradients[0])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_less_is_kept_for_the_backward_pass():
    kept = []
    for checkpointed in (False, True):
        model = network()
        model.set_grad_checkpointing(checkpointed)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        ):
            model(torch.zeros(1, 1, 64, 96, dtype=torch.uint8))
        kept.append(sum(sizes))
    assert kept[1] < 0.5 * kept[0]


def test_attention_that_would_be_left_out_is_refused():
    """timm chains the blocks of a ResNet's stages and never calls the stages themselves."""
    options = {"backbone": "resnet10t", "backbone_options": None}
    network(**options).set_grad_checkpointing()
    model = network(**options, cbam_stages=[3, 4])
    with pytest.raises(InputError, match=r"would then leave out its attention \(stage3, stage4\)"):
        model.set_grad_checkpointing()


def test_a_backbone_that_cannot_is_refused():
    model = network()
    model.backbone.set_grad_checkpointing = None
    del model.backbone.set_grad_checkpointing
    type_ = type(model.backbone)
    original = type_.set_grad_checkpointing
    try:
        del type_.set_grad_checkpointing
        with pytest.raises(InputError, match="not offered by this backbone"):
            model.set_grad_checkpointing()
    finally:
        type_.set_grad_checkpointing = original


def rates(model) -> dict[str, float]:
    settings = TrainingSettings(layer_decay=0.5, learning_rate=1.0)
    optimizer = create_optimizer(model, torch.nn.Module(), settings)
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: group["lr_scale"] for group in optimizer.param_groups for p in group["params"]
    }


def test_rates_fall_towards_the_stem_and_attention_has_its_stages():
    found = rates(network(cbam_stages=[3, 4]))
    assert len(found) == len(list(network(cbam_stages=[3, 4]).parameters()))
    assert found["backbone.head.fc.weight"] == 1
    assert found["backbone.stem.0.weight"] == min(found.values()) <= 0.5**4
    order = [f"backbone.stages.{i}.blocks.0.conv_dw.weight" for i in range(4)]
    assert sorted(order, key=found.get) == order
    stage3 = found["backbone.stages.2.blocks.1.conv_dw.weight"]
    assert found["attention.stage3.channel_gate.reduce.weight"] == stage3
    assert found["attention.stage4.spatial_gate.conv.weight"] == found[order[3]] > stage3


@pytest.mark.parametrize("name", ["resnet10_slim", "timm"])
def test_every_parameter_of_other_networks_has_a_rate(name):
    options = {"backbone": "test_efficientnet", "pretrained": False} if name == "timm" else {}
    model = get_registry().instantiate(name, **options, cbam_stages=[2])
    found = rates(model)
    assert found.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    assert min(found.values()) < 0.5


def test_a_model_without_layers_is_refused():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    with pytest.raises(InputError, match=r"training\.layer_decay=0\.5: no trainable layer below"):
        rates(model)

"""Frozen stages: no graph is built through them, and a model goes on from what they compute."""

import pytest
import torch
from model_cases import STRIPS, build, for_each_classifier, make, stir
from torch import nn

from core.models.frozen_stages import _up_to

MAP = torch.ones(2, 32, 16, 48)
COLOURED = STRIPS.expand(-1, 3, -1, -1)


def outputs_of(modules: list[nn.Module], model: nn.Module, images: torch.Tensor) -> list:
    """What these modules, and all within them, put out on the way of a batch; and the logits."""
    found = []
    handles = [
        each.register_forward_hook(lambda module, inputs, output: found.append(output))
        for module in modules
        for each in module.modules()
    ]
    output = model(images)
    for handle in handles:
        handle.remove()
    return [*found, output["logits"] if isinstance(output, dict) else output]


@pytest.mark.parametrize("images", [STRIPS, COLOURED], ids=["grey", "coloured"])
@pytest.mark.parametrize("mask_head", [False, True])
@for_each_classifier
def test_no_graph_is_built_through_frozen_stages(name, mask_head, images):
    model = make(name, freeze_stages=2, mask_head=mask_head).train()
    *frozen, logits = outputs_of(_up_to(model.backbone, model.stages[1]), model, images)
    assert len(frozen) > 4
    assert all(output.grad_fn is None and not output.requires_grad for output in frozen)
    assert logits.grad_fn is not None


@for_each_classifier
def test_no_graph_is_built_through_a_frozen_backbone(name):
    model = make(name, freeze_backbone=True).train()
    first = min([4, *(int(stage[-1]) for stage in model.attention)])
    *frozen, logits = outputs_of(
        _up_to(model.backbone, model.stages[first - 1])[:-1], model, STRIPS
    )
    assert frozen
    assert all(output.grad_fn is None for output in frozen)
    assert logits.grad_fn is not None


@for_each_classifier
@torch.no_grad()
def test_a_model_goes_on_from_its_frozen_stages(name):
    model = stir(make(name, freeze_stages=2)).eval()
    features, after_stage = model.frozen_features(STRIPS)
    assert after_stage == 2
    assert features.shape[0] == 2
    assert torch.equal(model.classify(features, after_stage), model(STRIPS))
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize(
    ("params", "after_stage"),
    [
        ({"freeze_stages": 3, "cbam_stages": [2, 3]}, 2),
        ({"freeze_stages": 2, "cbam_stages": [3]}, 2),
        ({"freeze_backbone": True, "cbam_stages": [3]}, 3),
        ({"freeze_stages": 4}, None),
    ],
    ids=str,
)
@torch.no_grad()
def test_nothing_that_trains_comes_before_the_features(params, after_stage):
    model = stir(build(**params)).eval()
    features, found = model.frozen_features(STRIPS)
    assert found == after_stage
    assert torch.equal(model.classify(features, found), model(STRIPS))


@pytest.mark.parametrize(
    "module", [nn.BatchNorm2d(32, affine=False), nn.Dropout(0.1)], ids=["statistics", "dropout"]
)
@torch.no_grad()
def test_what_has_no_parameters_is_still_where_all_around_it_is_frozen(module):
    for params in ({"freeze_stages": 2}, {"freeze_backbone": True}):
        model = build("test_resnet", **params)
        model.backbone.act1 = module
        assert not model.train().backbone.act1.training
        assert model.backbone.training
        assert torch.equal(*(model.backbone.layer1(model.backbone.act1(MAP)) for _ in range(2)))
        assert model.eval().frozen_features(STRIPS) is not None
    model = build("test_resnet")
    model.backbone.act1 = module
    assert model.train().backbone.act1.training


@torch.no_grad()
def test_a_frozen_transformer_drops_nothing_before_its_head():
    options = {"img_size": (64, 192), "pos_drop_rate": 0.5}
    model = build("test_vit", freeze_backbone=True, drop_rate=0.5, backbone_options=options)
    maps = [model.train().backbone.forward_features(COLOURED.float()) for _ in range(2)]
    assert torch.equal(*maps)
    assert not torch.equal(*(model.backbone.forward_head(maps[0]) for _ in range(2)))
    model = build("test_vit", backbone_options=options).train()
    assert model.backbone.pos_drop.training


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet"])
@torch.no_grad()
def test_features_are_not_kept_where_a_network_cannot_go_on_from_them(backbone):
    """A transformer adds its class token first; timm checkpoints the blocks of all stages."""
    options = {"img_size": (64, 192)} if backbone == "test_vit" else {}
    model = build(backbone, freeze_stages=2, backbone_options=options)
    if backbone == "test_resnet":
        model.set_grad_checkpointing()
    assert model.eval().frozen_features(STRIPS) is None
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_mask_head_reads_the_maps_of_frozen_stages_too():
    assert build(freeze_stages=2, mask_head=True).eval().frozen_features(STRIPS) is None

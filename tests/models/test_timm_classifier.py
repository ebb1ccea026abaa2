"""What the models on timm's networks share: stages, freezing, class shares, bad parameters."""

import copy
import math

import pytest
import torch
from model_cases import STRIPS, build, built, for_each_classifier, make, stir

from core.errors import InputError
from core.models.classifier import SMALLEST_SHARE


@for_each_classifier
@torch.no_grad()
def test_feature_maps_are_those_of_the_stages(name):
    maps = built(name).forward_features(STRIPS)
    height, width = STRIPS.shape[2:]
    expected = [
        (2, stage.channels, height // stage.reduction, width // stage.reduction)
        for stage in built(name).stages
    ]
    assert [tuple(features.shape) for features in maps] == expected
    assert [stage.number for stage in built(name).stages] == [1, 2, 3, 4]


@for_each_classifier
@torch.no_grad()
def test_class_shares_are_the_first_probabilities(name):
    model, shares = copy.deepcopy(built(name)), [0.07, 0.02, 0.4, 0.5]
    model.set_class_shares(shares)
    for layer in model.last_layers:
        model.get_submodule(layer).weight.zero_()
    torch.testing.assert_close(torch.sigmoid(model(STRIPS)), torch.tensor([shares, shares]))


@for_each_classifier
def test_a_new_head_does_not_drown_the_class_shares(name):
    for layer in built(name).last_layers:
        weight = built(name).get_submodule(layer).weight
        assert 0 < weight.std() <= 2 / math.sqrt(3 * weight[0].numel())


def test_class_shares_are_kept_away_from_0_and_1():
    model = build(num_classes=2)
    model.set_class_shares([0, 1])
    bias = model.get_submodule(model.last_layers[0]).bias.tolist()
    limit = math.log((1 - SMALLEST_SHARE) / SMALLEST_SHARE)
    assert bias == pytest.approx([-limit, limit], rel=1e-5)


@pytest.mark.parametrize("shares", [[0.5], [0.5, 1.1], [-0.1, 0.5], [math.nan, 0.5]])
def test_class_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="expected 2 numbers in"):
        build(num_classes=2).set_class_shares(shares)


@for_each_classifier
def test_frozen_backbone_leaves_attention_and_head(name):
    frozen = make(name, freeze_backbone=True)
    heads = tuple(".".join(layer.split(".")[:2]) + "." for layer in frozen.last_layers)
    for key, parameter in frozen.named_parameters():
        assert parameter.requires_grad == key.startswith(("attention.", *heads)), key
    buffers = {key: value.clone() for key, value in frozen.named_buffers()}
    assert frozen.training
    frozen(STRIPS).sum().backward()
    for key, value in frozen.named_buffers():
        assert torch.equal(value, buffers[key]), f"{key} moved in a frozen backbone"


@for_each_classifier
def test_head_is_what_follows_the_backbone_and_its_attention(name):
    model = make(name, mask_head=True)
    head = {id(parameter) for parameter in model.head_parameters()}
    last = tuple(".".join(layer.split(".")[:2]) + "." for layer in model.last_layers)
    for key, parameter in model.named_parameters():
        assert (id(parameter) in head) == key.startswith(("mask_head.", "fusion.", *last)), key


@for_each_classifier
def test_frozen_features_are_all_that_the_head_reads(name):
    model = make(name, freeze_backbone=True)
    model.attention.requires_grad_(False)
    model.eval()
    features, after_stage = model.frozen_features(STRIPS)
    assert after_stage is None
    assert torch.equal(model.classify(features), model(STRIPS))
    assert features.shape[2:] == (1, 1), "pooled"
    assert make(name).eval().frozen_features(STRIPS) is None


@for_each_classifier
def test_frozen_stages_and_no_others(name):
    number = 2
    params = {"freeze_stages": number, "cbam_stages": [], "drop_path_rate": 0.5}
    model = make(name, **params)
    maps, again = model.forward_features(STRIPS), model.forward_features(STRIPS)
    assert [features.requires_grad for features in maps] == [
        stage.number > number for stage in model.stages
    ]
    assert torch.equal(maps[number - 1], again[number - 1]), "a frozen stage drops no paths"
    assert all(
        parameter.requires_grad
        for layer in model.last_layers
        for parameter in model.get_submodule(layer).parameters()
    )


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("backbone", ["test_convnext", "test_resnet", "test_efficientnet"])
def test_frozen_stages_of_any_number(backbone, number):
    model = build(backbone, freeze_stages=number)
    maps = model.forward_features(STRIPS)
    assert [features.requires_grad for features in maps] == [
        stage.number > number for stage in model.stages
    ]


def test_stages_that_train_keep_moving():
    model = build("test_resnet", freeze_stages=2)
    before = {key: value.clone() for key, value in model.named_buffers()}
    model(STRIPS)
    moved = {key for key, value in model.named_buffers() if not torch.equal(value, before[key])}
    assert {key.split(".")[1] for key in moved} == {"layer3", "layer4"}


def test_attention_trains_after_a_frozen_stage():
    model = build(cbam_stages=[2, 3], freeze_stages=3)
    model(STRIPS).sum().backward()
    for cbam in model.attention.values():
        assert cbam.spatial_gate.conv.weight.grad.abs().sum() > 0
    assert model.backbone.stem[0].weight.grad is None


@pytest.mark.parametrize("rate", ["drop_rate", "drop_path_rate"])
def test_rates_act_in_training_alone(rate):
    model = build("test_resnet", **{rate: 0.5})
    # Residual branches start at zero in timm's ResNet: without this, nothing is there to drop.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 1)
    first = model(STRIPS)
    assert any(not torch.equal(model(STRIPS), first) for _ in range(8))
    model.eval()
    assert torch.equal(model(STRIPS), model(STRIPS))


@pytest.mark.parametrize("rate", ["drop_rate", "drop_path_rate"])
def test_without_rates_training_draws_nothing(rate):
    model = build("test_resnet", **{rate: 0.0})
    assert torch.equal(model(STRIPS), model(STRIPS))


@torch.no_grad()
@pytest.mark.parametrize("option", ["max", "average_max", "log_sum_exp"])
def test_pooling_changes_the_logits_and_no_weights(option):
    plain, other = build().eval(), build(pooling=option).eval()
    other.load_state_dict(plain.state_dict())
    assert not torch.allclose(other(STRIPS), plain(STRIPS), atol=1e-3)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"pooling": "maximum"}, ("pooling='maximum'", "'max'", "log_sum_exp")),
        ({"drop_rate": 1.0}, ("drop_rate=1.0", "less than 1")),
        ({"freeze_stages": 5}, ("freeze_stages=5", "less than or equal to 4")),
        ({"cbam_kernel_size": 4}, ("cbam_kernel_size=4", "7")),
        ({"cbam_reduction": 0}, ("cbam_reduction=0", "greater than or equal to 1")),
        ({"cbam_stages": [0]}, ("cbam_stages", "greater than or equal to 1")),
        ({"cbam_stages": [5]}, ("cbam_stages=[5]", "stages 1 to 4")),
        ({"cbam_stages": [3, 3]}, ("cbam_stages=[3, 3]", "once")),
        ({"backbone": "resnt18"}, ("backbone='resnt18'", "did you mean 'resnet18'")),
        ({"backbone": "resnet18.a1_in2k"}, ("no weights of this tag", "resnet18.a1_in1k")),
        ({"backbone": "hf-hub:someone/net"}, ("no network of this name", "timm.list_models()")),
        ({"backbone": "test_vit", "cbam_stages": [1]}, ("not a feature map", "cbam_stages=[]")),
        ({"backbone": "test_vit", "pooling": "max"}, ("pooling='max'", "model.pooling=average")),
        ({"backbone": "densenet121", "drop_path_rate": 0.1}, ("give model.drop_path_rate=0",)),
        ({"backbone_options": {"dims": "wide"}}, ("backbone_options", "test_convnext")),
        ({"backbone_options": {"in_chans": 1}}, ("in_chans cannot be set here",)),
        ({"backbone_options": {"num_classes": 9}}, ("num_classes cannot be set here",)),
        ({"backbone_options": {"checkpoint_path": "/none"}}, ("checkpoint_path", "model.weights")),
        ({"backbone": "coat_tiny", "freeze_stages": 2}, ("freeze_stages=2", "one after another")),
        ({"backbone": "coat_tiny", "cbam_stages": [1]}, ("stage1", "does not run as a module")),
        ({"backbone": "twins_svt_small", "freeze_stages": 1}, ("freeze_stages=1", "not a module")),
    ],
)
def test_bad_parameters_of_a_timm_network(params, words):
    with pytest.raises(InputError) as caught:
        build(**params)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in ("model", *words)), message


def test_options_reach_the_network():
    options = {"depths": [1, 1, 2, 1], "dims": [16, 32, 64, 128]}
    model = build("convnext_tiny", backbone_options=options, cbam_stages=[3, 4])
    assert [stage.channels for stage in model.stages] == options["dims"]
    assert len(model.backbone.stages[2].blocks) == 2


def test_statistics_of_batch_normalisation_stay_while_its_scales_train():
    model = build("test_resnet", freeze_batch_norm=True, mask_head=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    output = model(STRIPS)
    (output["logits"].sum() + output["mask_logits"].sum()).backward()
    moved = {
        name for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved
    assert all(name.startswith("mask_head.") for name in moved)
    assert model.get_parameter("backbone.bn1.weight").grad.abs().sum() > 0
    with pytest.raises(InputError, match=r"freeze_batch_norm=true: test_convnext has no batch"):
        build(freeze_batch_norm=True)


@pytest.mark.parametrize("shape", [(2, 2, 64, 64), (1, 64, 64), (2, 4, 64, 64)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(batch, 1 or 3, height, width\)"):
        build()(torch.zeros(shape))


def test_a_network_of_one_size_says_so():
    with pytest.raises(InputError, match=r"images are 64x192.*img_size:\[64,192\]"):
        build("test_vit")(STRIPS)
    for options in ({"img_size": [64, 192]}, {"dynamic_img_size": True}):
        assert build("test_vit", backbone_options=options)(STRIPS).shape == (2, 4)


@pytest.mark.slow
@pytest.mark.parametrize("transform", ["compile", "export"])
def test_compiles_and_exports_whole(transform):
    model = build(cbam_stages=[3, 4], pooling="log_sum_exp").eval()
    stir(model.attention)
    if transform == "compile":
        other = torch.compile(model, backend="eager", fullgraph=True)
    else:
        other = torch.export.export(model, (STRIPS,)).module()
    with torch.no_grad():
        torch.testing.assert_close(other(STRIPS), model(STRIPS))


@pytest.mark.parametrize("pooling", ["average", "max", "average_max", "log_sum_exp"])
@pytest.mark.parametrize("backbone", ["test_convnext", "test_resnet", "mobilenetv3_small_050"])
def test_frozen_features_of_any_pooling_are_one_position(backbone, pooling):
    model = build(backbone, pooling=pooling, freeze_backbone=True, drop_rate=0.5).eval()
    features, after_stage = model.frozen_features(STRIPS)
    assert after_stage is None
    assert features.flatten(1).shape == (2, model.stages[-1].channels)
    assert torch.equal(model.classify(features), model(STRIPS))


def test_frozen_features_are_the_whole_map_where_the_head_does_not_begin_by_pooling():
    model = build("test_vit", freeze_backbone=True, backbone_options={"img_size": (64, 192)}).eval()
    features, after_stage = model.frozen_features(STRIPS)
    assert after_stage is None
    assert features.shape[1] == 1 + 4 * 12
    assert torch.equal(model.classify(features), model(STRIPS))


def test_a_mask_head_reads_more_than_the_last_map():
    assert build(freeze_backbone=True, mask_head=True).eval().frozen_features(STRIPS) is None

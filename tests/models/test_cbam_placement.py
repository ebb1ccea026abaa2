"""Where CBAM sits in a network, and that it is nothing at the start."""

import pytest
import torch
from model_cases import STRIPS, build, make, stir, timm_network

SMALL = {
    "test_convnext": [24, 32, 48, 64],
    "test_resnet": [32, 48, 48, 96],
    "test_efficientnet": [16, 24, 32, 48],
}
"""Tiny networks of timm, for what holds in every one."""


@pytest.mark.slow
@torch.no_grad()
def test_convnext_tiny_has_it_after_stages_3_and_4():
    model = make("convnext_tiny_cbam").eval()
    seen = {}
    for name, cbam in model.attention.items():
        cbam.register_forward_pre_hook(
            lambda module, inputs, name=name: seen.update({name: tuple(inputs[0].shape)})
        )
    model(STRIPS)
    assert seen == {"stage3": (2, 384, 64 // 16, 192 // 16), "stage4": (2, 768, 2, 6)}
    stages = {stage.number: stage.module for stage in model.stages}
    assert (stages[3], stages[4]) == ("stages.2", "stages.3")
    assert [stage.channels for stage in model.stages] == [96, 192, 384, 768]


@torch.no_grad()
@pytest.mark.parametrize("size", [pytest.param("tiny", marks=pytest.mark.slow), "atto"])
def test_with_cbam_equals_the_plain_model_at_start(size):
    plain = make(f"convnext_{size}").eval()
    attentive = make(f"convnext_{size}_cbam").eval()
    missing, unexpected = attentive.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == []
    assert all(key.startswith("attention.") for key in missing)
    assert torch.equal(attentive(STRIPS), plain(STRIPS))


@torch.no_grad()
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("backbone", SMALL)
def test_it_changes_its_stage_and_what_follows(backbone, number):
    model = build(backbone, cbam_stages=[number]).eval()
    plain = model.forward_features(STRIPS)
    logits = model(STRIPS)
    stir(model.attention[f"stage{number}"])
    changed = model.forward_features(STRIPS)
    same = [torch.equal(a, b) for a, b in zip(plain, changed, strict=True)]
    assert same == [stage.number < number for stage in model.stages]
    assert not torch.equal(model(STRIPS), logits)
    # The stage's map is the CBAM's output, and the CBAM is the only thing in between.
    expected = model.attention[f"stage{number}"](plain[number - 1])
    torch.testing.assert_close(changed[number - 1], expected)


@torch.no_grad()
def test_channels_last_networks():
    """mambaout's stages put out (batch, height, width, channels)."""
    model = build("test_mambaout", cbam_stages=[2, 4]).eval()
    plain = model.forward_features(STRIPS)
    stir(model.attention["stage4"])
    expected = model.attention["stage4"](plain[3])
    torch.testing.assert_close(model.forward_features(STRIPS)[3], expected)


def test_parameters_are_those_of_the_plain_network_and_cbam():
    model = build(cbam_stages=[3, 4], cbam_reduction=8, cbam_kernel_size=3)
    names = {key for key in model.state_dict() if not key.startswith("attention.")}
    plain = timm_network("test_convnext", num_classes=4)
    assert names == {f"backbone.{key}" for key in plain.state_dict()}
    extra = sum(parameter.numel() for parameter in model.attention.parameters())
    expected = 0
    for channels in SMALL["test_convnext"][2:]:
        hidden = channels // 8
        expected += 2 * channels * hidden + hidden + channels + 2 * 3 * 3
    assert extra == expected

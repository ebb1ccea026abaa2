"""The mask head: shapes, what it leaves alone, where it starts, and what fusion adds."""

import math

import pytest
import torch
from model_cases import CLASSIFIERS, STRIPS, build, make, marked

from core.errors import InputError
from core.models.mask_head import MaskFusion, MaskHead, mask_size


def with_head(**params):
    return build("test_resnet", mask_head=True, mask_head_width=8, **params).eval()


@pytest.mark.parametrize("name", marked(CLASSIFIERS))
@torch.no_grad()
def test_any_backbone_carries_it_and_stays_the_same_classifier(name):
    plain = make(name).eval()
    headed = make(name, mask_head=True, mask_head_width=8, fusion=False).eval()
    state = headed.state_dict()
    assert {key for key in state if not key.startswith("mask_head.")} == set(plain.state_dict())
    assert all(torch.equal(state[key], value) for key, value in plain.state_dict().items())
    output = headed(STRIPS)
    assert output["mask_logits"].shape == (2, 4, 16, 48)
    torch.testing.assert_close(output["logits"], plain(STRIPS), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(64, 320), (70, 331), (96, 50)])
@torch.no_grad()
def test_logits_are_a_quarter_of_the_size_rounded_up(size):
    logits = with_head()(torch.zeros(1, 1, *size))["mask_logits"]
    assert logits.shape[-2:] == mask_size(size) == (math.ceil(size[0] / 4), math.ceil(size[1] / 4))


@torch.no_grad()
def test_a_backbone_whose_finest_map_is_coarser_is_enlarged():
    model = build("vit_tiny_patch16_224", backbone_options={"img_size": (64, 192)}, mask_head=True)
    assert model.eval()(STRIPS)["mask_logits"].shape[-2:] == (16, 48)


@torch.no_grad()
def test_it_starts_near_the_log_odds_of_a_defect_pixel():
    model = with_head()
    model.mask_head.set_pixel_shares([0.5, 0.01, 0.001, 0.0])
    logits = model(STRIPS)["mask_logits"]
    expected = torch.tensor([0.5, 0.01, 0.001, 1e-4]).logit()
    torch.testing.assert_close(logits.mean((0, 2, 3)), expected, atol=0.3, rtol=0)


@pytest.mark.parametrize("shares", [[0.1], [0.1, 0.1, 0.1, 1.2]])
def test_pixel_shares_are_one_share_per_class(shares):
    with pytest.raises(ValueError, match="expected 4 numbers"):
        with_head().mask_head.set_pixel_shares(shares)


def test_fusion_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, generator=generator)
    mask_logits = torch.randn(2, 3, 4, 5, generator=generator)
    log_odds = torch.tensor([-4.0, -2.0, 0.0])
    fusion = MaskFusion(3)
    fusion.gain.data = torch.tensor([0.5, 1.0, 2.0])
    fused = fusion(logits, mask_logits, log_odds)
    for b in range(2):
        for c in range(3):
            pixels = mask_logits[b, c].flatten().double()
            evidence = pixels.max() + pixels.exp().mean().log() - 2 * log_odds[c]
            expected = logits[b, c] + fusion.gain[c] * evidence
            assert fused[b, c].item() == pytest.approx(expected.item(), rel=1e-5)


@torch.no_grad()
def test_masks_without_evidence_add_nothing():
    log_odds = torch.tensor([-4.0, -1.0])
    masks = log_odds.view(1, 2, 1, 1).expand(1, 2, 3, 3)
    logits = torch.tensor([[0.3, -2.0]])
    torch.testing.assert_close(MaskFusion(2)(logits, masks, log_odds), logits)


def test_the_image_loss_alone_trains_a_fused_head_and_its_gain():
    model = with_head().train()
    model(STRIPS)["logits"].square().sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert gradients["fusion.gain"].abs().sum() > 0
    assert gradients["mask_head.classifier.weight"].abs().sum() > 0


def test_without_fusion_the_masks_do_not_reach_the_image_logits():
    model = with_head(fusion=False).train()
    assert model.fusion is None
    model(STRIPS)["logits"].sum().backward()
    assert model.mask_head.classifier.weight.grad is None


def test_fusion_without_a_head_is_refused():
    with pytest.raises(InputError, match=r"model\.mask_head=true"):
        build("test_resnet", fusion=True)


@torch.no_grad()
def test_every_lateral_is_read():
    head = MaskHead([3, 5], num_classes=2, width=4)
    fine, coarse = torch.randn(1, 3, 8, 8), torch.randn(1, 5, 4, 4)
    before = head([fine, coarse], (8, 8))
    assert before.shape == (1, 2, 8, 8)
    assert not torch.equal(before, head([fine, coarse + 1 + coarse**2], (8, 8)))
    assert not torch.equal(before, head([fine + fine**2, coarse], (8, 8)))

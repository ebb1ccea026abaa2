"""The fast ways through an element-wise loss give what its definition gives."""

import pytest
import torch

from core.losses import AsymmetricLoss, FocalLoss
from core.losses.elementwise import sigmoid_sides

LOSSES = [
    FocalLoss(alpha=None, reduction="none"),
    FocalLoss(alpha=0.25, gamma=0.5, reduction="none"),
    FocalLoss(alpha=0.7, gamma=0.0, class_weight=[1.0, 2.0], reduction="none"),
    AsymmetricLoss(reduction="none"),
    AsymmetricLoss(margin=0.0, gamma_negative=0.5, reduction="none"),
    AsymmetricLoss(gamma_positive=0, gamma_negative=0, margin=0.3, reduction="none"),
]


def data(dtype=torch.float64):
    logits = torch.tensor([0.0, 1e-3, 0.4, 3.0, 17.0, 40.0, 100.0], dtype=dtype)
    logits = torch.cat([-logits, logits])
    targets = torch.tensor([0.0, 1.0, 0.7], dtype=dtype)
    rows = torch.cartesian_prod(logits, targets)
    return rows[:, :1].expand(-1, 2).contiguous(), rows[:, 1:].expand(-1, 2).contiguous()


def way(loss, logits, targets, weights):
    leaf = logits.clone().requires_grad_()
    values = loss(leaf, targets)
    return values.detach(), torch.autograd.grad(values, leaf, weights)[0]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_kept_recomputed_and_plain_agree(loss, dtype, monkeypatch):
    logits, targets = data(dtype)
    weights = torch.linspace(-1, 1, logits.numel(), dtype=dtype).view_as(logits)
    with torch.no_grad():
        plain = loss(logits, targets)
    leaf = logits.clone().requires_grad_()
    (by_definition,) = torch.autograd.grad(loss(leaf, targets), leaf, weights, create_graph=True)
    kept = way(loss, logits, targets, weights)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    recomputed = way(loss, logits, targets, weights)
    for values, slope in (kept, recomputed):
        torch.testing.assert_close(values, plain)
        torch.testing.assert_close(slope, by_definition.detach())


@pytest.mark.parametrize("compiling", [False, True])
def test_sides_of_the_sigmoid_keep_their_precision(compiling, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    exact = torch.linspace(-80, 80, 161, dtype=torch.float64)
    p, log_p = torch.sigmoid(exact), torch.nn.functional.logsigmoid(exact)
    found = sigmoid_sides(exact.float())
    for ours, expected in zip(found, (p, p.flip(0), log_p, log_p.flip(0)), strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=2e-5, atol=0)

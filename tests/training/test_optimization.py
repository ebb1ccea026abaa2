"""Optimizer groups and the learning-rate schedule."""

from itertools import pairwise

import core.machine.torchvision_ops  # noqa: F401  timm imports torchvision, so this stands before timm

import pytest
import torch
from timm.optim import list_optimizers
from torch import nn

from core.errors import InputError
from core.training.optimization import create_optimizer, create_scheduler
from core.training.settings import TrainingSettings


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


class LearnedLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


def test_every_parameter_is_optimized_once_and_only_matrices_decay():
    net, loss = model(), LearnedLoss()
    optimizer = create_optimizer(net, loss, TrainingSettings(weight_decay=0.1))
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert len(decay) == len([*net.parameters(), *loss.parameters()])
    for parameter in net.parameters():
        assert decay[id(parameter)] == (0.1 if parameter.ndim > 1 else 0.0)
    assert decay[id(loss.weight)] == 0.0


def test_unknown_optimizer_and_nothing_to_train():
    with pytest.raises(InputError, match="did you mean 'adamw'"):
        create_optimizer(model(), nn.Module(), TrainingSettings(optimizer="adamww"))
    frozen = model().requires_grad_(False)
    with pytest.raises(InputError, match="freeze"):
        create_optimizer(frozen, nn.Module(), TrainingSettings())


REFUSED = {
    "adahessian": "second derivatives",
    "bnb": "CUDA required",
    "fused": "CUDA required",
    "kron": "needs the package opt_einsum",
}


@pytest.mark.parametrize("name", [n for n in list_optimizers() if not n.startswith(tuple(REFUSED))])
def test_optimizers_step(name):
    net = model()
    optimizer = create_optimizer(net, nn.Module(), TrainingSettings(optimizer=name))
    before = net[-1].weight.detach().clone()
    for _ in range(2):  # some only look at the gradient in their first step
        net(torch.ones(2, 1, 3, 3)).sum().backward()
        optimizer.step()
    assert net[-1].weight.isfinite().all()
    assert not torch.equal(before, net[-1].weight)


@pytest.mark.parametrize("name", [n for n in list_optimizers() if n.startswith(tuple(REFUSED))])
def test_optimizers_that_cannot_step_here_are_refused(name, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("core.training.optimization.find_spec", lambda package: None)
    with pytest.raises(InputError) as caught:
        create_optimizer(model(), nn.Module(), TrainingSettings(optimizer=name))
    message = str(caught.value)
    assert message.startswith(f"training.optimizer={name!r}: ")
    assert next(reason for kind, reason in REFUSED.items() if name.startswith(kind)) in message


def rates(settings: TrainingSettings, steps_per_epoch: int) -> list[float]:
    optimizer = create_optimizer(nn.Linear(2, 1), nn.Module(), settings)
    scheduler = create_scheduler(optimizer, settings, steps_per_epoch)
    found = []
    for step in range(1, settings.num_epochs * steps_per_epoch + 1):
        found.append(optimizer.param_groups[0]["lr"])
        scheduler.step_update(step)
    return [*found, optimizer.param_groups[0]["lr"]]


def test_warm_up_is_linear_then_a_cosine_to_the_minimum():
    settings = TrainingSettings(
        num_epochs=10, warmup_epochs=2, learning_rate=1e-2, min_learning_rate=1e-5
    )
    found = rates(settings, steps_per_epoch=5)
    assert found[0] == pytest.approx(1e-4)
    assert found[10] == pytest.approx(1e-2)
    steps = [b - a for a, b in pairwise(found[:11])]
    assert max(steps) == pytest.approx(min(steps))
    assert found[30] == pytest.approx((1e-2 + 1e-5) / 2)
    assert found[-1] == pytest.approx(1e-5)
    assert all(a >= b for a, b in pairwise(found[10:]))


def test_a_short_training_still_reaches_its_peak():
    settings = TrainingSettings(num_epochs=1, warmup_epochs=3, learning_rate=1e-2)
    assert max(rates(settings, steps_per_epoch=8)) == pytest.approx(1e-2)

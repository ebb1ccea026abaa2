"""What the forward pass computes in, and that losses never do."""

import math

import pytest
import torch
from torch import nn
from training_steps import batches, train_epoch

from core.errors import InputError
from core.training.classification.objective import Objective
from core.training.classification.outputs import predict
from core.training.learner import Learner
from core.training.precision import FLOAT32, Precision, choose_precision
from core.training.settings import RuntimeSettings, TrainingSettings

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Network(nn.Module):
    """Small, and tells in what it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 2)
        self.dtypes = set()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.conv(images.float() / 255)
        self.dtypes.add(features.dtype)
        return self.head(features.relu().mean((2, 3)))


class Loss(nn.BCEWithLogitsLoss):
    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        assert logits.dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")
        return super().forward(logits, targets)


def learner(precision: str = "float32", **settings) -> Learner:
    torch.manual_seed(0)
    chosen = TrainingSettings(**{"learning_rate": 1e-2, "warmup_epochs": 0, **settings})
    return Learner.create(
        Network(),
        Objective(Loss()),
        chosen,
        steps_per_epoch=4,
        device=CPU,
        runtime=RuntimeSettings(precision=precision),
    )


@pytest.mark.parametrize(
    ("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_the_model_computes_in_it_and_its_weights_stay_float32(name, dtype):
    trained = learner(name)
    train_epoch(trained, batches([4, 4]))
    part = predict(trained.model, trained.objective, batches([3]), CPU, trained.precision)
    assert trained.model.dtypes == {dtype}
    assert {p.dtype for p in trained.model.parameters()} == {torch.float32}
    assert part.logits.dtype == "float32"


def test_bfloat16_learns_what_float32_learns():
    last = [
        [train_epoch(each, batches([8, 8]))["loss"] for _ in range(30)][-1]
        for each in (learner("float32"), learner("bfloat16"))
    ]
    assert last[1] == pytest.approx(last[0], rel=0.02)


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_the_same_steps_give_the_same_bits(name):
    states = []
    for _ in range(2):
        trained = learner(name, ema_decay=0.9, accumulation_steps=2)
        train_epoch(trained, batches([4, 4, 4]))
        states.append([*trained.model.parameters(), *trained.evaluated_model.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*states, strict=True))


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ({"avx512_f": True, "avx512_bf16": False}, "float32"),
    ],
)
def test_auto_asks_the_processor(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision("auto", CPU) == Precision(expected, "cpu")


@pytest.mark.parametrize(("native", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_asks_the_gpu_and_takes_no_emulation(monkeypatch, native, expected):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation
    )
    assert choose_precision("auto", CUDA).name == expected
    assert RuntimeSettings().uses_channels_last(CUDA)
    assert not RuntimeSettings().uses_channels_last(CPU)


def test_float16_is_for_cuda():
    assert choose_precision("float16", CUDA) == Precision("float16", "cuda")
    with pytest.raises(InputError, match=r"runtime\.precision='float16': needs CUDA"):
        choose_precision("float16", CPU)
    assert not FLOAT32.gradient_scaler().is_enabled()


def test_a_scaled_gradient_is_clipped_and_applied_as_if_it_were_not():
    plain, scaled = learner(gradient_clip_norm=1e-3), learner(gradient_clip_norm=1e-3)
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for each in (plain, scaled):
        train_epoch(each, batches([4, 4]))
    for one, two in zip(plain.model.parameters(), scaled.model.parameters(), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_accumulated_batches_are_one_big_batch(reduction):
    images = batches([10])[0]
    big, small = learner(optimizer="sgd"), learner(optimizer="sgd", accumulation_steps=3)
    for each in (big, small):
        each.objective.image_loss.reduction = reduction
    cuts = [slice(0, 4), slice(4, 8), slice(8, 10)]
    parts = [{key: value[cut] for key, value in images.items()} for cut in cuts]
    whole = train_epoch(big, [images])
    added = train_epoch(small, parts)
    assert small.num_updates == big.num_updates == 1
    if reduction == "mean":
        assert added["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    for one, two in zip(big.model.parameters(), small.model.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)


def test_the_last_incomplete_group_steps_too_and_the_schedule_counts_updates():
    each = learner(accumulation_steps=3, num_epochs=2)
    train_epoch(each, batches([2, 2, 2, 2]))
    assert each.num_updates == 2
    assert each.optimizer.param_groups[0]["lr"] > 1e-3
    train_epoch(each, batches([2, 2, 2, 2]))
    assert each.optimizer.param_groups[0]["lr"] == pytest.approx(1e-6)


def test_averaged_weights_are_those_of_the_formula():
    each = learner(ema_decay=0.5)
    expected = None
    for step in range(1, 6):
        train_epoch(each, batches([4]))
        weight = each.model.head.weight.detach().clone()
        # timm's warm-up: 1 - step^(-2/3), no more than what was asked for, and 0 at first.
        decay = 0.0 if step == 1 else min(0.5, 1 - step ** (-2 / 3))
        expected = weight if expected is None else decay * expected + (1 - decay) * weight
    torch.testing.assert_close(each.evaluated_model.head.weight, expected)
    assert not torch.equal(each.evaluated_model.head.weight, each.model.head.weight)


def test_a_step_that_a_scaler_leaves_out_is_no_error():
    """A scale too large for float32 makes infinite gradients, and is halved for the next step."""
    each = learner()
    each.scaler = torch.amp.GradScaler("cpu", init_scale=1e38, backoff_factor=1e-30)
    before = each.model.head.weight.detach().clone()
    each.objective.image_loss.weight = torch.tensor(1e6)
    train_epoch(each, batches([4]))
    assert each.scaler.get_scale() == pytest.approx(1e8)
    assert torch.equal(each.model.head.weight, before)
    train_epoch(each, batches([4]))
    assert not torch.equal(each.model.head.weight, before)
    each.objective.image_loss.weight = torch.tensor(math.nan)
    with pytest.raises(InputError, match=r"step 1: the loss became nan \(loss nan, learning rate"):
        train_epoch(each, batches([4]))


def test_a_step_reads_no_number_from_the_device(monkeypatch):
    each = learner("bfloat16", ema_decay=0.9)
    data = batches([4, 4])

    def read(*_):
        raise AssertionError("the device would wait for Python")

    reads = []
    monkeypatch.setattr(torch.Tensor, "item", read)
    monkeypatch.setattr(torch.Tensor, "__bool__", read)
    monkeypatch.setattr(torch.Tensor, "__float__", lambda t: reads.append(t) or 0.5)
    train_epoch(each, data)
    assert len(reads) <= 1  # of the whole epoch

"""The benchmark runs, knows who was absent, and our losses are no heavier than their peers."""

import json

import pytest
import torch

import benchmark_losses
from benchmarks import loss_contenders as contenders
from benchmarks.loss_comparison import compare, environment, report
from benchmarks.loss_contenders import PEERS, Peer, installed_versions
from benchmarks.loss_measurement import peak_bytes
from core.errors import InputError
from core.losses import get_registry

MASK_LOSSES = ["boundary_loss", "dice_loss", "generalized_dice_loss", "tversky_loss"]
PRESENT = [peer for peer in PEERS if installed_versions()[peer.library]]


def peak_ratio(call, logits, targets):
    return peak_bytes(lambda leaf: call(leaf, targets), logits) / logits.nbytes


def test_peers_compute_the_formula_of_ours():
    assert {peer.library for peer in PRESENT} >= {"torch", "torchvision", "timm"}
    for peer in PRESENT:
        loss = contenders.ours(peer.formula)
        logits, targets, _ = contenders.inputs(loss, (2, 4, 16, 20), "cpu")
        expected = peer.build()(logits, targets)
        if peer.formula == "softmax_focal_loss":
            expected = expected * logits.shape[1]
        if peer.formula == "generalized_dice_loss":
            continue  # smooths next to other weights
        torch.testing.assert_close(loss(logits, targets), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("peer", PRESENT, ids=lambda peer: f"{peer.formula}-{peer.library}")
def test_ours_is_no_heavier_than_a_peer(peer):
    loss = contenders.ours(peer.formula)
    logits, targets, _ = contenders.inputs(loss, (2, 4, 64, 100), "cpu")
    ours = peak_ratio(loss, logits, targets)
    assert 1 < ours <= peak_ratio(peer.build(), logits, targets) + 0.01


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_mask_losses_take_three_times_the_input(name):
    loss = contenders.ours(name)
    logits, targets, extra = contenders.inputs(loss, (2, 4, 64, 100), "cpu")
    heaviest = peak_ratio(lambda x, t: loss(x, t, **extra), logits, targets)
    assert heaviest <= 3.01


def test_a_function_and_index_targets_with_a_channel_are_wrapped():
    peer = Peer("x", "torch", "torch.nn", "PairwiseDistance", channel_of_targets=True)
    distance = peer.build()(torch.zeros(2, 1, 3), torch.ones(2, 3))
    torch.testing.assert_close(distance, torch.full((2, 1), 3.0).sqrt())


def test_every_loss_is_compared_and_absent_libraries_are_named(monkeypatch):
    absent = Peer("dice_loss", "no_such_library", "no_such_library", "Dice")
    monkeypatch.setattr("benchmarks.loss_comparison.PEERS", [*PRESENT, absent])
    monkeypatch.setattr(contenders, "PEERS", [*PRESENT, absent])
    names = get_registry().list_losses()
    rows = compare(names, [(2, 4), (1, 4, 6, 5)], False, "cpu", 0.01)
    assert {row["loss"] for row in rows if row["library"] == "ours"} == set(names)
    assert not [r for r in rows if r["loss"] == "boundary_loss" and len(r["shape"]) == 2]
    focal = [row for row in rows if row["loss"] == "focal_loss" and row["shape"] == [2, 4]]
    fastest = min(row["seconds"] for row in focal[1:])
    assert focal[0]["time_ratio"] == pytest.approx(focal[0]["seconds"] / fastest)
    text = report(rows, environment("cpu"))
    assert "no_such_library" in text.splitlines()[-1]
    assert "time ratio" in text.splitlines()[0]
    measured = [line.split()[:2] for line in text.split("\n\n")[0].splitlines()]
    # The boundary loss has no row for image labels.
    assert sum(library == "ours" for _, library in measured) == 2 * len(names) - 1


def test_compiled_losses_are_rows_of_their_own(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda call: compiled.append(call) or call)
    rows = compare(["dice_loss"], [(2, 4)], True, "cpu", 0.01)
    assert {row["mode"] for row in rows} == {"eager", "compiled"}
    assert compiled


def test_on_a_gpu_the_allocator_is_asked(monkeypatch):
    class OnGPU(torch.Tensor):
        is_cuda = True

    calls = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 100)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: calls.append("reset"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 350)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "some GPU")
    logits = torch.randn(2, 3).as_subclass(OnGPU)
    assert peak_bytes(lambda leaf: leaf.square().sum(), logits) == 250
    assert calls == ["synchronize", "reset"]
    assert environment("cuda")["processor"] == "some GPU"


def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    file = tmp_path / "rows.json"
    benchmark_losses.main(
        [
            *("--losses", "bce_with_logits", "--shapes", "2x4x3", "--device", "cpu"),
            *("--budget-seconds", "0.01", "--output", str(file)),
        ]
    )
    assert "2x4x3" in capsys.readouterr().out
    content = json.loads(file.read_text())
    assert content["rows"][0]["library"] == "ours"
    assert content["environment"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--losses", "focall_loss"], "unknown name 'focall_loss'"),
        (["--shapes", "8"], "--shapes: '8': expected sizes"),
        (["--shapes", "8x0"], "--shapes: '8x0'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        benchmark_losses.main(arguments)

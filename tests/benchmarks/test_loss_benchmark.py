"""The losses' benchmark names what was absent, and our losses are no heavier than their peers."""

import pytest
import torch

import benchmark
from benchmarks import loss_peers, losses
from benchmarks.loss_peers import PEERS, Peer, installed_versions
from benchmarks.losses import ForwardBackward, results
from benchmarks.options import Options
from benchmarks.profiling import peak_bytes
from core.errors import InputError
from core.losses import get_registry

CPU = torch.device("cpu")
MASK_LOSSES = ["boundary_loss", "dice_loss", "generalized_dice_loss", "tversky_loss"]
PRESENT = [peer for peer in PEERS if installed_versions()[peer.library]]


def options(**given) -> Options:
    return Options(**{"budget_seconds": 0.01, "device": CPU, **given})


def peak_ratio(call, logits, targets):
    return peak_bytes(ForwardBackward(call, logits, targets), CPU) / logits.nbytes


def test_peers_compute_the_formula_of_ours():
    assert {peer.library for peer in PRESENT} >= {"torch", "torchvision", "timm"}
    for peer in PRESENT:
        loss = loss_peers.ours(peer.formula)
        logits, targets, _ = loss_peers.inputs(loss, (2, 4, 16, 20), CPU)
        expected = peer.build()(logits, targets)
        if peer.formula == "softmax_focal_loss":
            expected = expected * logits.shape[1]
        if peer.formula == "generalized_dice_loss":
            continue  # smooths next to other weights
        torch.testing.assert_close(loss(logits, targets), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("peer", PRESENT, ids=lambda peer: f"{peer.formula}-{peer.library}")
def test_ours_is_no_heavier_than_a_peer(peer):
    loss = loss_peers.ours(peer.formula)
    logits, targets, _ = loss_peers.inputs(loss, (2, 4, 64, 100), CPU)
    ours = peak_ratio(loss, logits, targets)
    assert 1 < ours <= peak_ratio(peer.build(), logits, targets) + 0.01


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_mask_losses_take_three_times_the_input(name):
    loss = loss_peers.ours(name)
    logits, targets, extra = loss_peers.inputs(loss, (2, 4, 64, 100), CPU)
    heaviest = peak_ratio(lambda x, t: loss(x, t, **extra), logits, targets)
    assert 1 < heaviest <= 3.01


def test_index_targets_with_a_channel_are_wrapped():
    peer = Peer("x", "torch", "torch.nn.PairwiseDistance", channel_of_targets=True)
    distance = peer.build()(torch.zeros(2, 1, 3), torch.ones(2, 3))
    torch.testing.assert_close(distance, torch.full((2, 1), 3.0).sqrt())


def test_every_loss_is_compared_and_absent_libraries_are_named(monkeypatch):
    absent = Peer("dice_loss", "no_such_library", "no_such_library.Dice")
    for module in (losses, loss_peers):
        monkeypatch.setattr(module, "PEERS", [*PRESENT, absent])
    names = get_registry().list_losses()
    rows, text = results(options(shapes=["2x4", "1x4x6x5"]), None)
    assert {row["loss"] for row in rows if row["library"] == "ours"} == set(names)
    assert not [r for r in rows if r["loss"] == "boundary_loss" and len(r["shape"]) == 2]
    focal = [row for row in rows if row["loss"] == "focal_loss" and row["shape"] == [2, 4]]
    fastest = min(row["seconds"] for row in focal[1:])
    assert focal[0]["time_ratio"] == pytest.approx(focal[0]["seconds"] / fastest)
    assert "no_such_library" in text.splitlines()[-1]
    assert "time ratio" in text.splitlines()[0]
    measured = [line.split()[:2] for line in text.split("\n\n")[0].splitlines()]
    # The boundary loss has no row for image labels.
    assert sum(library == "ours" for _, library in measured) == 2 * len(names) - 1


def test_compiled_losses_are_rows_of_their_own(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda call: compiled.append(call) or call)
    rows, _ = results(options(losses=["dice_loss"], shapes=["2x4"], compile=True), None)
    assert [row["mode"] for row in rows if row["library"] == "ours"] == ["eager", "compiled"]
    assert len(compiled) == sum(row["mode"] == "compiled" for row in rows)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_allocator_is_asked():
    logits = torch.randn(1 << 20, device="cuda")
    peak = peak_bytes(lambda: logits.square().sum(), torch.device("cuda"))
    assert logits.nbytes <= peak < 1.1 * logits.nbytes


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
        benchmark.main(["losses", *arguments])

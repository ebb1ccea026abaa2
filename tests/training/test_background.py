"""Checkpoints are written by a thread: in order, one at a time, from a copy; errors are raised."""

import errno
import os
import threading
from pathlib import Path

import pytest
import torch
from task_examples import build
from test_callbacks import trainer_in

from core.errors import InputError
from core.files.checkpoint import load_checkpoint
from core.training import checkpoint
from core.training.background import Background, copied
from core.training.callbacks import Callback
from core.training.checkpoint import Checkpoints


def pointers(state: dict) -> list[int]:
    return [tensor.data_ptr() for tensor in state["model"].values()]


def test_a_copy_does_not_change_with_the_state_and_keeps_its_form():
    learner, _ = build("classification")
    state = {**learner.state_dict(), "history": [{"epoch": 1}], "random": (1, torch.ones(2))}
    own = copied(state)
    assert own["model"]._metadata == state["model"]._metadata
    before = {name: tensor.clone() for name, tensor in state["model"].items()}
    for parameter in learner.evaluated_model.parameters():
        parameter.data.fill_(7)
    state["history"].append({"epoch": 2})
    state["random"][1].zero_()
    assert all(torch.equal(own["model"][name], tensor) for name, tensor in before.items())
    assert own["history"] == [{"epoch": 1}]
    assert own["random"][1].tolist() == [1, 1]


def test_repeated_copies_take_the_memory_of_one():
    learner, _ = build("classification")
    first = copied(learner.state_dict())
    where = pointers(first)
    for parameter in learner.evaluated_model.parameters():
        parameter.data.fill_(7)
    again = copied(learner.state_dict(), first)
    assert pointers(again) == where
    assert all((again["model"][name] == 7).all() for name in ("head.weight", "head.bias"))


def test_a_tensor_of_another_form_gets_memory_of_its_own():
    wide = torch.rand(1, 3, 4, 4).to(memory_format=torch.channels_last)
    earlier = copied({"w": torch.zeros(1, 3, 4, 4), "v": 3})
    again = copied({"w": wide, "v": torch.ones(2), "u": 1}, earlier)
    assert torch.equal(again["w"], wide)
    assert again["w"].stride() == wide.stride()
    assert again["u"] == 1


def state_of(epoch: int) -> dict:
    return {"model": {"w": torch.full((3,), float(epoch))}, "history": [epoch] * epoch}


def test_the_caller_goes_on_while_the_files_are_written_in_their_order(tmp_path, monkeypatch):
    """The state may change at once; the next saving waits; best.pt and publishing come after."""
    go_on, order = threading.Event(), []
    save, copy_file = checkpoint.save_checkpoint, checkpoint.copy_file

    def held(path, state):
        assert go_on.wait(20)
        order.append(path.name)
        save(path, state)

    def noted(source, target):
        order.append(target.name)
        copy_file(source, target)

    monkeypatch.setattr(checkpoint, "save_checkpoint", held)
    monkeypatch.setattr(checkpoint, "copy_file", noted)
    checkpoints = Checkpoints(tmp_path)
    state = state_of(1)
    checkpoints.save(state, True, lambda: order.append("published"))
    assert order == []
    state["model"]["w"].fill_(9)
    threading.Timer(0.05, go_on.set).start()
    checkpoints.save(state_of(2), False, lambda: order.append("published again"))
    checkpoints.finish()
    assert order == ["last.pt", "best.pt", "published", "last.pt", "published again"]
    assert load_checkpoint(tmp_path / "best.pt")["model"]["w"].tolist() == [1, 1, 1]
    assert load_checkpoint(tmp_path / "last.pt")["model"]["w"].tolist() == [2, 2, 2]


def test_best_and_last_are_two_files_of_the_same_content(tmp_path):
    """Two files, so that one that is damaged on the disk leaves the other."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state_of(1), True)
    checkpoints.finish()
    last, best = (tmp_path / f"{which}.pt" for which in ("last", "best"))
    assert last.read_bytes() == best.read_bytes()
    assert not last.samefile(best)


CALLS = {
    "wait": lambda checkpoints: checkpoints.wait(),
    "finish": lambda checkpoints: checkpoints.finish(),
    "save": lambda checkpoints: checkpoints.save(state_of(2), False),
    "weights": lambda checkpoints: checkpoints.weights("last"),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_error_of_the_thread_is_raised_once_and_nothing_is_published(
    call, tmp_path, monkeypatch
):
    published = []

    def full(path, state):
        raise InputError(f"{path}: cannot be written ({os.strerror(errno.ENOSPC)})")

    checkpoints = Checkpoints(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_checkpoint", full)
        checkpoints.save(state_of(1), True, lambda: published.append(1))
        with pytest.raises(InputError, match=r"last\.pt: cannot be written"):
            CALLS[call](checkpoints)
    checkpoints.wait()
    assert not published
    assert not list(tmp_path.iterdir())


def test_an_error_is_raised_at_the_next_step_not_at_the_end_of_the_epoch(tmp_path, monkeypatch):
    trainer = trainer_in(tmp_path, num_epochs=3)

    def full(path, state):
        raise InputError(f"{path}: cannot be written")

    monkeypatch.setattr(checkpoint, "save_checkpoint", full)
    after_step = trainer._after_step

    def later(begun):
        if begun.epoch == 2:
            with pytest.raises(InputError):
                trainer.checkpoints._writing._work.result()
        after_step(begun)

    trainer._after_step = later
    with pytest.raises(InputError, match=r"last\.pt: cannot be written"):
        trainer.fit()
    assert trainer.progress.next_epoch == 2
    assert trainer.learner.num_updates == 5


def test_a_signal_while_waiting_takes_effect_when_the_work_is_done(monkeypatch):
    background, done = Background(), []
    wait = checkpoint.Background.wait.__globals__["wait"]
    calls = []

    def interrupted(work):
        calls.append(work)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return wait(work)

    monkeypatch.setitem(Background.wait.__globals__, "wait", interrupted)
    background.start(lambda: (threading.Event().wait(0.05), done.append(1)))
    with pytest.raises(KeyboardInterrupt):
        background.wait()
    assert done == [1]


class Reads(Callback):
    """Reads what is on the disk after each epoch, or does not and says so."""

    def __init__(self, path: Path, reads: bool) -> None:
        self.path, self.reads, self.found = path, reads, []

    def reads_files(self, epoch: int) -> bool:
        return self.reads

    def on_epoch_end(self, record, best_epoch):
        last = self.path / "checkpoints" / "last.pt"
        known = last.exists() and len(load_checkpoint(last)["history"])
        published = (self.path / "results.json").exists()
        self.found.append((record["epoch"], known, published))


@pytest.mark.parametrize("reads", [True, False])
def test_a_callback_that_reads_the_files_finds_those_of_its_epoch(reads, tmp_path, monkeypatch):
    go_on, save = threading.Event(), checkpoint.save_checkpoint

    def held(path, state):
        go_on.wait(0.3 if reads else 20)
        save(path, state)

    monkeypatch.setattr(checkpoint, "save_checkpoint", held)
    callback = Reads(tmp_path, reads)
    trainer = trainer_in(tmp_path, callback, num_epochs=1)
    if not reads:
        monkeypatch.setattr(callback, "close", go_on.set)
        monkeypatch.setattr(trainer.checkpoints, "finish", go_on.set)
    trainer.fit()
    assert callback.found == [(1, 1, True) if reads else (1, False, False)]

"""SIGINT and SIGTERM: the step ends and is saved, the status says so, and nothing is lost."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from outcomes import differences, outcome, read

from core.training import checkpoint, trainer
from core.training.classification import task


@pytest.fixture(scope="module")
def overrides(tiny) -> list[str]:
    return [*tiny, "model.drop_rate=0.3"]


@pytest.fixture(scope="module")
def expected(completed, overrides) -> dict:
    """The outcome of a training that nobody stops."""
    return outcome(completed(*overrides))


def send_at(number: int, calls: int, function: Callable) -> Callable:
    """`function`, in whose call of that number this process is sent a signal."""
    count = 0

    def sending(*args, **kwargs):
        nonlocal count
        count += 1
        if count == calls:
            os.kill(os.getpid(), number)
        return function(*args, **kwargs)

    return sending


@pytest.mark.parametrize(
    ("number", "where", "calls", "place"),
    [
        (signal.SIGINT, "step", 3, (1, 3)),
        pytest.param(signal.SIGTERM, "step", 8, (2, 2), marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "validation", 2, (2, 6), marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "save", 1, (2, 0), marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "test", 3, (3, 0), marks=pytest.mark.slow),
    ],
)
def test_stopped_and_resumed(
    number, where, calls, place, overrides, expected, train_command, tmp_path, monkeypatch
):
    module, name = {
        "step": (trainer, "update"),
        "validation": (task, "predict"),
        "save": (checkpoint, "save_checkpoint"),
        "test": (task, "predict"),
    }[where]
    with monkeypatch.context() as patched:
        patched.setattr(module, name, send_at(number, calls, getattr(module, name)))
        ended = train_command(*overrides, f"experiment.results_dir={tmp_path}")
    assert ended.exit_code == 130, ended.errors
    assert "Traceback" not in ended.output + ended.errors
    (path,) = tmp_path.iterdir()
    assert read(path)["status"] == "interrupted"
    assert train_command(f"resume={path}").exit_code == 0
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert (resumed["epoch"], resumed["step"]) == place
    assert not differences(expected, outcome(path))


@pytest.mark.slow
def test_a_second_interrupt_ends_the_run_within_the_write(
    overrides, expected, train_command, tmp_path, monkeypatch
):
    """Ctrl-C in a step, and again while its checkpoint is written."""
    save = torch.save

    def interrupted_save(state, stream):
        stream.write(b"half of a checkpoint")
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the signal did not end the write")

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "update", send_at(signal.SIGINT, 8, trainer.update))
        saves = iter([save, save])  # last.pt and best.pt of the first epoch
        patched.setattr(torch, "save", lambda *args: next(saves, interrupted_save)(*args))
        ended = train_command(*overrides, f"experiment.results_dir={tmp_path}")
    assert ended.exit_code == 130
    (path,) = tmp_path.iterdir()
    assert read(path)["status"] == "interrupted"
    assert not list(path.rglob(".*.part"))
    assert train_command(f"resume={path}").exit_code == 0
    assert read(path)["experiment"]["resumed_at"][0]["epoch"] == 2
    assert not differences(expected, outcome(path))


def test_a_second_process_is_kept_out_while_the_first_is_at_work(tmp_path):
    from core.experiments.lock import is_locked, run_lock

    path = Path(tmp_path)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        with run_lock(path):
            os.write(writable, b"locked")
            time.sleep(60)
        os._exit(0)
    os.read(readable, 6)
    try:
        assert is_locked(path)
        with pytest.raises(ValueError, match="another process is training in it"), run_lock(path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not is_locked(path)

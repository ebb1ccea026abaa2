"""SIGINT and SIGTERM: the step ends and is saved, the status says so, and nothing is lost."""

import os
import signal
import threading
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "where", "calls", "place"),
    [
        (signal.SIGINT, "step", 3, (1, 3)),
        pytest.param(signal.SIGTERM, "step", 8, (2, 2), marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "validation", 2, (2, 6), marks=pytest.mark.slow),
        # The training goes on while a thread writes: it stops at one of the next steps.
        pytest.param(signal.SIGINT, "save", 1, None, marks=pytest.mark.slow),
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
    assert place in (None, (resumed["epoch"], resumed["step"]))
    assert not differences(expected, outcome(path))


@pytest.mark.slow
def test_a_second_interrupt_ends_the_run_once_the_file_is_whole(
    overrides, expected, train_command, tmp_path, monkeypatch
):
    """Ctrl-C in a step, and again while its checkpoint is written."""
    save, waited = torch.save, threading.Event()

    def interrupted_save(state, stream):
        os.kill(os.getpid(), signal.SIGINT)
        waited.wait(0.5)  # the signal ends the run, unless that waits for the file
        save(state, stream)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "update", send_at(signal.SIGINT, 8, trainer.update))
        saves = iter([save])  # last.pt of the first epoch
        patched.setattr(torch, "save", lambda *args: next(saves, interrupted_save)(*args))
        ended = train_command(*overrides, f"experiment.results_dir={tmp_path}")
    assert ended.exit_code == 130
    (path,) = tmp_path.iterdir()
    assert read(path)["status"] == "interrupted"
    assert not list(path.rglob(".*.part"))
    assert train_command(f"resume={path}").exit_code == 0
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert (resumed["epoch"], resumed["step"]) == (2, 2)
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

"""What holds for every kind of learning: exact resume, a status for every end, signals."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_examples import EXAMPLES, NUM_BATCHES, SETTINGS, build

from core.experiments.folder import ExperimentFolder
from core.experiments.schema import PretrainingResults, Results, RunResults
from core.files.checkpoint import load_checkpoint
from core.machine.interruption import Interruption
from core.training import trainer as trainer_module
from core.training.checkpoint import Checkpoints, restore
from core.training.task import get_registry
from core.training.trainer import Trainer

NUM_STEPS = NUM_BATCHES * SETTINGS.num_epochs
SCHEMAS = {"classification": Results, "pretraining": PretrainingResults}
SECONDS = ("duration_seconds", "images_per_second", "data_wait_share")


def test_every_registered_task_has_an_example():
    missing = set(get_registry().list()) - set(EXAMPLES)
    assert not missing, f"add {missing} to EXAMPLES in tests/training/task_examples.py"


def train(
    path: Path, name: str, watch: Callable[[Trainer], None] = lambda trainer: None
) -> dict[str, Any]:
    """Train the task of that name in `path`, from its newest checkpoint where it has one."""
    found = Checkpoints(path / "checkpoints").newest()
    learner, task = build(name)
    if found.state:
        restore(learner, found.state, found.file)
    folder, interruption = ExperimentFolder.at(path), Interruption()
    folder.schema = SCHEMAS.get(name, RunResults)
    with folder.running(interruption):
        trainer = Trainer(learner, task, folder, settings=SETTINGS, interruption=interruption)
        watch(trainer)
        if found.state:
            trainer.continue_from(found.state)
        return trainer.fit()


def outcome(path: Path) -> dict[str, Any]:
    """What two trainings must share to be the same."""
    results = json.loads((path / "results.json").read_text())
    for record in results["history"]:
        for key in SECONDS:
            del record["train"][key]
    last = load_checkpoint(path / "checkpoints" / "last.pt")
    weights = {key: tensor.tolist() for key, tensor in last["training_model"].items()}
    kept = ("status", "history", "best_epoch", "tested_epoch", "test")
    return {key: results.get(key) for key in kept} | {"weights": weights}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Callable[[str], dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}

    def run(name: str) -> dict[str, Any]:
        if name not in known:
            path = tmp_path_factory.mktemp(name)
            train(path, name)
            known[name] = outcome(path)
        return known[name]

    return run


def at_update(number: int, do: Callable[[Trainer], None]) -> Callable[[Trainer], None]:
    """Do something right after the update of that number."""

    def watch(trainer: Trainer) -> None:
        step = trainer.learner.step

        def watched() -> None:
            step()
            if trainer.learner.num_updates == number:
                do(trainer)

        trainer.learner.step = watched

    return watch


def stop(trainer: Trainer) -> None:
    trainer.interruption.requested = True


def status(path: Path) -> dict[str, Any]:
    results = json.loads((path / "results.json").read_text())
    return {key: results[key] for key in ("status", "status_message") if key in results}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_training_completes_and_its_best_epoch_is_tested(name, uninterrupted):
    expected = uninterrupted(name)
    assert expected["status"] == "completed"
    assert len(expected["history"]) == SETTINGS.num_epochs
    criterion = build(name)[1].criterion
    values = [record["validation"][criterion.figure] for record in expected["history"]]
    best = max(values) if criterion.larger_is_better else min(values)
    assert values[expected["best_epoch"] - 1] == best
    assert expected["tested_epoch"] == expected["best_epoch"]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("number", [1, NUM_BATCHES, NUM_BATCHES + 2, NUM_STEPS])
def test_stopped_anywhere_and_resumed_it_is_the_same_bit_for_bit(
    name, number, uninterrupted, tmp_path
):
    """After the first step, at the end of an epoch, within one, and after the last step."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, name, at_update(number, stop))
    assert status(tmp_path) == {"status": "interrupted", "status_message": "stopped by the user"}
    train(tmp_path, name)
    assert outcome(tmp_path) == uninterrupted(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_sigterm_lets_the_step_end(name, uninterrupted, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, name, at_update(6, lambda _: os.kill(os.getpid(), signal.SIGTERM)))
    assert status(tmp_path)["status"] == "interrupted"
    state = load_checkpoint(tmp_path / "checkpoints" / "last.pt")
    assert state["num_updates"] == 6
    assert state["epoch_progress"]["progress"]["step"] == 6 - NUM_BATCHES
    train(tmp_path, name)
    assert outcome(tmp_path) == uninterrupted(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_failure_says_so_and_what_was_saved_goes_on(name, uninterrupted, tmp_path, monkeypatch):
    update = trainer_module.update

    def failing(learner, task, group):
        if learner.num_updates == 5:
            raise ZeroDivisionError("a fault of the model")
        return update(learner, task, group)

    with monkeypatch.context() as patched:
        patched.setattr(trainer_module, "update", failing)
        with pytest.raises(ZeroDivisionError):
            train(tmp_path, name)
    assert status(tmp_path) == {
        "status": "failed", "status_message": "ZeroDivisionError: a fault of the model"
    }  # fmt: skip
    train(tmp_path, name)
    assert outcome(tmp_path) == uninterrupted(name)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_line_of_an_epoch_fits_a_terminal(name, tmp_path, caplog):
    with caplog.at_level("INFO"):
        train(tmp_path, name)
    lines = [line for line in caplog.messages if line.startswith("epoch ")]
    assert len(lines) == SETTINGS.num_epochs
    assert all(len(line) <= 80 for line in lines)
    assert any(" (best) " in line for line in lines)

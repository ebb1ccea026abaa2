"""A training that is interrupted anywhere and resumed ends as one that never stopped."""

from collections.abc import Callable
from pathlib import Path

import pytest
from outcomes import differences, outcome, read

from core.training import trainer
from core.training.saver import Saver

COMPOUND = [
    "loss.type=compound",
    "loss.components=[{type:bce,weight:0.7},{type:focal,weight:0.3,alpha:0.25,gamma:2}]",
    "loss.learnable_weights=softmax",
]


@pytest.fixture(scope="module")
def overrides(tiny) -> list[str]:
    """Three epochs of six steps, with dropout, so that a resumed epoch needs its generators."""
    return [*tiny, "training.num_epochs=3", "model.drop_rate=0.3"]


@pytest.fixture(scope="module")
def uninterrupted(compose, overrides, tmp_path_factory) -> Callable[..., Path]:
    """Folder of a completed training with these overrides; trained once for each set of them."""
    from core.composition import train

    known: dict[tuple[str, ...], Path] = {}

    def run(*more: str) -> Path:
        if more not in known:
            results_dir = tmp_path_factory.mktemp("uninterrupted")
            train(compose(*overrides, *more, f"experiment.results_dir={results_dir}"))
            (known[more],) = results_dir.iterdir()
        return known[more]

    return run


@pytest.fixture
def interrupt(train_command, overrides, tmp_path, monkeypatch) -> Callable[..., Path]:
    """Begin a training that is asked to stop after so many steps, and return its folder."""

    def run(*more: str, steps: int = 0, after_epoch: int = 0) -> Path:
        results_dir = tmp_path / "results"
        after_step, publish = Saver.after_step, trainer.Trainer._publish

        def count(self, progress):
            if self.learner.num_updates == steps:
                self.interruption.requested = True
            after_step(self, progress)

        def ask(self):
            publish(self)
            if len(self.progress.history) == after_epoch:
                self.folder.interruption.requested = True

        with monkeypatch.context() as patched:
            patched.setattr(Saver, "after_step", count)
            patched.setattr(trainer.Trainer, "_publish", ask)
            ended = train_command(*overrides, *more, f"experiment.results_dir={results_dir}")
        assert ended.exit_code == 130, ended.errors
        (path,) = results_dir.iterdir()
        assert read(path)["status"] == "interrupted"
        return path

    return run


@pytest.mark.parametrize("after_epoch", [1, 2, 3])
def test_interrupted_after_an_epoch(after_epoch, uninterrupted, interrupt, train_command):
    path = interrupt(after_epoch=after_epoch)
    assert len(read(path)["history"]) == after_epoch
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted()), outcome(path))
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert (resumed["epoch"], resumed["step"]) == (after_epoch + 1, 0)
    assert resumed["checkpoint"] == "last.pt"
    assert "status_message" not in read(path)


@pytest.mark.parametrize("steps", [1, 9, 12, 18])
def test_interrupted_within_an_epoch(steps, uninterrupted, interrupt, train_command):
    path = interrupt(steps=steps)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert not differences(outcome(uninterrupted()), outcome(path))
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert 6 * (resumed["epoch"] - 1) + resumed["step"] == steps

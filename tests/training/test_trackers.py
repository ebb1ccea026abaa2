"""Trackers: they follow a training, and whatever happens to them, it goes on."""

import json
import logging
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.errors import InputError
from core.experiments.folder import ExperimentFolder
from core.training import trackers
from core.training.settings import TrainingSettings
from core.training.trackers import TRACKERS, check_trackers, following, mlflow, tracked
from core.training.trackers.following import Tracker, numbers


class Noting(Tracker):
    """Keeps what it was told."""

    told: list

    def __init__(self, path: Path) -> None:
        type(self).told = [path.name]

    def follow(self, results: dict) -> None:
        self.told.append(results["status"])

    def close(self) -> None:
        self.told.append("closed")


class Broken(Noting):
    """Its server is gone."""

    def follow(self, results: dict) -> None:
        super().follow(results)
        raise ConnectionError("refused")


class Remote(Noting):
    is_remote = True


class Hanging(Noting):
    """Its server never answers."""

    is_remote = True
    release = threading.Event()

    def follow(self, results: dict) -> None:
        super().follow(results)
        self.release.wait()


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """Write three times to the results.json of a folder that these trackers follow."""

    def run(*classes: type[Tracker]) -> ExperimentFolder:
        for cls in classes:
            monkeypatch.setitem(TRACKERS, cls.__name__, f"{__name__}:{cls.__name__}")
        folder = ExperimentFolder.at(tmp_path / "run")
        with tracked(folder, [cls.__name__ for cls in classes]):
            for status in ("running", "running", "completed"):
                folder.record(status=status)
        assert not folder.followers
        return folder

    return run


def test_a_tracker_is_told_what_is_written_and_when_it_ends(follow):
    follow(Noting)
    assert Noting.told == ["run", "running", "running", "completed", "closed"]


def test_a_remote_tracker_is_told_the_latest(follow):
    follow(Remote)
    assert Remote.told[0] == "run"
    assert Remote.told[-2:] == ["completed", "closed"]


@pytest.mark.parametrize("cls", [Broken, type("BrokenRemote", (Broken,), {"is_remote": True})])
def test_the_first_error_of_a_tracker_is_one_warning_and_its_end(follow, caplog, cls, monkeypatch):
    monkeypatch.setitem(globals(), cls.__name__, cls)
    folder = follow(cls, Noting)
    assert cls.told in (["run", "running"], ["run", "completed"])
    assert Noting.told[-1] == "closed"
    assert folder.results["status"] == "completed"
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "is off, the training goes on: ConnectionError: refused" in record.message


def test_a_server_that_never_answers_is_waited_for_only_at_the_end(follow, caplog, monkeypatch):
    monkeypatch.setattr(following, "_LAST_SECONDS", 0.1)
    folder = follow(Hanging)
    assert json.loads(folder.results_file.read_text())["status"] == "completed"
    assert len(Hanging.told) == 2
    assert "not everything was sent" in caplog.text
    Hanging.release.set()


def test_every_tracker_that_can_be_chosen_is_one():
    for name, where in TRACKERS.items():
        cls = trackers.resolve_name(where)
        assert issubclass(cls, Tracker)
        assert cls.__module__ == f"core.training.trackers.{name}"


def test_an_unknown_tracker_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'tensorboard'"):
        TrainingSettings(trackers=["tensorbord"])


def test_configs_of_earlier_versions_are_read():
    assert TrainingSettings(tensorboard=True).trackers == ("tensorboard",)
    assert TrainingSettings(tensorboard=False).trackers == ()


def test_numbers_of_a_record():
    record = {"epoch": 1, "train": {"loss": 2}, "phase": "all", "is": True, "none": None}
    assert numbers(record) == {"epoch": 1.0, "train/loss": 2.0}


@pytest.mark.parametrize(
    ("found", "address", "message"),
    [
        (None, "http://here:5000", "pip install mlflow-skinny=="),
        (True, "", "MLFLOW_TRACKING_URI=http://HOST:5000"),
        (True, "sqlite:///mlflow.db", "MLFLOW_TRACKING_URI=http://HOST:5000"),
    ],
)
def test_what_mlflow_needs_is_said_before_the_start(monkeypatch, found, address, message):
    monkeypatch.setattr("core.training.trackers.mlflow.is_installed", lambda name: found)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(InputError, match=r"training\.trackers: mlflow") as refused:
        check_trackers(["tensorboard", "mlflow"])
    assert message in str(refused.value)


def test_a_folder_of_that_name_is_no_package(monkeypatch, tmp_path):
    """Weights & Biases leaves one where it is used."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(InputError, match=r"training\.trackers: wandb needs .* pip install wandb=="):
        check_trackers(["wandb"])


def test_waiting_results_take_the_place_of_earlier_ones(tmp_path, monkeypatch):
    """A slow tracker does not fall behind: it goes from the first results to the last."""
    begun, released = threading.Event(), threading.Event()

    class Slow(Remote):
        def follow(self, results: dict) -> None:
            super().follow(results)
            begun.set()
            released.wait()

    monkeypatch.setitem(globals(), "Slow", Slow)
    monkeypatch.setitem(TRACKERS, "Slow", f"{__name__}:Slow")
    folder = ExperimentFolder.at(tmp_path / "run")
    with tracked(folder, ["Slow"]):
        folder.record(status="running")
        begun.wait()
        for _ in range(9):
            folder.record(status="running")
        folder.record(status="completed")
        released.set()
    assert Slow.told == ["run", "running", "completed", "closed"]


def test_a_process_that_is_refused_begins_no_tracker(tmp_path):
    """It would empty the logs of the training that is running there."""
    logs = tmp_path / "run" / "tensorboard"
    logs.mkdir(parents=True)
    (logs / "events").write_text("of another process")
    folder = ExperimentFolder.at(tmp_path / "run")
    with pytest.raises(InputError), tracked(folder, ["tensorboard"]):
        raise InputError("another process is training in it")
    assert (logs / "events").is_file()


def test_classes_in_any_letters_have_figures_of_their_own_in_mlflow():
    names = ["test/per_class/划痕/f1", "test/per_class/裂纹/f1", "a(b"]
    assert [mlflow._named(name) for name in names] == [*names[:2], "a_b"]


def test_an_experiment_that_another_training_makes_meanwhile_is_taken(tmp_path):
    class Client:
        """The experiment is there once somebody tried to make it."""

        found = None

        def get_experiment_by_name(self, name):
            return self.found

        def create_experiment(self, name):
            self.found = SimpleNamespace(experiment_id="7")
            raise RuntimeError("RESOURCE_ALREADY_EXISTS")

    tracker = mlflow.MLflow.__new__(mlflow.MLflow)
    tracker.client = Client()
    assert tracker._experiment({"config": {"experiment": {"name": "steel"}}}) == "7"

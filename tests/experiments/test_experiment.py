"""The experiment folder: names, statuses, whole files."""

import json
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from core.errors import InputError
from core.experiments.folder import ExperimentFolder
from core.machine.interruption import Interruption

NOON = datetime(2026, 3, 4, 12, 30, 15, tzinfo=UTC)


def read(folder: ExperimentFolder) -> dict:
    return json.loads(folder.results_file.read_text())


def test_name_carries_the_time_and_a_suffix_where_it_is_taken(tmp_path):
    names = [ExperimentFolder.create(tmp_path, "experiment", NOON).path.name for _ in range(3)]
    stem = "experiment_20260304_123015"
    assert names == [stem, f"{stem}_2", f"{stem}_3"]


def test_runs_that_start_together_never_share_a_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(
            pool.map(lambda _: ExperimentFolder.create(tmp_path, "run", NOON), range(16))
        )
    assert len({folder.path for folder in folders}) == 16


def test_results_dir_that_cannot_be_made_is_named(tmp_path):
    blocking = tmp_path / "file"
    blocking.write_text("")
    with pytest.raises(InputError, match=r"experiment\.results_dir=.*file"):
        ExperimentFolder.create(blocking / "results", "experiment")


def test_sections_are_merged_and_the_file_is_live(tmp_path):
    folder = ExperimentFolder.create(tmp_path, "experiment", NOON)
    folder.record(loss={"type": "focal_loss"}, best_epoch=1)
    folder.record(loss={"params": {"gamma": 2.0}}, best_epoch=2)
    content = read(folder)
    assert content["loss"] == {"type": "focal_loss", "params": {"gamma": 2.0}}
    assert content["best_epoch"] == 2
    assert content["schema_version"] == 1
    assert content["experiment"]["created_at"].startswith("2026-03-04T12:30:15")


def test_status_follows_how_the_run_ends(tmp_path):
    completed = ExperimentFolder.create(tmp_path, "a")
    with completed.running(Interruption()):
        assert read(completed)["status"] == "running"
        logging.getLogger("core").warning("a line of the log")
    assert read(completed)["status"] == "completed"
    assert "a line of the log" in (completed.path / "train.log").read_text()

    failed = ExperimentFolder.create(tmp_path, "b")
    with pytest.raises(ZeroDivisionError), failed.running(Interruption()):
        _ = 1 / 0
    assert read(failed)["status"] == "failed"
    assert "ZeroDivisionError" in read(failed)["status_message"]

    interrupted = ExperimentFolder.create(tmp_path, "c")
    with pytest.raises(KeyboardInterrupt), interrupted.running(Interruption()):
        raise KeyboardInterrupt
    assert read(interrupted)["status"] == "interrupted"


def test_termination_by_a_scheduler_is_an_interrupt(tmp_path):
    folder = ExperimentFolder.create(tmp_path, "d")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), folder.running(Interruption()):
        signal.raise_signal(signal.SIGTERM)
    assert read(folder)["status"] == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before

"""The tracker for Weights & Biases, with the real client, whose offline files are read again."""

import json
import struct
import time

import pytest
from training.followed import finish, record, training

from core.experiments.folder import ExperimentFolder

pytest.importorskip("wandb.sdk", reason="wandb is an optional package")
_BLOCK = 1 << 15


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(ExperimentFolder.schema, "model_validate", lambda *_, **__: None)
    return lambda name="pits_1": ExperimentFolder.at(tmp_path / name)


def runs(folder: ExperimentFolder) -> list[list]:
    """The records of each run that was written in this folder, in their order.

    A process of its own writes them, and its last ones after the run has been ended.
    """
    until = time.monotonic() + 20
    while True:
        files = sorted(folder.path.glob("wandb/offline-run-*/*.wandb"))
        found = [list(records(file.read_bytes())) for file in files]
        if all(of_kind(each, "exit") for each in found) or time.monotonic() > until:
            return found
        time.sleep(0.02)


def records(content: bytes):
    """The log format of LevelDB: blocks of 32 KiB, chunks with a checksum, length and type."""
    from wandb.proto.wandb_internal_pb2 import Record

    place, data = 7, b""  # a header comes first
    while place + 7 <= len(content):
        length, kind = struct.unpack("<4xHB", content[place : place + 7])
        data += content[place + 7 : place + 7 + length]
        place += 7 + length
        if (left := -place % _BLOCK) < 7:
            place += left
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(data)
            data = b""


def of_kind(run: list, kind: str) -> list:
    return [getattr(each, kind) for each in run if each.WhichOneof("record_type") == kind]


def values(items) -> dict:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def history(run: list) -> list[dict]:
    return [values(each.item) for each in of_kind(run, "history")]


def summary(run: list) -> dict:
    return values(item for each in of_kind(run, "summary") for item in each.update)


@pytest.mark.slow
def test_a_run_holds_what_the_experiment_does(folder):
    with training(own := folder(), "wandb"):
        finish(own)
    (written,) = runs(own)
    (run,) = of_kind(written, "run")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (run.project, run.display_name, run.run_group) == ("pits", "pits_1", "pits_1")
    assert config["loss"] == {"gamma": 2.0, "alpha": None}
    assert config["data_fingerprint"] == "abc"
    assert [(each["_step"], each["train/loss"]) for each in history(written)] == [
        (1, 1.0),
        (2, 0.5),
    ]
    assert "epoch" not in history(written)[0]
    told = summary(written)
    assert (told["test/macro/f1"], told["status"]) == (0.5, "completed")
    assert not any("intervals" in key for key in told)
    assert of_kind(written, "exit")[0].exit_code == 0


def test_it_goes_on_in_its_run(folder):
    with training(own := folder(), "wandb"):
        own.record(history=[record(1)])
        own.record(status="interrupted")
    (first,) = runs(own)
    assert of_kind(first, "exit")[0].exit_code == 1
    with training(own := folder(), "wandb"):
        finish(own)
    both = runs(own)
    assert len({of_kind(each, "run")[0].run_id for each in both}) == 1
    assert sorted(len(history(each)) for each in both) == [1, 1]


def test_folds_have_the_group_of_their_cross_validation(folder):
    with training(parent := folder("crossed"), "wandb"):
        (parent.path / "config.yaml").write_text("a: 1")
        with training(fold := folder("crossed/fold_1"), "wandb"):
            finish(fold)
        finish(parent)
    found = [of_kind(runs(each)[0], "run")[0] for each in (fold, parent)]
    assert [(each.run_group, each.job_type) for each in found] == [
        ("crossed", "fold"), ("crossed", "training")
    ]  # fmt: skip


def test_an_error_is_one_warning(folder, monkeypatch, caplog):
    monkeypatch.setattr("wandb.init", lambda **_: (_ for _ in ()).throw(OSError("no space left")))
    with training(own := folder(), "wandb"):
        finish(own)
    (warning,) = [each.message for each in caplog.records if "training.trackers" in each.message]
    assert warning.startswith("training.trackers: wandb is off, the training goes on: ")
    assert json.loads(own.results_file.read_text())["status"] == "completed"

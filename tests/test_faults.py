"""Faults that plants have, injected: whole files, one clear line, and a resume that goes on."""

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from outcomes import differences, outcome, read

from core.data.dataset import StripDataset
from core.files import checkpoint
from core.training import trainer
from core.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def faultless(completed, with_dropout) -> Path:
    """Folder of a training to which nothing happened, and whose second epoch is the best."""
    path = completed(*with_dropout)
    assert read(path)["best_epoch"] == 2
    return path


@pytest.fixture
def begin(train_command, with_dropout, tmp_path) -> Callable[..., tuple[Path, str]]:
    """Begin a training that a fault ends, and return its folder and the one line it left."""

    def run(*more: str, exit_code: int = 2) -> tuple[Path, str]:
        ended = train_command(
            *with_dropout, *more, f"experiment.results_dir={tmp_path / 'results'}"
        )
        assert ended.exit_code == exit_code, ended.output + ended.errors
        assert "Traceback" not in ended.output + ended.errors
        (line,) = ended.errors.strip().splitlines()
        (path,) = (tmp_path / "results").iterdir()
        return path, line

    return run


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_spoils_nothing(
    begin, train_command, faultless, monkeypatch, tmp_path
):
    """From the second epoch on the disk takes half of each file, and then no more."""

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_text, save = Path.write_text, torch.save

    def half(state, stream):
        if len(state.get("history", ())) < 2:
            return save(state, stream)
        stream.write(b"half")
        monkeypatch.setattr(Path, "write_text", full)
        return full()

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", half)
        path, line = begin()
    monkeypatch.setattr(Path, "write_text", write_text)
    assert "last.pt: cannot be written (No space left on device)" in line
    assert read(path)["status"] == "running"  # that it failed could not be written either
    assert not list(path.rglob(".*.part"))
    assert len(torch.load(path / "checkpoints" / "last.pt", weights_only=True)["history"]) == 1
    assert train_command(f"resume={path}").exit_code == 0
    assert not differences(outcome(faultless), outcome(path))


def test_a_limit_on_the_size_of_files_is_told_as_such(tmp_path):
    """The system itself refuses here, in the middle of a checkpoint."""
    import resource

    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            checkpoint.save_checkpoint(tmp_path / "last.pt", {"w": torch.zeros(100_000)})
        except ValueError as error:
            code = 0 if "last.pt: cannot be written (File too large)" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [".lock", "checkpoints"])
def test_a_folder_that_cannot_be_written_is_told_in_one_line(
    name, faultless, train_command, tmp_path, monkeypatch
):
    """As root may write anywhere, something that is no file, or no folder, stands in the way."""
    path = unfinished(faultless, tmp_path)
    if name == ".lock":
        (path / name).unlink(missing_ok=True)
        (path / name).mkdir()
    else:
        refuse = PermissionError(errno.EROFS, os.strerror(errno.EROFS))
        monkeypatch.setattr("tempfile.mkstemp", lambda **_: (_ for _ in ()).throw(refuse))
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 2
    (line,) = ended.errors.strip().splitlines()
    assert "written" in line
    assert str(path) in line


def unfinished(faultless: Path, tmp_path: Path) -> Path:
    """A copy of the faultless experiment as if it had been killed before its test."""
    path = Path(shutil.copytree(faultless, tmp_path / "copied"))
    results = {**read(path), "status": "running"}
    (path / "results.json").write_text(json.dumps(results))
    return path


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_run_in_one_line(
    begin, train_command, faultless, monkeypatch
):
    get = StripDataset.__getitems__
    main = os.getpid()

    def killed(self, positions):
        if os.getpid() != main and self.transform is not None and int(self._epoch) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return get(self, positions)

    with monkeypatch.context() as patched:
        patched.setattr(StripDataset, "__getitems__", killed)
        path, line = begin("data.num_workers=1")
    assert "data.num_workers: a worker process that reads images was killed" in line
    assert read(path)["status"] == "failed"
    assert train_command(f"resume={path}", "data.num_workers=0").exit_code == 0
    assert not differences(outcome(faultless), outcome(path))


@pytest.mark.slow
def test_an_image_that_vanishes_costs_no_step(begin, train_command, faultless, monkeypatch):
    from core.errors import InputError

    get = StripDataset.__getitems__
    calls = 0

    def vanishing(self, positions):
        nonlocal calls
        calls += self.transform is not None
        if calls == 9:
            raise InputError("a.jpg: is gone")
        return get(self, positions)

    with monkeypatch.context() as patched:
        patched.setattr(StripDataset, "__getitems__", vanishing)
        path, line = begin()
    assert line == "error: a.jpg: is gone"
    assert train_command(f"resume={path}").exit_code == 0
    resumed = read(path)["experiment"]["resumed_at"][0]
    assert (resumed["epoch"], resumed["step"]) == (2, 2)
    assert not differences(outcome(faultless), outcome(path))


SPOILT = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "one bit": lambda content: content[:9000] + bytes([content[9000] ^ 1]) + content[9001:],
}


def spoil(file: Path, how: str = "cut off") -> None:
    file.write_bytes(SPOILT[how](file.read_bytes()))


@pytest.mark.slow
@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_last_checkpoint_gives_way_to_the_best(how, faultless, train_command, tmp_path):
    path = unfinished(faultless, tmp_path)
    spoil(path / "checkpoints" / "last.pt", how)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert "last.pt: not a whole checkpoint" in ended.output
    assert f"going on from {path / 'checkpoints' / 'best.pt'}" in ended.output
    assert torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    (resumed,) = read(path)["experiment"]["resumed_at"]
    assert resumed["checkpoint"] == "best.pt"
    assert resumed["epoch"] == 3
    assert not differences(outcome(faultless), outcome(path))


@pytest.mark.slow
def test_without_a_whole_checkpoint_the_training_starts_again(faultless, train_command, tmp_path):
    path = unfinished(faultless, tmp_path)
    for name in ("last.pt", "best.pt"):
        spoil(path / "checkpoints" / name)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0, ended.errors
    assert "no whole checkpoint is left: training again from epoch 1" in ended.output
    assert len(read(path)["experiment"]["resumed_at"][0]["problems"]) == 3
    assert not differences(outcome(faultless), outcome(path))


@pytest.mark.slow
def test_a_best_checkpoint_that_fell_behind_is_mended(faultless, train_command, tmp_path):
    """As a process leaves it that is killed between the two files, or one disk error later."""
    path = unfinished(faultless, tmp_path)
    best, last = (path / "checkpoints" / f"{which}.pt" for which in ("best", "last"))
    shutil.copy(best, last)
    spoil(best)
    assert train_command(f"resume={path}").exit_code == 0
    assert not differences(outcome(faultless), outcome(path))


def test_a_best_checkpoint_that_is_lost_is_told_before_an_hour_is_spent(
    faultless, train_command, tmp_path
):
    path = unfinished(faultless, tmp_path)
    spoil(path / "checkpoints" / "best.pt")
    line = refused(train_command, path)
    assert "best.pt: not a whole checkpoint" in line
    assert "the best epoch so far" in line


@pytest.mark.parametrize("status", ["running", "completed"])
def test_a_training_whose_checkpoints_were_removed_is_not_overwritten(
    status, faultless, train_command, tmp_path
):
    path = unfinished(faultless, tmp_path)
    (path / "results.json").write_text(json.dumps({**read(path), "status": status}))
    shutil.rmtree(path / "checkpoints")
    assert "results of 3 epochs" in refused(train_command, path, "training.num_epochs=4")


def test_a_last_checkpoint_that_is_missing_is_told(faultless, tmp_path):
    folder = Path(shutil.copytree(faultless / "checkpoints", tmp_path / "checkpoints"))
    assert not Checkpoints(folder).newest().problems
    (folder / "last.pt").unlink()
    found = Checkpoints(folder).newest()
    assert found.problems == [
        f"{folder / 'last.pt'}: is missing",
        f"going on from {folder / 'best.pt'}",
    ]
    (folder / "best.pt").unlink()
    assert not Checkpoints(folder).newest().problems


def refused(train_command, path: Path, *more: str) -> str:
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    ended = train_command(f"resume={path}", *more)
    assert ended.exit_code == 2, ended.output
    (line,) = ended.errors.strip().splitlines()
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before
    return line


FOREIGN = {
    "another model": lambda state: state["model"].popitem(),
    "another optimizer": lambda state: state["optimizer"]["param_groups"].pop(),
    "another loss": lambda state: state["objective"].update(other=torch.zeros(1)),
    "another file": lambda state: state.clear(),
    "another project": lambda state: state.pop("history"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_checkpoint_of_something_else_is_refused_in_one_line(
    name, faultless, train_command, tmp_path
):
    path = unfinished(faultless, tmp_path)
    file = path / "checkpoints" / "last.pt"
    state = torch.load(file, weights_only=True)
    FOREIGN[name](state)
    torch.save(state, file)
    line = refused(train_command, path)
    assert f"{file}: is not of the TimmNetwork, FocalLoss and AdamW of this config" in line


class RenamedSince:
    """A class that a checkpoint of another project may hold."""


@pytest.mark.slow
def test_a_checkpoint_with_a_class_is_not_loaded(faultless, train_command, tmp_path):
    path = unfinished(faultless, tmp_path)
    file = path / "checkpoints" / "last.pt"
    torch.save({"model": RenamedSince()}, file)
    ended = train_command(f"resume={path}")
    assert ended.exit_code == 0
    assert f"{file}: not a whole checkpoint of this project (Weights only load failed" in (
        ended.output
    )
    assert not differences(outcome(faultless), outcome(path))


@pytest.mark.slow
def test_a_clock_that_is_set_back_only_dates_things_earlier(
    faultless, train_command, tmp_path, monkeypatch
):
    from datetime import datetime

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr("core.experiments.folder.datetime", Earlier)
    monkeypatch.setattr("time.time", lambda: 978307200.0)
    path = unfinished(faultless, tmp_path)
    spoil(path / "checkpoints" / "last.pt")
    assert train_command(f"resume={path}").exit_code == 0
    results = read(path)
    assert results["experiment"]["resumed_at"][0]["time"].startswith("2001-01-01")
    assert results["experiment"]["created_at"] == read(faultless)["experiment"]["created_at"]
    assert all(seconds > 0 for seconds in results["timings"].values())
    assert all(record["train"]["duration_seconds"] > 0 for record in results["history"])
    assert not differences(outcome(faultless), outcome(path))


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_run_after_the_last_good_checkpoint(
    begin, train_command, faultless, monkeypatch
):
    """Step 3 of epoch 2, noticed by the look that a checkpoint asks for after step 4."""
    update = trainer.update
    poisoned = []

    def poison(learner, task, group):
        if learner.num_updates == 8:
            (batch,) = group
            poisoned.extend(batch["image_id"])
            group = [{**batch, "labels": batch["labels"] * float("nan")}]
        return update(learner, task, group)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "update", poison)
        path, line = begin()
    assert line.startswith("error: epoch 2, step 3: the loss became nan (loss nan, gradient norm ")
    assert ", ".join(poisoned) in line
    assert "learning rate 0.0" in line
    results = read(path)
    assert results["status"] == "failed"
    assert "epoch 2, step 3" in results["status_message"]
    assert len(results["history"]) == 1
    state = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    assert len(state["history"]) == 1
    assert all(tensor.isfinite().all() for tensor in state["model"].values())
    assert train_command(f"resume={path}").exit_code == 0
    assert not differences(outcome(faultless), outcome(path))


@pytest.mark.slow
def test_weights_that_are_spoilt_are_not_saved_within_an_epoch(begin, monkeypatch):
    update = trainer.update

    def poison(learner, task, group):
        if learner.num_updates == 8:
            group = [{**batch, "labels": batch["labels"] * float("inf")} for batch in group]
        return update(learner, task, group)

    monkeypatch.setattr(trainer, "update", poison)
    path, line = begin("training.checkpoint_minutes=1e-9")
    assert "epoch 2, step 3" in line
    state = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    assert state["epoch_progress"]["progress"]["step"] == 2


@pytest.mark.slow
def test_weights_that_overflow_in_the_last_step_are_found_by_the_validation(begin, monkeypatch):
    train_epoch = trainer.train_epoch

    def overflow(learner, *rest):
        report = train_epoch(learner, *rest)
        for parameter in learner.model.parameters():
            parameter.data.fill_(float("nan"))
        return report

    monkeypatch.setattr(trainer, "train_epoch", overflow)
    path, line = begin()
    assert "epoch 1, validation: the loss became nan" in line
    assert not list((path / "checkpoints").iterdir())

"""The index of the experiments folder: what is read, when, and what each row says."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from analysis.pretraining_results import write_pretraining
from conftest import REPOSITORY
from experiment_factory import read_results, write_experiment, write_results

from core.errors import InputError, UnavailableError
from core.workbench.child import ChildProcess, directly
from core.workbench.index import ExperimentIndex

HOLD_LOCK = """
import sys
from pathlib import Path
from core.experiments.lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Counted:
    """Which folders were read."""

    def __init__(self):
        self.read = []

    def __call__(self, function, path):
        self.read.append(path.name)
        return directly(function, path)


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture
def index(tmp_path, counted):
    return ExperimentIndex(tmp_path, counted)


def rows(index):
    index.update()
    return {row["name"]: row for row in index.rows()[0]}


def begun(folder, **changes):
    """The results of a run that has not ended, which has no figures of a test."""
    results = read_results(folder)
    results["status"] = "running"
    del results["test"]
    write_results(folder, results | changes)
    return folder


def test_each_kind_is_told_apart(index, tmp_path):
    write_experiment(tmp_path, name="plain")
    folds = write_experiment(tmp_path, name="folds")
    results = read_results(folds)
    write_results(folds, results | {"folds": [{"name": "fold_1", "test": {"f1": 0.5}}]})
    write_experiment(folds, name="fold_1")
    write_pretraining(tmp_path, "before")
    found = rows(index)
    assert {name: row["values"]["kind"] for name, row in found.items()} == {
        "plain": "classification", "folds": "cross-validation", "before": "pretraining"
    }  # fmt: skip


def test_a_sweep_is_listed_under_its_folder(index, tmp_path):
    write_experiment(tmp_path / "sweep", name="a")
    write_experiment(tmp_path / "other", name="a")
    assert set(rows(index)) == {"sweep/a", "other/a"}


def test_the_figures_are_those_of_results_json(index, tmp_path):
    test = read_results(write_experiment(tmp_path, name="plain"))["test"]
    values = rows(index)["plain"]["values"]
    assert values["macro_f1"] == test["macro"]["f1"]
    assert values["defect_2_recall"] == test["per_class"]["defect_2"]["recall"]
    assert values["loss.gamma"] == 2.0


def test_only_what_changed_is_read_again(index, tmp_path, counted):
    for name in ("a", "b", "c"):
        write_experiment(tmp_path, name=name)
    assert set(rows(index)) == {"a", "b", "c"}
    assert rows(index)
    assert sorted(counted.read) == ["a", "b", "c"]
    # Of the same size, within the same tick of the clock: another inode.
    file = tmp_path / "b" / "results.json"
    before = file.stat()
    (tmp_path / "new").write_text(file.read_text().replace("focal_loss", "focal_lost"))
    (tmp_path / "new").replace(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert rows(index)["b"]["values"]["loss"] == "focal_lost"
    assert counted.read[3:] == ["b"]
    (tmp_path / "a").rename(tmp_path / "d")
    assert set(rows(index)) == {"b", "c", "d"}


def test_an_epoch_that_ended_is_seen(index, tmp_path):
    folder = begun(write_experiment(tmp_path, name="live"))
    assert rows(index)["live"]["values"]["epochs"] == 3
    history = read_results(folder)["history"]
    begun_again = read_results(folder) | {"history": [*history, history[-1] | {"epoch": 4}]}
    write_results(folder, begun_again)
    values = rows(index)["live"]["values"]
    assert (values["epochs"], values["validation_macro_f1"]) == (4, 0.65)


def test_a_run_that_has_just_begun_is_listed(index, tmp_path):
    (tmp_path / "new").mkdir()
    write_results(tmp_path / "new", {"schema_version": 1, "status": "running"})
    assert rows(index)["new"]["status"] == "no process"


def test_a_cross_validation_counts_the_epochs_of_its_folds(index, tmp_path, monkeypatch):
    monkeypatch.setattr("core.workbench.index.is_locked", lambda folder: True)
    folder = begun(write_experiment(tmp_path, name="folds", config={"training.folds": 5}))
    write_experiment(folder, name="fold_1")
    values = rows(index)["folds"]["values"]
    assert (values["epochs"], values["planned_epochs"]) == (3, 15)
    version = index.version
    assert rows(index)
    assert index.version == version
    write_experiment(folder, name="fold_2")
    assert rows(index)["folds"]["values"]["epochs"] == 6


def test_what_cannot_be_listed_is_a_row_that_says_so(index, tmp_path, monkeypatch):
    write_experiment(tmp_path, name="plain")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "sweep").mkdir()
    assert {name: row["status"] for name, row in rows(index).items()} == {
        "plain": "completed", "loop": "damaged"
    }  # fmt: skip
    scan, gone = os.scandir, tmp_path / "sweep"

    def stale(folder):
        if folder == gone:
            raise OSError(errno.ESTALE, "Stale file handle")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", stale)
    assert rows(index)["sweep"]["message"] == "sweep: cannot be listed (Stale file handle)"
    gone = tmp_path
    assert {row["status"] for row in rows(index).values()} == {"damaged"}
    gone = None
    assert set(rows(index)) == {"plain", "loop"}


def test_the_folder_is_looked_at_again_after_an_error(tmp_path, caplog, monkeypatch):
    write_experiment(tmp_path, name="plain")
    errors = [BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")]

    def ask(function, path):
        if errors:
            raise errors.pop()
        return directly(function, path)

    index = ExperimentIndex(tmp_path, ask)
    monkeypatch.setattr("core.workbench.index._INTERVAL_SECONDS", 0.01)
    index.keep_watching()
    index.watch()
    ends = time.monotonic() + 20
    while not index.rows()[0] and time.monotonic() < ends:
        time.sleep(0.01)
    index.close()
    assert [row["name"] for row in index.rows()[0]] == ["plain"]
    assert "could not be looked at; trying again" in caplog.text


def test_running_says_who_holds_the_lock(index, tmp_path):
    folder = begun(write_experiment(tmp_path, name="live"))
    assert rows(index)["live"]["status"] == "no process"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(folder)],
        cwd=REPOSITORY / "code", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == b"held\n"
        assert rows(index)["live"]["status"] == "running"
    finally:
        holder.kill()
        holder.communicate()
    assert rows(index)["live"]["status"] == "no process"


@pytest.mark.slow
def test_a_child_that_is_ended_is_replaced():
    ask = ChildProcess()
    try:
        with pytest.raises(UnavailableError, match="ended by the system"):
            ask(os._exit, 9)
        assert ask(len, "three") == 5
        with pytest.raises(InputError, match="of this project"):
            ask(raise_input_error, "not of this project")
    finally:
        ask.close()
    with pytest.raises(InputError, match="was ended"):
        ask(len, "three")


KILLED = """
import os, signal
from core.workbench.child import ChildProcess
print(ChildProcess()(os.getpid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_child_ends_with_its_server():
    """Its end of the pipe is closed only when it has ended too."""
    ended = subprocess.run(
        [sys.executable, "-c", f"if __name__ == '__main__':{textwrap.indent(KILLED, ' ')}"],
        cwd=REPOSITORY / "code", stdout=subprocess.PIPE, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.strip().isdigit()


def raise_input_error(message):
    raise InputError(message)


def test_what_ends_the_child_is_shown_as_damaged(tmp_path):
    write_experiment(tmp_path, name="plain")

    def ended(function, path):
        raise InputError("the process that read it was ended")

    index = ExperimentIndex(tmp_path, ended)
    assert rows(index)["plain"]["status"] == "damaged"
    assert "ended" in rows(index)["plain"]["message"]

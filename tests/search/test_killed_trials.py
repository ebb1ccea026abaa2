"""Trials whose process was killed: none stays running, and none is trained twice."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from conftest import REPOSITORY
from search_runs import optuna
from sqlalchemy.exc import IntegrityError

from core.errors import InputError
from core.search import searching
from core.search import study as studies
from core.search import trial as trials
from core.search.sampler import CONTINUES, FIRST, SeededSampler, place
from core.search.settings import SearchSettings
from core.search.study import (
    HOST,
    ended,
    folder_of,
    open_study,
    queue_again,
    recover,
    trial_lock,
)

LOCKED = """
import sys, time
from pathlib import Path
sys.path.insert(0, "code")
from core.experiments.lock import run_lock
from core.search.study import trial_lock
folder = Path(sys.argv[1])
with trial_lock(folder, 0), run_lock(folder / "trial_001_x"):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def study(tmp_path):
    return open_study("study", tmp_path, SearchSettings())


def begin(study, host: str | None = None) -> optuna.Trial:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    if host:
        trial.set_user_attr(HOST, host)
    return trial


def states(study) -> list[str]:
    return [trial.state.name for trial in study.get_trials()]


def test_trials_that_a_process_works_on_are_left_alone(study, tmp_path):
    """The first has not made its folder yet; the second is continued by hand in its folder."""
    (tmp_path / "trial_001_x").mkdir()
    for _ in range(3):
        begin(study)
    command = [sys.executable, "-c", LOCKED, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        recover(study, tmp_path)
        assert states(study) == ["RUNNING", "RUNNING", "FAIL", "WAITING"]
        process.kill()
    recover(study, tmp_path)
    assert states(study)[:2] == ["FAIL", "FAIL"]
    waiting = study.get_trials(states=(optuna.trial.TrialState.WAITING,))
    assert [trial.user_attrs[CONTINUES] for trial in waiting] == [2, 0, 1]


def test_a_trial_of_another_machine_is_left_alone(study, tmp_path):
    begin(study, host="another")
    recover(study, tmp_path)
    assert states(study) == ["RUNNING"]


def test_a_killed_trial_is_queued_once_with_its_values_and_its_folder(study, tmp_path):
    killed = begin(study)
    (tmp_path / "trial_000_x").mkdir()
    queue_again(study, study.get_trials()[0])  # killed before it was told that it failed
    recover(study, tmp_path)
    recover(study, tmp_path)
    assert states(study) == ["FAIL", "WAITING"]
    again = begin(study)
    assert again.params == killed.params
    recover(study, tmp_path)  # killed once more
    last = study.get_trials()[-1]
    assert last.user_attrs == {CONTINUES: 1, FIRST: 0}
    assert folder_of(last, tmp_path) == tmp_path / "trial_000_x"
    assert not ended(study)


def test_a_killed_search_draws_the_values_of_one_that_was_not(tmp_path):
    def drawn(killed_at: int | None) -> list[float]:
        folder = tmp_path / str(killed_at)
        for number in range(14):  # more than the first, which are drawn at random
            study = open_study("study", folder, SearchSettings(seed=3))  # a process of its own
            trial = begin(study)
            if number == killed_at:
                recover(study, folder)
                trial = begin(study)
            study.tell(trial, trial.params["x"])
        return [trial.params["x"] for trial in ended(study)]

    usual = drawn(None)
    assert len(set(usual)) == 14
    assert drawn(12) == drawn(4) == usual


def test_two_processes_draw_different_values(study, tmp_path):
    other = open_study("study", tmp_path, SearchSettings())
    assert begin(study).params != begin(other).params
    assert [place(study, trial) for trial in study.get_trials()] == [0, 1]
    assert isinstance(other.sampler, SeededSampler)


@pytest.mark.slow
def test_with_a_database_the_trials_of_a_silent_machine_are_queued_again(tmp_path, monkeypatch):
    monkeypatch.setattr("core.search.study._SILENT_SECONDS", 1)
    settings = SearchSettings(storage=f"sqlite:///{tmp_path / 'study.db'}")
    study = open_study("study", tmp_path, settings)
    trial = begin(study, host="another")
    storage = study._storage
    storage.record_heartbeat(trial._trial_id)
    recover(study, tmp_path)
    assert states(study) == ["RUNNING"]
    time.sleep(2.5)  # the database keeps whole seconds
    recover(study, tmp_path)
    assert states(study) == ["FAIL", "WAITING"]
    assert begin(study).params == trial.params


def test_a_database_whose_tables_another_machine_is_making_is_opened_once_more(
    tmp_path, monkeypatch
):
    calls, made = [], studies.RDBStorage

    def first_too_late(*args, **options):
        calls.append(args)
        if len(calls) == 1:
            raise IntegrityError("CREATE TABLE studies", None, Exception("duplicate key"))
        return made(*args, **options)

    monkeypatch.setattr(studies, "RDBStorage", first_too_late)
    monkeypatch.setattr(studies, "_TABLES_SECONDS", 0.01)
    settings = SearchSettings(storage=f"sqlite:///{tmp_path}/study.db")
    assert open_study("study", tmp_path, settings).get_trials() == []
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("driver", "reason"),
    [("nosuch", "NoSuchModuleError"), ("oracle+cx_oracle", "No module named 'cx_Oracle'")],
)
def test_a_database_that_cannot_be_used_is_one_line_without_its_password(driver, reason, tmp_path):
    settings = SearchSettings(storage=f"{driver}://ann:secret@here/studies")
    message = rf"search\.storage: the database cannot be used \({reason}\)"
    with pytest.raises(InputError, match=message) as refused:
        open_study("study", tmp_path, settings)
    assert "secret" not in str(refused.value)


def test_the_lock_of_a_trial_leaves_no_file(tmp_path):
    def locked():
        with trial_lock(tmp_path, 7):
            assert list(tmp_path.glob(".trial_*"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        locked()
    assert not list(tmp_path.glob(".trial_*"))


def test_a_trial_that_ends_while_others_look_for_killed_ones_is_not_queued(
    study, tmp_path, monkeypatch
):
    begin(study)
    other, is_worked_on = open_study("study", tmp_path, SearchSettings()), studies._is_worked_on

    def ends_meanwhile(trial, folder):
        other.tell(trial.number, 0.7)
        return is_worked_on(trial, folder)

    monkeypatch.setattr(studies, "_is_worked_on", ends_meanwhile)
    recover(study, tmp_path)
    assert states(study) == ["COMPLETE"]


def test_a_trial_is_locked_until_the_study_has_its_figure(tmp_path, study, monkeypatch):
    """Another process would fail it between its training and that."""
    seen = []
    search = searching.Search.__new__(searching.Search)
    search.study, search.folder = study, tmp_path
    search.settings = SearchSettings(num_trials=1)
    search.config = SimpleNamespace(
        space=SimpleNamespace(suggest=lambda trial, chosen: {}), chosen={}
    )
    monkeypatch.setattr(searching.Search, "_figures", lambda self, trial, values: 0.5)
    tell = study._storage.set_trial_state_values

    def told(number, state, values=None):
        seen.append((state.name, len(list(tmp_path.glob(".trial_*_lock")))))
        return tell(number, state, values)

    monkeypatch.setattr(study._storage, "set_trial_state_values", told)
    assert search._one_more()
    assert seen[-1] == ("COMPLETE", 1)
    assert not list(tmp_path.glob(".trial_*"))


def test_a_trial_killed_before_its_values_leaves_their_draw_to_the_one_that_goes_on(
    study, tmp_path
):
    study.ask()
    recover(study, tmp_path)
    first, second = study.ask(), study.ask()
    assert [place(study, study.get_trials()[each.number]) for each in (first, second)] == [0, 1]
    assert first.suggest_float("x", 0, 1) != second.suggest_float("x", 0, 1)


def test_a_trial_that_goes_on_takes_what_may_change(monkeypatch, compose, tiny, tmp_path):
    """Such as the place of the data, which may differ on each machine."""
    config, given = compose(*tiny, "runtime.device=cpu"), {}

    def find_training(wanted, values, results_dir):
        given.update(values)
        return config, lambda callbacks: {"status": "completed"}

    monkeypatch.setattr(trials, "find_training", find_training)
    monkeypatch.setattr(trials, "read_results", lambda path: {"status": "interrupted"})
    folder = tmp_path / "trial_000_x"
    folder.mkdir()
    (folder / trials.CONFIG_FILE).touch()
    trials.run_trial(config, folder, SimpleNamespace(pruned_at=None))
    assert given["data.root"] == str(config.data.root)
    assert given["runtime.device"] == "cpu"

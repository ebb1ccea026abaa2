"""Searches: trials are ordinary trainings, and a killed search ends as one that was not."""

import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from conftest import REPOSITORY
from forked_command import start_forked
from search_runs import run_search, search_command, trials_in

from core.command import catalogue
from core.experiments.reading import read_results

TWO = "search.num_trials=2"


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder of a search of two trials, one a command, and what the commands printed."""
    folder = tmp_path_factory.mktemp("whole")
    command = search_command(tiny, folder)
    return folder, [run_search([*command, words]) for words in ("search.num_trials=1", TWO)]


@pytest.mark.slow
def test_trials_are_ordinary_experiments_and_the_same_command_goes_on(whole):
    folder, printed = whole
    assert "1 of 1 trials: 1 completed" in printed[0]
    assert "2 of 2 trials: 2 completed" in printed[1]
    trials = trials_in(folder)
    for trial in trials:
        (path,) = folder.glob(f"*/{trial.user_attrs['folder']}")
        results = read_results(path)
        assert results["status"] == "completed"
        record = results["history"][results["tested_epoch"] - 1]
        assert record["validation"]["macro_average_precision"] == trial.value
        rate = results["config"]["training"]["learning_rate"]
        assert rate == float(f"{trial.params['training.learning_rate']:.6g}")
        assert results["config"]["loss"]["type"] == trial.params["loss.type"]
    best = max(trials, key=lambda trial: trial.value)
    (line,) = [line for line in printed[1].splitlines() if "code/train.py" in line]
    assert "data=synthetic" in line
    assert f"loss.type={best.params['loss.type']}" in line


@pytest.fixture
def components_kept(monkeypatch):
    """Another process need not find out what models and losses there are, which takes long."""
    monkeypatch.setattr(catalogue, "_is_complete", lambda: True)
    catalogue._remembered.cache_clear()
    catalogue._remembered()


@pytest.mark.slow
@pytest.mark.usefixtures("components_kept")
def test_a_search_that_was_killed_finds_the_same(whole, tiny, tmp_path):
    command = search_command(tiny, tmp_path, TWO)
    script = str(REPOSITORY / "code" / "search.py")
    kill_after_an_epoch(start_forked(script, *command[2:], errors=tmp_path / "errors"), tmp_path)
    assert [trial.state.name for trial in trials_in(tmp_path)] == ["RUNNING"]
    assert "2 of 2 trials: 2 completed, 0 pruned, 0 failed" in run_search(command)
    found = trials_in(tmp_path)
    assert [trial.state.name for trial in found] == ["FAIL", "COMPLETE", "COMPLETE"]
    (path,) = tmp_path.glob("*/trial_000_*")
    assert read_results(path)["experiment"]["resumed_at"][0]["epoch"] >= 2
    uninterrupted = trials_in(whole[0])
    assert [(t.params, t.value) for t in found[1:]] == [(t.params, t.value) for t in uninterrupted]


def kill_after_an_epoch(process: BaseProcess, results_dir: Path) -> None:
    while process.exitcode is None:
        for path in results_dir.glob("*/trial_*/"):
            if read_results(path).get("history"):
                process.kill()
                process.join()
                return
        time.sleep(0.02)
    raise AssertionError("the search ended before it was killed")

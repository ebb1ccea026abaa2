"""Searches: trials are ordinary trainings, and a study goes on where a process was killed."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import scalings_found_once, undrawn_curves
from experiment_factory import read_results

optuna = pytest.importorskip("optuna")

from core.command.mistakes import run_command  # noqa: E402
from core.search.study import JOURNAL  # noqa: E402

KEYS = ("training.learning_rate", "training.weight_decay", "loss.type")


@pytest.fixture
def search(tiny, tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """Run `python code/search.py space=small ARGUMENTS` in this process; what it printed."""
    import search

    def run(*words: str, results_dir: Path = tmp_path) -> str:
        given = [word for word in tiny if not word.startswith(KEYS)]
        where = f"experiment.results_dir={results_dir}"
        monkeypatch.setattr(sys, "argv", ["search.py", "space=small", *given, where, *words])
        capsys.readouterr()
        with undrawn_curves(), scalings_found_once():
            run_command(search.main)
        return capsys.readouterr().out

    return run


def trials_in(results_dir: Path) -> list[optuna.trial.FrozenTrial]:
    (journal,) = results_dir.glob(f"*/{JOURNAL}")
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name=journal.parent.name, storage=storage).get_trials()


@pytest.mark.slow
def test_trials_are_ordinary_experiments_and_the_same_command_goes_on(search, tmp_path):
    once = "training.num_epochs=1"
    printed = search(once, "search.num_trials=1")
    assert "1 of 1 trials: 1 completed" in printed
    printed = search(once, "search.num_trials=2")
    assert "2 of 2 trials: 2 completed" in printed
    trials = trials_in(tmp_path)
    for trial in trials:
        (path,) = tmp_path.glob(f"*/{trial.user_attrs['folder']}")
        results = read_results(path)
        assert results["status"] == "completed"
        assert results["history"][0]["validation"]["macro_average_precision"] == trial.value
        rate = results["config"]["training"]["learning_rate"]
        assert rate == float(f"{trial.params['training.learning_rate']:.6g}")
        assert results["config"]["loss"]["type"] == trial.params["loss.type"]
    best = max(trials, key=lambda trial: trial.value)
    assert f"code/train.py data=synthetic" in printed
    assert f"loss.type={best.params['loss.type']}" in printed

"""Searches of tiny trainings, and what their studies hold."""

import io
import logging
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from conftest import scalings_found_once, undrawn_curves

from core.command.mistakes import run_command

optuna = pytest.importorskip("optuna")

_SEARCHED = ("training.learning_rate", "training.weight_decay", "loss.type")


def search_command(tiny: list[str], results_dir: Path, *words: str) -> list[str]:
    """The words of `python code/search.py space=small ...` with tiny trainings."""
    fixed = [word for word in tiny if not word.startswith(_SEARCHED)]
    where = f"experiment.results_dir={results_dir}"
    return [sys.executable, "code/search.py", "space=small", *fixed, where, *words]


def run_search(command: list[str]) -> str:
    """Run the command in this process; what it printed."""
    import search

    root = logging.getLogger()
    root.handlers.clear()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(io.StringIO()) as printed:
        patched.setattr(sys, "argv", command[1:])
        with undrawn_curves(), scalings_found_once():
            run_command(search.main)
    root.handlers.clear()
    return printed.getvalue()


def trials_in(results_dir: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials of the one study in `results_dir`."""
    (journal,) = results_dir.glob("*/study.journal")
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name=journal.parent.name, storage=storage).get_trials()

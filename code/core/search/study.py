"""The study that several processes share: its storage, and trials whose process was killed."""

import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import MedianPruner
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, fail_stale_trials
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, ProgrammingError

from core.errors import InputError
from core.experiments.lock import is_locked
from core.files.locks import acquire
from core.search.sampler import CONTINUES, FIRST, SeededSampler
from core.search.settings import SearchSettings

HOST, FOLDER = "host", "folder"
"""Attributes of a trial: the machine that trains it, the name of its experiment's folder, and,
where it goes on with a killed one, the number of the first of these."""
THIS_HOST = platform.node()
JOURNAL = "study.journal"
# A machine that is silent for so long is gone. Shorter times end trials of machines that are busy.
_HEARTBEAT_SECONDS, _SILENT_SECONDS = 60, 300
_POLL_SECONDS, _TABLES_SECONDS = 0.1, 1.0
# Of all trials, and at the same epoch, before any is pruned.
_FIRST_TRIALS, _FEWEST_AT_EPOCH = 5, 3


def open_study(name: str, folder: Path, settings: SearchSettings) -> optuna.Study:
    """The study of this name, made where there is none; `folder` is that of its experiments.

    Raises InputError for a database that cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    with study_lock(folder):
        return optuna.create_study(
            storage=_storage(folder, settings),
            sampler=SeededSampler(settings.seed),
            # The epochs of the warm-up are left out trial by trial.
            pruner=MedianPruner(n_startup_trials=_FIRST_TRIALS, n_min_trials=_FEWEST_AT_EPOCH),
            study_name=name,
            directions=["maximize", "minimize"] if settings.latency else ["maximize"],
            load_if_exists=True,
        )


def _storage(folder: Path, settings: SearchSettings) -> BaseStorage:
    if settings.storage is None:
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    try:
        return _database(settings.storage)
    except Exception as error:  # of SQLAlchemy's, whose text may hold the password
        driver = error.__cause__
        reason = str(driver) if isinstance(driver, ModuleNotFoundError) else type(error).__name__
        raise InputError(
            f"search.storage: the database cannot be used ({reason}): expected a URL of "
            "SQLAlchemy's with its driver installed, such as postgresql+psycopg://USER@HOST/NAME"
        ) from None


def _database(url: str) -> RDBStorage:
    """Several machines may make the tables at once: all but one fail, and then find them made."""
    connect = partial(
        RDBStorage,
        url,
        heartbeat_interval=_HEARTBEAT_SECONDS,
        grace_period=_SILENT_SECONDS,
        heartbeat_stale_trial_callback=queue_again,
    )
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        try:
            return connect()
        except (IntegrityError, ProgrammingError):
            time.sleep(_TABLES_SECONDS)
            return connect()


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """One process of this machine at a time."""
    with (folder / ".study_lock").open("w") as stream:
        while acquire(stream) is False:
            time.sleep(_POLL_SECONDS)
        yield


@contextmanager
def trial_lock(folder: Path, number: int) -> Iterator[None]:
    """Held as long as a process of this machine works on the trial, from before its folder is made.

    The system releases it when the process ends, in whatever way.
    """
    file = _lock_file(folder, number)
    with file.open("w") as stream:
        acquire(stream)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _lock_file(folder: Path, number: int) -> Path:
    return folder / f".trial_{number:03d}_lock"


def experiment_name(trial: FrozenTrial) -> str:
    """The name of the trial's experiment, by which it is found however early it was killed."""
    return f"trial_{trial.user_attrs.get(FIRST, trial.number):03d}"


def folder_of(trial: FrozenTrial, folder: Path) -> Path | None:
    """The folder of the trial's experiment; None: there is none yet."""
    return max(folder.glob(f"{experiment_name(trial)}_*/"), default=None)


def recover(study: optuna.Study, folder: Path) -> None:
    """Fail the trials that no process of this machine works on any more, and queue them again.

    With a database, also those of machines that are silent. Call it within `study_lock`, from a
    process that works on none.
    """
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(HOST, THIS_HOST) != THIS_HOST or _is_worked_on(trial, folder):
            continue
        if study.get_trials(deepcopy=False)[trial.number].state.is_finished():
            continue  # it ended meanwhile
        queue_again(study, trial)
        # Only now: a process that is killed in between leaves a trial that is recovered once more.
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        _lock_file(folder, trial.number).unlink(missing_ok=True)


def _is_worked_on(trial: FrozenTrial, folder: Path) -> bool:
    file, path = _lock_file(folder, trial.number), folder_of(trial, folder)
    if file.is_file():
        with file.open("r+") as stream:
            if acquire(stream) is False:
                return True
    return path is not None and is_locked(path)


def queue_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Let the next process go on with this trial, in its folder if there is one."""
    if trial.number not in continued(study):
        first = trial.user_attrs.get(FIRST, trial.number)
        study.enqueue_trial(trial.params, user_attrs={CONTINUES: trial.number, FIRST: first})


def continued(study: optuna.Study) -> set[int]:
    """The numbers of trials that another trial goes on with."""
    trials = study.get_trials(deepcopy=False)
    return {each.user_attrs[CONTINUES] for each in trials if CONTINUES in each.user_attrs}


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that came to an end of their own, with or without a figure."""
    over = continued(study)
    trials = study.get_trials(deepcopy=False)
    return [each for each in trials if each.state.is_finished() and each.number not in over]

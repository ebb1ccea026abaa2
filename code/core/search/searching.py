"""The search: one trial after another, until the study has as many as it should."""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from optuna import Trial, TrialPruned
from optuna.trial import FrozenTrial, TrialState

from core.command.terminal import show
from core.errors import InputError, described
from core.files.names import file_name
from core.running.loading import read_table, with_image_size
from core.running.resuming import FREE
from core.search.composition import SearchConfig
from core.search.outcome import outcome_text
from core.search.study import (
    FOLDER,
    HOST,
    THIS_HOST,
    ended,
    experiment_name,
    folder_of,
    open_study,
    queue_again,
    recover,
    study_lock,
    trial_lock,
)
from core.search.trial import Watch, latency_milliseconds, run_trial, validation_figure
from core.training.trackers import check_trackers

log = logging.getLogger(__name__)

_FIRST_FAILURES = 3


class Search:
    """One process of a search, which may share its study with others."""

    def __init__(self, config: SearchConfig) -> None:
        self.config, self.settings = config, config.search
        check_trackers(config.base.training.trackers)
        fingerprint = read_table(with_image_size(config.base.data)).fingerprint()
        name = config.study_name(fingerprint, FREE)
        self.folder = Path(config.base.experiment.results_dir) / file_name(name)
        if "mlflow" in config.base.training.trackers:  # one experiment for all trials
            os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", name)
        self.study = open_study(name, self.folder, self.settings)
        self.last_error = ""

    def run(self) -> None:
        """Train trials until the study is complete, or the rest is trained by other processes."""
        log.info("Search %s", self.folder)
        while self._one_more():
            over = ended(self.study)
            failed = [trial for trial in over if trial.state == TrialState.FAIL]
            if len(over) == len(failed) >= _FIRST_FAILURES:
                raise InputError(f"the first {len(failed)} trials failed: {self.last_error}")
        show(outcome_text(self.study, self.config, self.folder))

    def _one_more(self) -> bool:
        """Run one trial; false where enough have ended or are running."""
        with ExitStack() as held, ExitStack() as claim:
            claim.enter_context(study_lock(self.folder))
            recover(self.study, self.folder)
            running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if len(ended(self.study)) + len(running) >= self.settings.num_trials:
                return False
            objective = partial(self._objective, claim=claim, held=held)
            self.study.optimize(objective, n_trials=1, catch=(Exception,))
        return True

    def _objective(
        self, trial: Trial, claim: ExitStack, held: ExitStack
    ) -> float | Sequence[float]:
        """Train the trial; `claim` is released as soon as others can see that it runs."""
        held.enter_context(trial_lock(self.folder, trial.number))  # until the study has its figure
        try:
            trial.set_user_attr(HOST, THIS_HOST)
            values = self.config.space.suggest(trial, self.config.chosen)
            claim.close()
            return self._figures(trial, values)
        except KeyboardInterrupt:
            queue_again(self.study, self._known(trial))
            raise
        except TrialPruned:
            raise
        except Exception as error:
            self._tell_failure(trial, error)
            raise

    def _figures(self, trial: Trial, values: dict[str, str]) -> float | Sequence[float]:
        known = self._known(trial)
        name, path = experiment_name(known), folder_of(known, self.folder)
        log.info("\n%s: %s", name, " ".join(f"{key}={text}" for key, text in values.items()))
        where = (f"experiment.results_dir={self.folder}", f"experiment.name={name}")
        config = self.config.compose(values, *where)
        watch = Watch(trial, config, self.settings.pruning and not self.settings.latency)
        try:
            results = run_trial(config, path, watch)
        finally:
            if found := folder_of(known, self.folder):
                trial.set_user_attr(FOLDER, found.name)
        figure = validation_figure(results)
        log.info("%s: validation macro average precision %.4f", name, figure)
        if not self.settings.latency:
            return figure
        return figure, latency_milliseconds(folder_of(known, self.folder))

    def _tell_failure(self, trial: Trial, error: Exception) -> None:
        name = experiment_name(self._known(trial))
        if isinstance(error, InputError):
            self.last_error = str(error)
            log.error("%s failed: %s", name, error)
        else:
            self.last_error = described(error)
            log.exception("%s failed; the search continues", name)

    def _known(self, trial: Trial) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[trial.number]

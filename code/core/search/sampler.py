"""Which values a trial gets: tree-structured Parzen estimators, seeded for each trial anew.

Source: Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011.
"""

from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

FIRST, CONTINUES = "first", "continues"
"""Attributes of a trial that goes on with a killed one: the first one's number, and that one's."""


class SeededSampler(BaseSampler):
    """Draws a trial's values from a generator of its own, by the seed and the trial's place.

    So processes that share a study draw different values, and a search that was killed draws those
    of one that was not.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._of_trial = TPESampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        seed = np.random.SeedSequence([self.seed, place(study, trial)]).generate_state(1)[0]
        self._of_trial = TPESampler(seed=int(seed))
        self._of_trial.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._of_trial.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of_trial.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._of_trial.sample_independent(study, trial, param_name, param_distribution)


def place(study: Study, trial: FrozenTrial) -> int:
    """The trial's number in a study in which nothing was killed."""
    number = trial.user_attrs.get(FIRST, trial.number)
    earlier = study.get_trials(deepcopy=False)[:number]
    return number - sum(CONTINUES in each.user_attrs for each in earlier)

"""What a search found: the best trials, what mattered, and the command that trains the best."""

import shlex
import shutil
import statistics
from collections import Counter
from pathlib import Path

from optuna import Study
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from core.analysis.text_tables import aligned, fitted, number
from core.search.composition import SearchConfig
from core.search.study import ended, experiment_name

_MOST_SHOWN = 10
_WORDS = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
_FOREST_SEEDS = range(10)
# With fewer trials, a forest says nothing about which key mattered.
_FEWEST_FOR_IMPORTANCE = 8


def outcome_text(study: Study, config: SearchConfig, folder: Path) -> str:
    """Tables of the best trials and of importances, and the command for the best one."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    parts = [_counts(study, config)]
    if not complete:
        return "\n\n".join([*parts, "No trial was completed: there is no best one."])
    best = _best_first(study, complete)
    parts.append(_table(best[:_MOST_SHOWN], config))
    parts.append(_importances(study, complete))
    values = config.space.texts(best[0].params)
    words = [*config.overrides, *(f"{key}={text}" for key, text in values.items())]
    parts.append(
        "The best figure of many is too high: judge the settings on the test part of trainings "
        f"with other seeds.\nTrain them anew: python code/train.py {shlex.join(words)}\n"
        f"Compare the trials: python code/compare.py --results-dir {shlex.quote(str(folder))}"
    )
    return "\n" + "\n\n".join(parts)


def _counts(study: Study, config: SearchConfig) -> str:
    over = Counter(trial.state for trial in ended(study))
    text = ", ".join(f"{over[state]} {word}" for state, word in _WORDS.items())
    running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
    more = f"; {running} running in other processes" if running else ""
    return f"{over.total()} of {config.search.num_trials} trials: {text}{more}"


def _best_first(study: Study, complete: list[FrozenTrial]) -> list[FrozenTrial]:
    """By the figure; with two objectives, those that no other trial beats in both."""
    trials = complete if len(study.directions) == 1 else study.best_trials
    return sorted(trials, key=lambda trial: (-trial.values[0], trial.number))


def _table(trials: list[FrozenTrial], config: SearchConfig) -> str:
    keys = list(config.space.parameters)
    names = [key.rpartition(".")[2] for key in keys]
    shown = [key if names.count(name) > 1 else name for key, name in zip(keys, names, strict=True)]
    with_latency = len(trials[0].values) > 1
    rows = [["trial", "macro AP", *(["ms"] if with_latency else []), *shown]]
    for trial in trials:
        values = config.space.texts(trial.params)
        figures = [number(trial.values[0], 4), *(number(each, 2) for each in trial.values[1:])]
        rows.append([experiment_name(trial), *figures, *(values.get(key, "-") for key in keys)])
    title = "Not beaten in both figures" if with_latency else "The best, by the validation part"
    return f"{title}:\n{fitted(rows, max(80, shutil.get_terminal_size().columns))}"


def _importances(study: Study, complete: list[FrozenTrial]) -> str:
    """The share of the figure's variance that each key explains, by fANOVA.

    Source: Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter
    Importance", 2014.
    """
    figures = {trial.values[0] for trial in complete}
    if len(complete) < _FEWEST_FOR_IMPORTANCE or len(figures) == 1:
        return (
            f"What mattered is not known from {len(complete)} completed trials: it takes at least "
            f"{_FEWEST_FOR_IMPORTANCE} with different figures."
        )
    shares: dict[str, list[float]] = {}
    for seed in _FOREST_SEEDS:
        found = get_param_importances(
            study,
            evaluator=FanovaImportanceEvaluator(seed=seed),
            target=lambda trial: trial.values[0],
        )
        for key, share in found.items():
            shares.setdefault(key, []).append(share)
    ordered = sorted(shares.items(), key=lambda each: -statistics.mean(each[1]))
    rows = [["key", "share", "+-"]]
    rows += [
        [key, number(statistics.mean(each)), number(statistics.stdev(each))]
        for key, each in ordered
    ]
    text = "\n".join(aligned(rows))
    return (
        f"What mattered, by fANOVA over {len(complete)} completed trials (+-: standard deviation "
        f"over {len(_FOREST_SEEDS)} forests; few trials deviate by more):\n{text}"
    )

"""The figure that experiments are ranked by, and the choice of experiments."""

import json
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from typing import Any

from core.errors import InputError
from core.experiments.reading import Experiment
from core.metrics.scored_predictions import METRICS
from core.validation import nearest

FigureKey = tuple[str, ...]

# The headline first.
HEADLINES: dict[str, FigureKey] = {
    "macro_f1": ("macro", "f1"),
    "macro_average_precision": ("macro", "average_precision"),
    "macro_auroc": ("macro", "auroc"),
}
# For models that predict masks.
LOCALIZATION: dict[str, FigureKey] = {
    "mean_dice": ("localization", "macro", "dice"),
    "pointing_accuracy": ("localization", "macro", "pointing_accuracy"),
}


def figure_keys(class_names: Iterable[str]) -> dict[str, FigureKey]:
    """Every figure by its name for `--sort`, such as macro_f1 or defect_2_recall."""
    keys = dict(HEADLINES)
    for row in ("macro", "micro", "any_defect"):
        keys |= {f"{row}_{metric}": (row, metric) for metric in METRICS}
    keys |= {"subset_accuracy": ("subset_accuracy",)} | LOCALIZATION
    return {_of_class(name, metric, keys): ("per_class", name, metric)
            for name in class_names for metric in METRICS} | keys  # fmt: skip


def _of_class(name: str, metric: str, averages: Container[str]) -> str:
    """The name of a class's figure; a class may be called `macro`."""
    figure = f"{name}_{metric}"
    return f"per_class.{name}.{metric}" if figure in averages else figure


def shown_figures(
    experiments: Sequence[Experiment], sort: str, key: FigureKey
) -> dict[str, FigureKey]:
    """What is printed of each: the headlines, the figure they are sorted by, the same metric of
    each class (or F1), and localisation where there is any.
    """
    metric = key[-1] if key[-1] in METRICS else "f1"
    classes = dict.fromkeys(name for experiment in experiments for name in experiment.class_names)
    averages = figure_keys(())
    shown = HEADLINES | {sort: key}
    for name in classes:
        shown[_of_class(name, metric, averages)] = ("per_class", name, metric)
    for name, where in LOCALIZATION.items():
        if any(figure(experiment, where) is not None for experiment in experiments):
            shown[name] = where
    return shown


def find_figure(name: str, experiments: Sequence[Experiment]) -> FigureKey:
    """The keys of the figure of that name. Raises InputError for an unknown one."""
    classes = dict.fromkeys(cls for experiment in experiments for cls in experiment.class_names)
    keys = figure_keys(classes)
    if name not in keys:
        raise InputError(
            f"sort={name}: unknown figure{nearest(name, keys)}; "
            f"expected one such as {', '.join(HEADLINES)}, defect_1_recall, subset_accuracy"
        )
    return keys[name]


def figure(experiment: Experiment, key: FigureKey) -> float | None:
    """A figure of the test part at 0.5."""
    value = experiment.look_up("test", *key)
    return float(value) if isinstance(value, (int, float)) else None


def interval(experiment: Experiment, key: FigureKey) -> list[float] | None:
    """[low, high] of that figure."""
    bounds = experiment.look_up("test", "intervals", *key)
    return bounds if isinstance(bounds, list) and len(bounds) == 2 else None


def ranked(experiments: Iterable[Experiment], key: FigureKey) -> list[Experiment]:
    """Best first, undefined last, equal ones by name."""
    named = sorted(experiments, key=lambda one: one.name)
    undefined = float("inf")
    return sorted(named, key=lambda one: undefined if (f := figure(one, key)) is None else -f)


def filtered(experiments: Sequence[Experiment], filters: Iterable[str]) -> list[Experiment]:
    """Those whose config has all these values, each given as `loss.type=focal_loss`."""
    chosen = list(experiments)
    for text in filters:
        key, separator, wanted = text.partition("=")
        if not (separator and key):
            raise InputError(f"filter {text!r}: expected KEY=VALUE, such as loss.type=focal_loss")
        known = {name for experiment in experiments for name in experiment.config}
        if experiments and key not in known:
            raise InputError(
                f"filter {text!r}: no experiment has the key {key!r}{nearest(key, sorted(known))}"
            )
        chosen = [one for one in chosen if key in one.config and _equal(one.config[key], wanted)]
    return chosen


def _equal(value: Any, wanted: str) -> bool:
    if value is None or isinstance(value, bool):
        return json.dumps(value) == {"none": "null"}.get(wanted.lower(), wanted.lower())
    if isinstance(value, (int, float)):
        with suppress(ValueError):
            return float(wanted) == value
    return str(value).replace(" ", "") == wanted.replace(" ", "").strip("'\"")

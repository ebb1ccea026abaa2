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
TITLES = {
    "macro_f1": "macro-F1",
    "macro_average_precision": "macro AP",
    "macro_auroc": "macro AUROC",
    "mean_dice": "mean Dice",
    "pointing_accuracy": "peak inside the mask",
}
# In `--columns`: every figure that any experiment has.
ALL = "all"


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


def headline_figures(sort: str, key: FigureKey) -> dict[str, FigureKey]:
    """What is printed of each in any case: the figure they are sorted by, macro-F1, macro AP."""
    return {sort: key} | {name: HEADLINES[name] for name in ("macro_f1", "macro_average_precision")}


def find_figure(name: str, experiments: Sequence[Experiment]) -> FigureKey:
    """The keys of the figure of that name. Raises InputError for an unknown one."""
    keys = figure_keys(_classes(experiments))
    if name not in keys:
        raise InputError(f"sort={name}: {_unknown(name, keys)}")
    return keys[name]


def find_figures(names: Iterable[str], experiments: Sequence[Experiment]) -> dict[str, FigureKey]:
    """The keys of these figures; a metric alone stands for that of each class, `all` for all.

    Raises InputError for an unknown name.
    """
    classes = _classes(experiments)
    keys, averages = figure_keys(classes), figure_keys(())
    found: dict[str, FigureKey] = {}
    for name in names:
        if name == ALL:
            known = keys.items()
            found |= {k: v for k, v in known if any(figure(e, v) is not None for e in experiments)}
        elif name in METRICS:
            found |= {_of_class(cls, name, averages): ("per_class", cls, name) for cls in classes}
        elif name in keys:
            found[name] = keys[name]
        else:
            raise InputError(f"columns={name}: {_unknown(name, [*keys, *METRICS, ALL])}")
    return found


def _classes(experiments: Sequence[Experiment]) -> list[str]:
    return list(dict.fromkeys(cls for one in experiments for cls in one.class_names))


def _unknown(name: str, known: Iterable[str]) -> str:
    return (
        f"unknown figure{nearest(name, known)}; expected one such as {', '.join(HEADLINES)}, "
        "defect_1_recall, subset_accuracy"
    )


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

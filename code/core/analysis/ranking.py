"""Which figure an experiment is ranked by, and which experiments are looked at."""

from collections.abc import Iterable, Sequence
from typing import Any

from core.errors import InputError
from core.experiments.reading import Experiment
from core.metrics.scored_predictions import METRICS
from core.validation import nearest

FigureKey = tuple[str, ...]

# The headline, then what stands beside it.
HEADLINES: dict[str, FigureKey] = {
    "macro_f1": ("macro", "f1"),
    "macro_average_precision": ("macro", "average_precision"),
    "macro_auroc": ("macro", "auroc"),
}
# Where the masks of the test part were predicted.
LOCALIZATION: dict[str, FigureKey] = {
    "mean_dice": ("localization", "macro", "dice"),
    "pointing_accuracy": ("localization", "macro", "pointing_accuracy"),
}


def figure_keys(class_names: Iterable[str]) -> dict[str, FigureKey]:
    """Every figure by the name that `--sort` knows it by, such as macro_f1 or defect_2_recall."""
    keys = dict(HEADLINES)
    for row in ("macro", "micro", "any_defect"):
        keys |= {f"{row}_{metric}": (row, metric) for metric in METRICS}
    for name in class_names:
        keys |= {f"{name}_{metric}": ("per_class", name, metric) for metric in METRICS}
    return keys | {"subset_accuracy": ("subset_accuracy",)} | LOCALIZATION


def shown_figures(
    experiments: Sequence[Experiment], sort: str, key: FigureKey
) -> dict[str, FigureKey]:
    """What is printed of each: the headlines, what they are sorted by, the same metric of each
    class, or F1, and localisation where there is any.
    """
    metric = key[-1] if key[-1] in METRICS else "f1"
    classes = dict.fromkeys(name for experiment in experiments for name in experiment.class_names)
    shown = HEADLINES | {sort: key}
    shown |= {f"{name}_{metric}": ("per_class", name, metric) for name in classes}
    for name, where in LOCALIZATION.items():
        if any(figure(experiment, where) is not None for experiment in experiments):
            shown[name] = where
    return shown


def find_figure(name: str, experiments: Sequence[Experiment]) -> FigureKey:
    """Where the figure of that name stands in a report.

    Raises:
        InputError: no such figure; names the nearest.
    """
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

    def order(experiment: Experiment) -> tuple[float, str]:
        value = figure(experiment, key)
        return (float("inf") if value is None else -value, experiment.name)

    return sorted(experiments, key=order)


def filtered(experiments: Sequence[Experiment], filters: Iterable[str]) -> list[Experiment]:
    """Those whose config has all these values, each as `loss.type=focal_loss`.

    Raises:
        InputError: not KEY=VALUE, or a key that no experiment has.
    """
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
        return str(value).lower() == {"null": "none"}.get(wanted.lower(), wanted.lower())
    if isinstance(value, (int, float)):
        try:
            return float(wanted) == value
        except ValueError:
            return False
    return str(value).replace(" ", "") == wanted.replace(" ", "").strip("'\"")

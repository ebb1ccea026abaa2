"""What differs between the configs of experiments, and short names by what varies."""

import json
import re
from collections.abc import Mapping, Sequence

from core.experiments.reading import Experiment

# What an experiment is called, and where it is kept, does not change its results.
NAMES = ("experiment.name", "experiment.results_dir")
BEYOND_CONFIG = (
    ("data", "fingerprint"),
    ("environment", "git", "commit"),
    ("environment", "packages", "torch"),
)
ABSENT = "-"
# Of these, the value alone says what it is.
_CHOICES = ("type", "name", "source")
_DATE = re.compile(r"_\d{8}_\d{6}(_\d+)?$")
_LONGEST_LABEL = 48


def differing_values(experiments: Sequence[Experiment]) -> dict[str, list[str]]:
    """Each key whose value differs, with the value of each experiment; absent is `-`.

    Where experiments have different components, such as two losses, a parameter that only one
    component has is not a difference of its own.
    """
    columns: dict[str, list[str]] = {}
    for position, experiment in enumerate(experiments):
        beyond = {".".join(keys): experiment.look_up(*keys) for keys in BEYOND_CONFIG}
        for key, value in (experiment.config | beyond).items():
            if key not in NAMES:
                in_json = value is None or isinstance(value, bool)
                shown = json.dumps(value) if in_json else str(value)
                columns.setdefault(key, [ABSENT] * len(experiments))[position] = shown
    return {key: values for key, values in columns.items() if _differ(key, values, columns)}


def config_differences(experiments: Sequence[Experiment]) -> dict[str, dict[str, list[str]]]:
    """Each key whose value differs, with the unique names of the experiments behind each value."""
    differences: dict[str, dict[str, list[str]]] = {}
    names = unique_names(experiments)
    for key, values in differing_values(experiments).items():
        for name, value in zip(names, values, strict=True):
            differences.setdefault(key, {}).setdefault(value, []).append(name)
    return differences


def unique_names(experiments: Sequence[Experiment]) -> list[str]:
    """The name of each, with the folder above or the whole path where two are called alike."""
    names = [one.name for one in experiments]
    if len(set(names)) < len(names):
        names = [f"{one.path.resolve().parent.name}/{one.name}" for one in experiments]
    if len(set(names)) < len(names):
        names = [str(one.path.resolve()) for one in experiments]
    return names


def labels(experiments: Sequence[Experiment]) -> list[str]:
    """A unique short name of each.

    Where several have one name with other dates, as in a sweep, it is what varies between them,
    such as `focal_loss seed=1`, if that is short and tells them apart. Otherwise it is the name of
    the folder, as `unique_names` has it.
    """
    names = unique_names(experiments)
    stems = [_DATE.sub("", name) for name in names]
    if len(set(stems)) == len(stems):
        return names
    varied = variations(experiments)
    if len(set(stems)) > 1:
        varied = [f"{stem} {text}".strip() for stem, text in zip(stems, varied, strict=True)]
    tell_apart = all(varied) and len(set(varied)) == len(varied)
    return varied if tell_apart and max(map(len, varied)) <= _LONGEST_LABEL else names


def variations(experiments: Sequence[Experiment]) -> list[str]:
    """The values of each experiment that others do not share, such as `focal_loss seed=1`."""
    beyond = {".".join(keys) for keys in BEYOND_CONFIG}
    varied = {k: v for k, v in differing_values(experiments).items() if k not in beyond}
    leaves = [key.rpartition(".")[2] for key in varied]
    return [
        " ".join(
            _setting(key, values[position], leaves)
            for key, values in varied.items()
            if values[position] != ABSENT
        )
        for position in range(len(experiments))
    ]


def _setting(key: str, value: str, leaves: Sequence[str]) -> str:
    leaf, value = key.rpartition(".")[2], value.replace(", ", ",")
    if leaves.count(leaf) > 1:
        return f"{key}={value}"
    return value if leaf in _CHOICES else f"{leaf}={value}"


def _differ(key: str, values: Sequence[str], columns: Mapping[str, Sequence[str]]) -> bool:
    section = key.partition(".")[0]
    choices = (f"{section}.type", f"{section}.name")
    other_component = any(len(set(columns.get(choice, ()))) > 1 for choice in choices)
    ignored = {ABSENT} if other_component and key not in choices else set()
    return len(set(values) - ignored) > 1

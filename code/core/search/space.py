"""A space of settings: a YAML file of keys, each with the values that are tried."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.command.choosers import CONFIG_DIR
from core.command.config import CHOICES, SHORT_FORMS, components, key_schemas
from core.command.help import shown_value
from core.errors import InputError
from core.files.reading import read_yaml
from core.validation import nearest

if TYPE_CHECKING:
    from optuna.trial import Trial

SPACES = CONFIG_DIR / "space"
_KINDS = "{log: [LOW, HIGH]}, {range: [LOW, HIGH]} or {choices: [VALUE, ...]}"
_DIGITS = 6


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def suggest(self, trial: "Trial", key: str) -> str:
        """The trial's value, as it is written on a command line."""
        if self.is_whole:
            return str(trial.suggest_int(key, int(self.low), int(self.high), log=self.is_log))
        return self.text(trial.suggest_float(key, self.low, self.high, log=self.is_log))

    def text(self, value: float) -> str:
        """A value as it is written on a command line."""
        return str(int(value)) if self.is_whole else f"{value:.{_DIGITS}g}"

    @property
    def examples(self) -> tuple[str, ...]:
        """Values that are all valid if every value is."""
        return self.text(self.low), self.text(self.high)


@dataclass(frozen=True)
class Choices:
    """Values as they are written on a command line."""

    texts: tuple[str, ...]

    def text(self, value: str) -> str:
        """A value as it is written on a command line."""
        return value

    def suggest(self, trial: "Trial", key: str) -> str:
        """The trial's value, as it is written on a command line."""
        return trial.suggest_categorical(key, self.texts)

    @property
    def examples(self) -> tuple[str, ...]:
        """Values that are all valid if every value is."""
        return self.texts


@dataclass(frozen=True)
class Space:
    """What is searched, by full key, components first: their own keys depend on them."""

    name: str
    file: Path
    parameters: Mapping[str, Interval | Choices]

    def suggest(self, trial: "Trial", chosen: Mapping[str, str]) -> dict[str, str]:
        """The trial's values by key. `chosen` has the component of each group, unless searched.

        A key that the trial's component does not have is left out of the trial.
        """
        chosen, values = dict(chosen), {}
        for key, parameter in self.parameters.items():
            if has_key(key, chosen):
                values[key] = parameter.suggest(trial, key)
                if group := CHOICES.get(key):
                    chosen[group] = values[key]
        return values

    def texts(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The values of a trial as they are written on a command line, components first."""
        known = self.parameters
        return {key: known[key].text(values[key]) for key in known if key in values}

    @property
    def first_data(self) -> dict[str, str]:
        """The first value of each key of `data`, without which the images may not be readable."""
        known = self.parameters.items()
        return {key: each.examples[0] for key, each in known if key.startswith("data.")}

    def described(self) -> str:
        """The same text for the same space."""
        return json.dumps({key: repr(each) for key, each in sorted(self.parameters.items())})


def has_key(key: str, chosen: Mapping[str, str]) -> bool:
    """Whether a key is one of settings, or of the chosen component of its group."""
    group, _, name = key.partition(".")
    if key in CHOICES or group not in SHORT_FORMS.values():
        return True
    return name.partition(".")[0] in components(group).get(chosen.get(group, ""), {})


def read_space(name: str, folder: Path = SPACES) -> Space:
    """The space in `folder`/NAME.yaml, or in the file that `name` is.

    Raises InputError where there is none, or a parameter is none of the kinds.
    """
    file = Path(name).expanduser() if name.endswith(".yaml") else folder / f"{name}.yaml"
    if not file.is_file():
        known = sorted(path.stem for path in folder.glob("*.yaml"))
        raise InputError(
            f"space={name}: no such file{nearest(name, known)}; known: {', '.join(known)}; or give "
            "the path of a .yaml file"
        )
    content = read_yaml(file)
    if not content:
        raise InputError(f"{file}: is empty; expected KEY: {_KINDS}")
    parameters = {key: _parameter(file, key, value) for key, value in content.items()}
    ordered = sorted(parameters.items(), key=lambda each: each[0] not in CHOICES)
    return Space(file.stem, file, dict(ordered))


def _parameter(file: Path, key: str, value: Any) -> Interval | Choices:
    if not isinstance(value, Mapping) or len(value) != 1:
        raise InputError(f"{file}: {key}: {value!r}: expected {_KINDS}")
    ((kind, values),) = value.items()
    if kind not in ("log", "range", "choices"):
        close = nearest(kind, ("log", "range", "choices"))
        raise InputError(f"{file}: {key}: {kind}: unknown kind{close}; expected {_KINDS}")
    if not isinstance(values, list) or len(values) < 2:
        raise InputError(f"{file}: {key}: {kind}: {values!r}: expected a list of two or more")
    if kind == "choices":
        texts = tuple(map(_text, values))
        if len(set(texts)) < len(texts):
            raise InputError(f"{file}: {key}: choices: {values!r}: expected each value once")
        return Choices(texts)
    low, high = values if len(values) == 2 else (None, None)
    if not (_is_number(low) and _is_number(high) and low < high):
        raise InputError(f"{file}: {key}: {kind}: {values!r}: expected two numbers, low first")
    if kind == "log" and low <= 0:
        raise InputError(f"{file}: {key}: log: {values!r}: expected numbers above 0")
    is_whole = _takes_whole_numbers(key)
    if is_whole and (low != int(low) or high != int(high)):
        raise InputError(f"{file}: {key}: {kind}: {values!r}: expected whole numbers")
    return Interval(low, high, kind == "log", is_whole)


def _takes_whole_numbers(key: str) -> bool:
    section, _, name = key.partition(".")
    schemas = key_schemas(section, name)
    kinds = {each.get("type") for one in schemas for each in one.get("anyOf", [one])}
    return "integer" in kinds and "number" not in kinds


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """A value in the grammar of Hydra."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return shown_value(value)

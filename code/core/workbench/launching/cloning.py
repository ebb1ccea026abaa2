"""The form of an experiment: the values in which it differs from the defaults."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.data.settings import DataSettings
from core.errors import InputError
from core.experiments.reading import look_up, read_begun
from core.validation import validate

_LONGEST_VALUE = 4000
_OF_THE_PLACE = {"experiment.results_dir", "data.cache_dir"}
_MOST_KEYS = 2000
# The one section whose keys have keys of their own.
_TRANSFORMS = "augmentation"


def read_config(path: Path) -> dict[str, Any]:
    """The values of an experiment by key, without those that did nothing.

    Raises InputError where it cannot be read.
    """
    nested = read_begun(path).look_up("config")
    config, unused = list(by_key(nested).items())[:_MOST_KEYS], set()
    with suppress(InputError):  # of another version
        data = validate(DataSettings, look_up(nested, "data"), "data.")
        unused = {f"data.{key}" for key in data.without_effect()}
    return {
        key: value
        for key, value in config
        if key not in unused and len(json.dumps(value)) <= _LONGEST_VALUE
    }


def by_key(config: Any) -> dict[str, Any]:
    """The values of a nested config by the keys of a form; a value may be a mapping itself."""
    values: dict[str, Any] = {}
    for section, content in config.items() if isinstance(config, Mapping) else ():
        for name, value in content.items() if isinstance(content, Mapping) else ():
            if section == _TRANSFORMS and isinstance(value, Mapping):
                values |= {f"{section}.{name}.{key}": own for key, own in value.items()}
            else:
                values[f"{section}.{name}"] = value
    return values


def cloned(
    config: Mapping[str, Any], form: Mapping[str, Any], places: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, Any], list[str]]:
    """The values of `config` that a form sets to be like it; and what it cannot set, in words."""
    values: dict[str, Any] = {}
    lost = []
    defaults = _defaults(config, form)
    for key, value in config.items():
        if key in _OF_THE_PLACE or (key in defaults and defaults[key] == value):
            continue
        if key not in defaults:
            if value is not None:  # a key of an earlier version that was not used
                lost.append(f"{key}={value}: no key of this version")
        elif key in places and value is not None:
            known = {path: name for name, path in places[key].items()}
            if isinstance(value, str) and value in known:
                values[key] = known[value]
            else:
                lost.append(f"{key}={value}: not one of the places that can be chosen here")
        else:
            values[key] = value
    return values, lost


def _defaults(config: Mapping[str, Any], form: Mapping[str, Any]) -> dict[str, Any]:
    """Each key that may be set with the components of `config`, and its default; ... for none."""
    defaults: dict[str, Any] = {}
    for group, about in form["components"].items():
        defaults[about["key"]] = about["default"]
        chosen = about["options"].get(str(config.get(about["key"], about["default"])), {})
        for name, schema in chosen.get("parameters", {}).items():
            defaults[f"{group}.{name}"] = schema.get("default", ...)
    for section, about in form["settings"].items():
        for name, schema in about["parameters"].items():
            if "switch" not in schema:
                defaults[f"{section}.{name}"] = schema["default"]
                continue
            defaults[f"{section}.{name}"] = ...  # only null is ever found there
            for inner, own in schema["parameters"].items():
                defaults[f"{section}.{name}.{inner}"] = own["default"]
    # The one default that depends on another key.
    defaults["data.root"] = f"data/{config.get('data.source', defaults['data.source'])}"
    return defaults

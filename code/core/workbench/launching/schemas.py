"""What a form needs to know: each key that a training takes, with its schema, default and text.

Called in a child process: the registries may have to be imported, and torch with them.
"""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from pydantic import BaseModel

from core.command.catalogue import offered
from core.command.choosers import CONFIG_DIR
from core.command.config import (
    CHOICES,
    SETTINGS,
    SHORT_FORMS,
    check_config,
    components,
    fill_config_store,
)
from core.command.help import MASK_LOSS_WEIGHT, store_help
from core.errors import InputError
from core.files.escaping import for_terminal
from core.files.reading import read_yaml
from core.workbench.launching.cloning import by_key

# Where an experiment is written, and where images are kept, is not the page's to say.
_NOT_HERE = {"experiment.results_dir", "data.cache_dir"}
_PLACES = {"model.weights"}
_FILES = ("experiment", "supervision")
CHOOSING = (*_FILES, *CHOICES)
"""The keys on which it depends what the other keys are and have."""
_WEIGHT = {
    "description": MASK_LOSS_WEIGHT, "type": "number", "exclusiveMinimum": 0, "default": 1.0,
}  # fmt: skip


def describe_form() -> dict[str, Any]:
    """The components, settings and presets, in the words and with the defaults of `--help`.

    A parameter is its JSON Schema, with `default` where it has one. `place` marks one that takes a
    path, which is chosen and never written.
    """
    fill_config_store()
    store_help()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        plain = by_key(check_config(compose("train_config")).resolved())
    return {
        "choosing": CHOOSING,
        "presets": {folder: _presets(folder) for folder in _FILES},
        "components": {group: _component_group(key, group, plain) for key, group in
                       SHORT_FORMS.items()},
        "settings": {name: _section(name, settings) for name, settings in SETTINGS.items()},
    }  # fmt: skip


def settable(form: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """The keys that a form may set, in its order, with what `override_words` wants to know."""
    known: dict[str, str | list[str]] = {}
    for group, presets in form["presets"].items():
        known[group] = [preset["name"] for preset in presets if not preset["is_sweep"]]
    for group, components_of in form["components"].items():
        known[components_of["key"]] = list(components_of["options"])
        for option in components_of["options"].values():
            for name, schema in option["parameters"].items():
                known[f"{group}.{name}"] = _holds(schema)
    for section, settings in form["settings"].items():
        for name, schema in settings["parameters"].items():
            path = f"{section}.{name}"
            known[path] = schema["enum"] if path in CHOICES else _holds(schema)
            for inner in schema.get("parameters", {}):
                known[f"{path}.{inner}"] = "value"
    return known


def _holds(schema: Mapping[str, Any]) -> str:
    if schema.get("place"):
        return "place"
    members = schema.get("anyOf", [schema])
    has_texts = any(each.get("items", {}).get("type") == "string" for each in members)
    return "texts" if has_texts else "value"


def _component_group(key: str, group: str, plain: Mapping[str, Any]) -> dict[str, Any]:
    known = offered(group)
    options = {}
    for name, defaults in components(group).items():
        about = known.get(name)
        own = {"weight": _WEIGHT, **(about.properties if about else {})}
        options[name] = {
            "description": about.description if about else "nothing",
            "explanation": about.explanation if about else "",
            "parameters": {
                parameter: _with_default(f"{group}.{parameter}", own.get(parameter, {}), default)
                for parameter, default in defaults.items()
            },
        }
    return {"key": key, "default": plain.get(key, "none"), "options": options}


def _section(name: str, settings: type[BaseModel]) -> dict[str, Any]:
    schema, defaults = settings.model_json_schema(), settings().model_dump(mode="json")
    parameters = {}
    for key, own in schema["properties"].items():
        path = f"{name}.{key}"
        if path not in _NOT_HERE:
            parameters[key] = _with_default(path, own, defaults[key])
            default = getattr(settings(), key)
            if isinstance(default, BaseModel):
                parameters[key] = _transform(path, default)
    return {"description": _first_lines(settings), "parameters": parameters}


def _transform(path: str, default: BaseModel) -> dict[str, Any]:
    """A transform that is switched off by null, and on by its probability."""
    schema, values = type(default).model_json_schema(), default.model_dump(mode="json")
    inner = {
        key: _with_default(f"{path}.{key}", own, values[key])
        for key, own in schema["properties"].items()
    }
    return {
        "description": _first_lines(type(default)),
        "switch": {"on": type(default)().model_dump(mode="json")["probability"]},
        "parameters": inner,
    }


def _with_default(path: str, schema: Mapping[str, Any], default: Any) -> dict[str, Any]:
    own = {key: value for key, value in schema.items() if key not in ("title", "default")}
    members = own.get("anyOf", [own])
    if path in _PLACES or any(each.get("format") == "path" for each in members):
        own["place"] = True
    return own if default == "???" else {**own, "default": default}


def _presets(folder: str) -> list[dict[str, Any]]:
    """Each file with what it is; what is wrong with its values is told once it is chosen."""
    paths = sorted((CONFIG_DIR / folder).glob("*.yaml"))
    return [{"name": path.stem, **_preset(path)} for path in paths]


def _preset(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path)
    except InputError as error:
        return {"description": for_terminal(str(error)), "is_sweep": False}
    is_sweep = isinstance(content, Mapping) and "hydra" in content
    return {"description": _comment(path), "is_sweep": is_sweep}


def _comment(path: Path) -> str:
    """The comment at the head of a file of config/."""
    lines = re.match(r"(?:#.*\n)*", path.read_text(encoding="utf-8"))[0].splitlines()
    text = (line.removeprefix("#").strip() for line in lines if "@package" not in line)
    return " ".join(text)


def _first_lines(cls: type) -> str:
    return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())

"""The text of `train.py --help`, written from the registries and the settings themselves."""

import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

from hydra.core.config_store import ConfigStore
from pydantic import BaseModel

from core.command.allowed_values import allowed_values
from core.command.catalogue import offered
from core.command.config import SETTINGS, SHORT_FORMS, components, mask_loss_names

_INTRODUCTION = """\
Train a multi-label defect classifier on full steel strips.

  python code/train.py experiment=quickstart         no data set needed
  python code/train.py data.root=DIR                 the Severstal layout in DIR
  python code/train.py model.name=resnet50 loss.type=bce_with_logits
  python code/train.py -m loss.type=focal_loss,bce_with_logits
  python code/train.py resume=latest                 after an interruption
  python code/train.py --help model                  one group of keys
  python code/train.py --help loss.focal_loss        one component, all its keys
  python code/train.py --help training.num_epochs    one key

Set any key below as key=value. Groups: data=severstal|synthetic,
augmentation=standard|none, experiment=NAME of a file in config/experiment/.

resume=DIR continues the experiment, or cross-validation, in DIR, from its last
checkpoint and with its own config; resume=latest takes the newest unfinished
one in experiment.results_dir. You may also set keys that cannot change the
result, and a larger training.num_epochs.
"""
MASK_LOSS_WEIGHT = "weight of the mask loss, beside 1 for that of labels"
# Longer lines are hard to read.
_NARROWEST, _WIDEST = 80, 100


def help_width() -> int:
    """The width of the terminal, within bounds in which the help can be read."""
    return min(max(_NARROWEST, shutil.get_terminal_size().columns), _WIDEST)


def store_help() -> None:
    """Give Hydra the help text of `train.py`."""
    store_help_text("train", help_text(help_width()))


def store_help_text(name: str, text: str) -> None:
    """Give Hydra the help text of a command, to which it adds the composed config."""
    text = text.replace("$", "$$")
    node = {
        "app_name": name,
        "header": "",
        "footer": "",
        "template": text + "\nThe config of this command line:\n\n$CONFIG",
    }
    ConfigStore.instance().store(group="hydra/help", name=name, node=node)


def help_text(width: int = _NARROWEST) -> str:
    """An introduction, the components with their parameters, and every key with its default."""
    sections = [
        _INTRODUCTION,
        component_list("model", width),
        component_list("loss", width),
        mask_loss_list(width),
        *(keys_text(name, section, width) for name, section in SETTINGS.items()),
    ]
    return "\n".join(sections)


def component_list(group: str, width: int) -> str:
    """Each model or loss with its own keys, then the keys that most of them share."""
    choice = next(key for key, value in SHORT_FORMS.items() if value == group)
    known, defaults = offered(group), components(group)
    shared = _usual_defaults(list(defaults.values()))
    lines = [f"{choice}=...  one of:"]
    for name, own in defaults.items():
        lines.append(line(name, known[name].description, width, column=24))
        lacks_some = not shared.keys() <= own.keys()
        texts = [
            f"{group}.{key}={shown_value(value)}"
            for key, value in own.items()
            if lacks_some or key not in shared or value != shared[key]
        ]
        if lacks_some:
            texts.append("and no other key")
        if texts:
            lines.append(line("", "  ".join(texts), width, column=24))
    lines.append(f"{group}.*, the same for every {group} unless listed above:")
    for key, value in shared.items():
        own = (component.properties.get(key, {}) for component in known.values())
        what = next(filter(None, (schema.get("description") for schema in own)), "")
        lines.append(line(f"{group}.{key}={shown_value(value)}", what, width))
    return "\n".join([*lines, ""])


def mask_loss_list(width: int) -> str:
    """What mask_loss can choose."""
    names = ", ".join(mask_loss_names())
    return "\n".join(
        [
            "mask_loss.type=none  or one of these losses, with its keys as mask_loss.*:",
            textwrap.fill(names, width, initial_indent="  ", subsequent_indent="  "),
            line("mask_loss.weight=1.0", MASK_LOSS_WEIGHT, width),
            "",
        ]
    )


def _usual_defaults(defaults: list[dict[str, Any]]) -> dict[str, Any]:
    """The keys that most components have, each with the default that most of them give it."""
    usual = {}
    for key in dict.fromkeys(key for own in defaults for key in own):
        values = [own[key] for own in defaults if key in own]
        if len(values) > len(defaults) / 2:
            usual[key] = max(values, key=values.count)
    return usual


def keys_text(section: str, settings: type[BaseModel], width: int = _NARROWEST) -> str:
    """Every key of a section, with its default and what it does."""
    defaults = settings()
    lines = [f"{section}.*"]
    for key in settings.model_fields:
        lines += key_lines(f"{section}.{key}", getattr(defaults, key), settings, width)
    return "\n".join([*lines, ""])


def key_lines(
    path: str, default: Any, settings: type[BaseModel], width: int, with_values: bool = False
) -> list[str]:
    """A key with its default and what it does, on request with the values that it takes.

    A key that holds settings itself is a transform that can be switched on and off.
    """
    key = path.rpartition(".")[2]
    if not isinstance(default, BaseModel):
        what = settings.model_fields[key].description or ""
        schema = settings.model_json_schema()["properties"][key] if with_values else {}
        return [line(f"{path}={shown_value(default)}", described(what, schema), width)]
    # With a default probability of 0 it is off.
    off = getattr(default, "probability", None) == 0
    on = f"on, with probability {getattr(type(default)(), 'probability', 1)}"
    switch, word = ("true", on) if off else ("null", "off")
    lines = [line(f"{path}={switch}", f"switches it {word}: {type(default).__doc__}", width)]
    for inner in type(default).model_fields:
        value = getattr(default, inner)
        lines += key_lines(f"{path}.{inner}", value, type(default), width, with_values)
    return lines


def described(description: str, schema: Mapping[str, Any]) -> str:
    """The description of a key, with the values that its JSON Schema allows."""
    values = allowed_values(schema)
    return description + (f" ({values})" if description else values) if values else description


def shown_value(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(str(item) for item in value) + "]"
    return str(value)


def line(text: str, description: str, width: int, column: int | None = None) -> str:
    """`text`, and from `column` on, or below if it is too long, what it means."""
    column = column or width * 2 // 5
    indent = " " * (column + 2)
    wrapped = textwrap.fill(
        description,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    if len(text) < column:
        return f"  {text:<{column}}{wrapped.lstrip()}".rstrip()
    return f"  {text}\n{wrapped}".rstrip()

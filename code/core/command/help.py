"""The text of `train.py --help`, written from the registries and the settings themselves."""

import textwrap
from typing import Any

from hydra.core.config_store import ConfigStore
from pydantic import BaseModel

from core.command.config import SETTINGS, components, mask_loss_names
from core.losses.registry import get_registry as get_loss_registry
from core.models.registry import get_registry as get_model_registry
from core.registry import Registry

_INTRODUCTION = """\
Train a multi-label defect classifier on full steel strips.

  python code/train.py experiment=quickstart                      no data set needed
  python code/train.py data.root=DIR                              the Severstal layout in DIR
  python code/train.py model.name=resnet50 loss.type=bce_with_logits
  python code/train.py -m loss.type=focal_loss,bce_with_logits experiment.seed=1,2
  python code/train.py resume=latest                              continue what was interrupted

Set any key below as key=value. Groups: data=severstal|synthetic,
augmentation=standard|none, experiment=NAME of a file in config/experiment/.

resume=DIR continues the experiment, or cross-validation, in DIR, from its last checkpoint and
with its own config; resume=latest takes the newest unfinished one in experiment.results_dir. You
may also set keys that cannot change the result, and a larger training.num_epochs.
"""


def store_help() -> None:
    """Give Hydra the help text of `train.py`."""
    store_help_text("train", help_text())


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


def help_text() -> str:
    """An introduction, the components with their parameters, and every key with its default."""
    sections = [
        _INTRODUCTION,
        _components("model.name", "model", get_model_registry()),
        _components("loss.type", "loss", get_loss_registry()),
        _mask_losses(),
        *(keys_text(name, section) for name, section in SETTINGS.items()),
    ]
    return "\n".join(sections)


def _components(choice: str, group: str, registry: Registry[Any]) -> str:
    """Each component with its own keys, then the keys that most of them share."""
    fields = {name: registry.parameters(name).model_fields for name in registry.list()}
    defaults = components(group)
    shared = _usual_defaults(list(defaults.values()))
    lines = [f"{choice}=...  one of:"]
    for name, own in defaults.items():
        lines.append(_line(name, registry.description(name), width=24))
        lacks_some = not shared.keys() <= own.keys()
        texts = [
            f"{group}.{key}={_value(value)}"
            for key, value in own.items()
            if lacks_some or key not in shared or value != shared[key]
        ]
        if lacks_some:
            texts.append("and no other key")
        if texts:
            lines.append(_line("", "  ".join(texts), width=24))
    lines.append(f"{group}.*, the same for every {group} unless listed above:")
    for key, value in shared.items():
        described = (own[key].description for own in fields.values() if key in own)
        lines.append(_line(f"{group}.{key}={_value(value)}", next(filter(None, described), "")))
    return "\n".join([*lines, ""])


def _mask_losses() -> str:
    names = ", ".join(mask_loss_names())
    return "\n".join(
        [
            "mask_loss.type=none  or one of the losses above, with its parameters as mask_loss.*:",
            textwrap.fill(names, 100, initial_indent="  ", subsequent_indent="  "),
            _line("mask_loss.weight=1.0", "weight of the mask loss, beside 1 for that of labels"),
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


def keys_text(section: str, settings: type[BaseModel]) -> str:
    """Every key of a section, with its default and what it does."""
    defaults = settings()
    lines = [f"{section}.*"]
    for key, field in settings.model_fields.items():
        default = getattr(defaults, key)
        if isinstance(default, BaseModel):
            # With a default probability of 0 it is off.
            off = getattr(default, "probability", None) == 0
            on = f"on, with probability {getattr(type(default)(), 'probability', 1)}"
            switch, word = ("true", on) if off else ("null", "off")
            what = f"switches it {word}: {type(default).__doc__}"
            lines.append(_line(f"{section}.{key}={switch}", what))
            for inner, inner_field in type(default).model_fields.items():
                text = f"{section}.{key}.{inner}={_value(getattr(default, inner))}"
                lines.append(_line(text, inner_field.description or ""))
        else:
            lines.append(_line(f"{section}.{key}={_value(default)}", field.description or ""))
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(str(item) for item in value) + "]"
    return str(value)


def _line(text: str, description: str, width: int = 44) -> str:
    """`text`, and beside it, or below if it is too long, what it means."""
    indent = " " * (width + 2)
    wrapped = textwrap.fill(
        description,
        100,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    if len(text) < width:
        return f"  {text:<{width}}{wrapped.lstrip()}".rstrip()
    return f"  {text}\n{wrapped}".rstrip()

"""The command line of a pretraining: Hydra's groups, short forms, mistakes, help and resuming."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from core.command import sections
from core.command.catalogue import offered
from core.command.config import at_home, components
from core.command.help import component_list, help_width, keys_text, store_help_text
from core.command.help_topics import section_topic
from core.command.quoting import quoted
from core.command.sections import chosen, group_list
from core.errors import InputError
from core.experiments.schema import PRETRAINING
from core.files.reading import read_yaml
from core.pretraining.settings import (
    SETTINGS,
    PretrainConfig,
    check_patience,
    check_values,
    default_values,
)

RESUME = "resume"
_CHOICES = {"model.name": "model", "method.name": "method"}
_INTRODUCTION = """\
Learn a backbone from strips that nobody labelled.

  python code/pretrain.py data.unlabelled=DIR        any folder or glob of images
  python code/pretrain.py data.root=DIR              training part of a data set
  python code/pretrain.py method.name=moco model.name=resnet10_slim
  python code/pretrain.py resume=DIR                 after an interruption
  python code/pretrain.py --help method              one group of keys

Then: python code/train.py model.weights=FOLDER/encoder.safetensors, with the
same model.name. Every key is set as key=value.
"""


def fill_store() -> None:
    """Offer models, methods, settings and help to Hydra."""
    store = ConfigStore.instance()
    for name, defaults in components("model").items():
        store.store(group="model", name=name, node={"name": name, **defaults})
    for name, method in offered("method").items():
        store.store(group="method", name=name, node={"name": name, **method.defaults})
    values = {name: default_values(name) for name in SETTINGS}
    store.store(name="pretraining_settings", node={**values, RESUME: None})
    store_help_text("pretrain", help_text(help_width()))


def help_text(width: int) -> str:
    """An introduction, the methods and models, and every key with its default."""
    keys = [keys_text(name, part, width) for name, part in SETTINGS.items()]
    return "\n".join(
        [_INTRODUCTION, group_list("method", width), component_list("model", width), *keys]
    )


def topic(word: str, width: int) -> str:
    """The help on a group of keys, or on one key. Raises InputError for anything else."""
    lists: dict[str, Callable[[int], str]] = {
        "method": partial(group_list, "method"),
        "model": partial(component_list, "model"),
    }
    if group := lists.get(_CHOICES.get(word, word)):
        return group(width)
    return section_topic(word, width, SETTINGS, list(lists))


def short_forms(arguments: Iterable[str]) -> list[str]:
    """Rewrite `model.name=X` to `model=X` and `method.name=X` to `method=X`.

    Raises InputError for a name that is not registered; lists those that are.
    """
    return [_short_form(argument) for argument in quoted(arguments)]


def _short_form(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if equals and key == "data":  # a group of train.py
        return f"data.source={value}"
    group = _CHOICES.get(key, key)
    if not equals or group not in _CHOICES.values():
        return argument
    return chosen(group, key, value)


def explain_key(error: Exception) -> str | None:
    """The message for a key that Hydra does not know, with the nearest known key."""

    def keys_of(section: str) -> dict[str, Any] | None:
        return default_values(section) if section in SETTINGS else None

    return sections.explain_key(error, [*PretrainConfig.__dataclass_fields__, RESUME], keys_of)


def check_config(config: DictConfig) -> PretrainConfig:
    """Validate a config that Hydra composed. Raises InputError."""
    content = at_home(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    resumes = content.pop(RESUME, None) is not None
    config = check_values(content)
    if not resumes:  # then it has a config of its own
        check_patience(config.training, config.data)
    return config


def find_pretraining(
    wanted: str, composed: PretrainConfig, given: Iterable[str]
) -> tuple[PretrainConfig, Callable[[], dict[str, Any]]]:
    """The config of the pretraining that `resume=` names, and a function that continues it.

    `given` are the keys of the command line, whose values stand in `composed`. Raises InputError
    where there is none, nothing is left to do, or a value would change its result.
    """
    from core.pretraining.composition import continue_pretraining  # imports torch
    from core.running.resuming import CONFIG_FILE, checked_changes, find_resumed, with_values

    path = find_resumed(wanted, Path(composed.experiment.results_dir), kind=PRETRAINING)
    content = read_yaml(path / CONFIG_FILE)
    if "method" not in content:
        raise InputError(f"resume={path}: is no pretraining: give code/train.py resume={path}")
    own, keys = check_values(content), [key for key in given if key != RESUME]
    changed = checked_changes(
        path, own.resolved(), composed.resolved(), keys, free=["data.unlabelled"]
    )
    config = check_values(with_values(own.resolved(), changed))
    return config, partial(continue_pretraining, config, path, changed)


def given_keys() -> list[str]:
    """The dotted keys that the command line sets."""
    overrides = HydraConfig.get().overrides.task
    return [_key_of(override) for override in overrides]


def _key_of(override: str) -> str:
    key = override.lstrip("+~").partition("=")[0]
    return next((name for name, group in _CHOICES.items() if group == key), key)

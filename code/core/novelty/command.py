"""The command line of fitting a detector: Hydra's groups, short forms, mistakes and help."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from core.command.catalogue import offered, why_missing
from core.command.config import at_home
from core.command.help import help_width, keys_text, line, store_help_text
from core.command.help import shown_value as shown
from core.command.help_topics import section_topic, show_topics
from core.command.quoting import quoted
from core.errors import InputError
from core.novelty.settings import (
    SETTINGS,
    NoveltyConfig,
    check_training_keys,
    check_values,
    default_values,
)
from core.validation import nearest

RESUME = "resume"
_DETECTOR = "detector"
_SHORT_FORMS = {"detector.false_alarms_per_1000": "scoring.false_alarms_per_1000"}
_INTRODUCTION = """\
Learn what clean strips look like, to raise an alarm for all that looks unlike them.

  python code/novelty.py fit data.unlabelled=DIR     any folder or glob of images
  python code/novelty.py fit data.root=DIR           clean strips of a data set
  python code/novelty.py fit detector.name=gaussians scoring.false_alarms_per_1000=1
  python code/novelty.py fit detector.name=autoencoder training.num_epochs=100
  python code/novelty.py fit resume=DIR              a training that was interrupted
  python code/novelty.py fit --help detector         one group of keys

Then: python code/novelty.py score EXPERIMENT IMAGES... Every key is set as
key=value.
"""


def fill_store() -> None:
    """Offer detectors, settings and help to Hydra."""
    store = ConfigStore.instance()
    for name, detector in offered(_DETECTOR).items():
        store.store(group=_DETECTOR, name=name, node={"name": name, **detector.defaults})
    sections = {name: default_values(name) for name in SETTINGS}
    store.store(name="novelty_settings", node={**sections, RESUME: None})
    store_help_text("novelty", help_text(help_width()))


def prepare(arguments: list[str]) -> bool:
    """Take `fit` off the command line, in place, for Hydra; false where it asked for a topic."""
    del arguments[1]
    if show_topics(arguments[1:], topic):
        return False
    fill_store()
    arguments[1:] = short_forms(arguments[1:])
    return True


def help_text(width: int) -> str:
    """An introduction, the detectors, and every key with its default."""
    keys = [keys_text(name, part, width) for name, part in SETTINGS.items()]
    return "\n".join([_INTRODUCTION, detector_list(width), *keys])


def detector_list(width: int) -> str:
    """Each detector with its keys."""
    lines = ["detector.name=...  one of:"]
    for name, detector in offered(_DETECTOR).items():
        lines.append(line(name, detector.description, width, column=24))
        keys = (f"detector.{k}={shown(v)}" for k, v in detector.defaults.items())
        lines.append(line("", "  ".join(keys), width, column=24))
    return "\n".join([*lines, ""])


def topic(word: str, width: int) -> str:
    """The help on a group of keys, or on one key. Raises InputError for anything else."""
    if word in (_DETECTOR, f"{_DETECTOR}.name"):
        return detector_list(width)
    return section_topic(_SHORT_FORMS.get(word, word), width, SETTINGS, [_DETECTOR])


def short_forms(arguments: Iterable[str]) -> list[str]:
    """Rewrite `detector.name=X` to `detector=X`, which chooses an option of the group.

    Raises InputError for a name that is not registered; lists those that are.
    """
    return [_short_form(argument) for argument in quoted(arguments)]


def _short_form(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if equals and key in _SHORT_FORMS:
        return f"{_SHORT_FORMS[key]}={value}"
    if not equals or key not in (_DETECTOR, f"{_DETECTOR}.name"):
        return argument
    known = list(offered(_DETECTOR))
    for name in value.split(","):
        if name.strip("'\" ") not in known:
            problem = why_missing(_DETECTOR, name) or (
                f"no such detector{nearest(name, known)}; known: {', '.join(known)}"
            )
            raise InputError(f"{key}={name}: {problem}")
    return f"{_DETECTOR}={value}"


def explain_key(error: Exception) -> str | None:
    """The message for a key that Hydra does not know, with the nearest known key."""
    match = re.search(r"Could not override '(\w+)(?:\.([\w.]+))?'", str(error))
    if match is None:
        return None
    section, key = match.groups()
    sections = [*NoveltyConfig.__dataclass_fields__, RESUME]
    if section not in sections or not key:
        known = ", ".join(sections)
        return f"{section}: unknown key{nearest(section, sections)}; known: {known}"
    if section in SETTINGS:
        known = list(default_values(section))
    else:
        of_group = offered(section)
        owners = [name for name, component in of_group.items() if key in component.defaults]
        if owners:
            return f"{section}.{key}: not a key of this {section}; only of {', '.join(owners)}"
        keys = (key for component in of_group.values() for key in component.defaults)
        known = list(dict.fromkeys(["name", *keys]))
    return f"{section}.{key}: unknown key{nearest(key, known)}; known keys: {', '.join(known)}"


def check_config(config: DictConfig) -> NoveltyConfig:
    """Validate a config that Hydra composed. Raises InputError."""
    content = at_home(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    content.pop(RESUME, None)
    return check_values(content)


def work_of(config: DictConfig) -> tuple[NoveltyConfig, Callable[[], dict[str, Any]]]:
    """The checked config, and a function that fits its detector or goes on with `resume=`."""
    from core.machine.distributed import from_first  # imports torch
    from core.novelty.composition import fit
    from core.novelty.resuming import find_fit

    checked = check_config(config)
    if config[RESUME] is not None:
        return from_first(partial(find_fit, str(config[RESUME]), checked, given_keys()))
    check_training_keys(checked)
    return checked, partial(fit, checked)


def given_keys() -> list[str]:
    """The dotted keys that the command line sets, other than `resume`."""
    overrides = HydraConfig.get().overrides.task
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    return [f"{key}.name" if key == _DETECTOR else key for key in keys if key != RESUME]

"""The command line of fitting a detector: Hydra's groups, short forms, mistakes and help."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from core.command import sections
from core.command.catalogue import offered
from core.command.config import at_home
from core.command.effects import check_effects
from core.command.help import help_width, keys_text, store_help_text
from core.command.help_topics import section_topic, show_topics
from core.command.quoting import quoted
from core.command.sections import chosen, group_list
from core.novelty.settings import (
    SETTINGS,
    NoveltyConfig,
    check_training_keys,
    check_values,
    default_values,
)

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
    values = {name: default_values(name) for name in SETTINGS}
    store.store(name="novelty_settings", node={**values, RESUME: None})
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
    return "\n".join([_INTRODUCTION, group_list(_DETECTOR, width), *keys])


def topic(word: str, width: int) -> str:
    """The help on a group of keys, or on one key. Raises InputError for anything else."""
    if word in (_DETECTOR, f"{_DETECTOR}.name"):
        return group_list(_DETECTOR, width)
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
    return chosen(_DETECTOR, key, value)


def explain_key(error: Exception) -> str | None:
    """The message for a key that Hydra does not know, with the nearest known key."""

    def keys_of(section: str) -> dict[str, Any] | None:
        return default_values(section) if section in SETTINGS else None

    return sections.explain_key(error, [*NoveltyConfig.__dataclass_fields__, RESUME], keys_of)


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
    check_effects(checked.data)
    check_training_keys(checked)
    return checked, partial(fit, checked)


def given_keys() -> list[str]:
    """The dotted keys that the command line sets, other than `resume`."""
    overrides = HydraConfig.get().overrides.task
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    return [f"{key}.name" if key == _DETECTOR else key for key in keys if key != RESUME]

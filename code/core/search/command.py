"""The command line of a search: its own keys, those of a training, help and mistakes."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from core.command.config import fill_config_store
from core.command.help import help_width, keys_text, store_help
from core.command.help_topics import section_topic, train_topic
from core.command.quoting import quoted
from core.command.terminal import show
from core.errors import InputError
from core.search.composition import SearchConfig, check_search, composed, words
from core.search.settings import SearchSettings
from core.search.space import SPACES, read_space
from core.validation import is_installed, validate

OPTUNA = "optuna==5.0.0"
_SEARCH, _SPACE = "search", "space"
_INTRODUCTION = """\
Search for the settings with the highest validation macro average precision.

  python code/search.py space=small data.root=DIR    config/space/small.yaml
  python code/search.py space=small experiment=quickstart search.num_trials=12
  python code/search.py --help training              one group of keys

space=NAME chooses a file of config/space/, or give the path of a .yaml file.
All other keys are those of python code/train.py --help, and the same in every
trial. The same command again goes on where an earlier one ended, and may run
several times at once. It needs the package optuna.
"""


def topic(word: str, width: int) -> str:
    """The help on a group of keys, or on one key. Raises InputError for anything else."""
    if word.partition(".")[0] == _SEARCH:
        return section_topic(word, width, {_SEARCH: SearchSettings})
    return train_topic(word, width)


def show_help() -> None:
    """Print the help without a topic."""
    names = ", ".join(sorted(path.stem for path in SPACES.glob("*.yaml")))
    text = keys_text(_SEARCH, SearchSettings, help_width())
    show(f"{_INTRODUCTION}\nspace=...  one of: {names}\n\n{text}".removesuffix("\n"))


def check_command(arguments: Sequence[str]) -> SearchConfig:
    """The search that these words ask for.

    Raises InputError for a key or a value that does not fit, and where optuna is not installed.
    """
    own: dict[str, Any] = {}
    overrides = []
    for word in quoted(arguments):
        key, equals, _ = word.partition("=")
        if not equals or key.startswith(("-", "~")):
            raise InputError(f"{word}: expected key=value; --help lists the keys")
        if key == "resume":
            raise InputError(f"{word}: leave it out: the same command goes on with its study")
        if key == _SEARCH:
            known = ", ".join(SearchSettings.model_fields)
            raise InputError(f"{word}: expected {_SEARCH}.KEY=VALUE; known keys: {known}")
        if key == _SPACE or key.partition(".")[0] == _SEARCH:
            own[key] = _value_of(word)
        else:
            _parsed(word)
            overrides.append(word)
    if _SPACE not in own:
        known = ", ".join(sorted(path.stem for path in SPACES.glob("*.yaml")))
        raise InputError(f"space: give space=NAME, a file of config/space/; known: {known}")
    space = read_space(str(own.pop(_SPACE)))
    settings = validate(
        SearchSettings, {key.partition(".")[2]: value for key, value in own.items()}, _SEARCH
    )
    if not is_installed("optuna"):
        raise InputError(f"code/search.py needs the package optuna: pip install {OPTUNA}")
    fill_config_store()
    store_help()
    base = composed([*overrides, *words(space.first_data)])
    for key, value, usual in (
        ("training.folds", base.training.folds, None),
        ("runtime.devices", base.runtime.devices, 1),
    ):
        if value != usual:
            raise InputError(f"{key}={value}: a trial is one training on one device: leave it out")
    config = SearchConfig(space, settings, tuple(overrides), base)
    check_search(config)
    return config


def _value_of(word: str) -> Any:
    """The value of `key=value` in plain types; `${oc.env:NAME}` is the environment's."""
    return OmegaConf.to_container(OmegaConf.create({"value": _parsed(word).value()}), resolve=True)[
        "value"
    ]


def _parsed(word: str) -> Override:
    """Raises InputError for several values: what is searched stands in the file of the space."""
    override = OverridesParser.create().parse_override(word)
    if override.is_sweep_override():
        raise InputError(
            f"{word}: expected one value: those to try stand in the file of space=FILE"
        )
    return override

"""Choosing a component means the same wherever it is written: as a group, on the command line or
in a YAML file.

Hydra merges values. Without this, `model: {name: X}` in a file would keep the parameters of the
model that is chosen by default.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from core.command.catalogue import clash, why_missing
from core.command.config import CHOICES, SHORT_FORMS, components
from core.command.quoting import quoted
from core.errors import InputError
from core.files.reading import read_yaml
from core.validation import nearest

CONFIG_DIR = Path(__file__).resolve().parents[3] / "config"
KEYS = {group: key for key, group in CHOICES.items()}
"""By its group, the key that names the chosen option."""

# Groups whose files hold differences of a whole experiment, in the order in which they are merged.
_FILES = ("supervision", "experiment")


def short_forms(arguments: Iterable[str], config_dir: Path = CONFIG_DIR) -> list[str]:
    """Rewrite `model.name=X` to `model=X`, and so on, before Hydra reads the arguments.

    A component that a file of `experiment=` or `supervision=` names is chosen as a group too, in
    front of the arguments. The arguments' own choice has precedence.

    Raises:
        InputError: the name of a component that is not registered; lists those that are.
    """
    rewritten = [_short_form(argument) for argument in quoted(arguments)]
    given = {key: value for key, _, value in (argument.partition("=") for argument in rewritten)}
    before, after = [], []
    for group, name in _choices_in_files(given, config_dir).items():
        if group not in given:
            before.append(f"{group}={name}")
        else:  # the file is merged after the group: its name must not win
            sweeps = "," in given[group]
            value = f"${{hydra:runtime.choices.{group}}}" if sweeps else given[group]
            after.append(f"{KEYS[group]}={value}")
    # Beside the other overrides: argparse takes them from one place only.
    place = next((i for i, word in enumerate(rewritten) if "=" in word and word[0] != "-"), 0)
    return [*rewritten[:place], *before, *rewritten[place:], *after]


def check_choices(config: DictConfig) -> None:
    """Check that each composed section is that of the group option which filled it.

    Raises:
        InputError: a value replaced the chosen name, but left the other component's parameters.
    """
    if not HydraConfig.initialized():
        return
    choices = HydraConfig.get().runtime.choices
    for key, group in CHOICES.items():
        value = OmegaConf.select(config, key)
        if group in choices and value != choices[group]:
            raise InputError(
                f"{key}={value}: the parameters beside it are those of {choices[group]}: choose it "
                f"by {group}={value} on the command line, or by `- override /{group}: {value}` in "
                "the defaults of the file"
            )


def _short_form(argument: str) -> str:
    key, equals, value = argument.partition("=")
    # Where a file switched the transform off, or gave its probability alone, there is no such key.
    if re.fullmatch(r"augmentation\.\w+\.\w+", key):
        return f"++{argument}"
    group = CHOICES.get(key.lstrip("+"), key)
    if equals and group in SHORT_FORMS.values():
        known = list(components(group))
        for name in value.split(","):
            bare = name.strip("'\" ")
            if problem := clash(group, bare):
                raise InputError(problem)
            if bare not in known:
                if problem := why_missing(group, bare):
                    raise InputError(f"{key}={name}: {problem}")
                raise InputError(
                    f"{key}={name}: no such {group.replace('_', ' ')}{nearest(name, known)}; "
                    f"known: {', '.join(known)}"
                )
    return f"{group}{equals}{value}"


def _choices_in_files(given: Mapping[str, str], config_dir: Path) -> dict[str, str]:
    """The components that the given files name, by their groups."""
    found = {}
    for folder in _FILES:
        path = config_dir / folder / f"{given.get(folder, '')}.yaml"
        content = read_yaml(path) if path.is_file() else None
        for key, group in CHOICES.items():
            section, name = key.split(".")
            values = content.get(section) if isinstance(content, Mapping) else None
            if isinstance(values, Mapping) and isinstance(values.get(name), str):
                found[group] = values[name]
    return found

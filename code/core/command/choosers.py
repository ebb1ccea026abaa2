"""Choosing a component means the same wherever it is written: as a group, on the command line or
in a YAML file.

Hydra merges values. Without this, `model: {name: X}` in a file would keep the parameters of the
model that is chosen by default.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
    front of the arguments. The arguments' own choice has precedence, and what the file says of its
    own component is undone.

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
    after += _undone(given, config_dir)
    # Beside the other overrides: argparse takes them from one place only.
    place = next((i for i, word in enumerate(rewritten) if "=" in word and word[0] != "-"), 0)
    return [*rewritten[:place], *before, *after, *rewritten[place:]]


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
        content = [{}, *_files(folder, given.get(folder, ""), given, config_dir)][-1]
        for key, group in CHOICES.items():
            section, name = key.split(".")
            values = content.get(section)
            if isinstance(values, Mapping) and isinstance(values.get(name), str):
                found[group] = values[name]
    return found


def _undone(given: Mapping[str, str], config_dir: Path) -> Iterator[str]:
    """Overrides that take back what files say of a component that the arguments replace.

    Of a model, what the other one has too stays. Parameters of losses do not: `alpha` of one is not
    that of another.
    """
    files = list(_files("", "train_config", given, config_dir))
    for folder in _FILES:
        files += _files(folder, given.get(folder, ""), given, config_dir)
    for key, group in SHORT_FORMS.items():
        section, choice = key.split(".")
        parts = [part for file in files if isinstance(part := file.get(section), Mapping)]
        named = [part[choice] for part in parts if choice in part]
        chosen = given.get(group)
        # The first is that of train_config.yaml.
        if chosen not in components(group) or chosen in (named[1:] or named):
            continue
        values = components(group)[chosen]
        for name in sorted({name for part in parts for name in part} - {choice}):
            stays = name in values and (group == "model" or name == "weight")
            full = f"{section}.{name}"
            if stays or any(re.match(rf"[+~]*{re.escape(full)}(\.|$)", word) for word in given):
                continue
            yield f"{full}={json.dumps(values[name])}" if name in values else f"~{full}"


def _files(
    folder: str,
    name: object,
    given: Mapping[str, str],
    config_dir: Path,
    seen: Collection[Path] = (),
) -> Iterator[Mapping[str, Any]]:
    """The content of a file, after that of the files that its defaults name.

    `override /loss: X` is given as a file that says `loss: {type: X}`.
    """
    path = config_dir / folder / f"{name}.yaml"
    # Files that name each other are left to Hydra.
    content = read_yaml(path) if path.is_file() and path not in seen else None
    if not isinstance(content, Mapping):
        return
    for entry in content.get("defaults") or ():
        named = entry if isinstance(entry, Mapping) else {folder: entry}
        for key, value in named.items():
            group = str(key).rpartition("/")[2]
            if group in KEYS:
                section, choice = KEYS[group].split(".")
                yield {section: {choice: value}}
            elif group == folder or (group in _FILES and group not in given):
                yield from _files(group, value, given, config_dir, {*seen, path})
    yield content

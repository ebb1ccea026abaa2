"""`--help TOPIC`: one group, one component or one key alone, with the values that keys take."""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping

from pydantic import BaseModel

from core.command.catalogue import offered
from core.command.config import SETTINGS, SHORT_FORMS, components
from core.command.help import (
    MASK_LOSS_WEIGHT,
    component_list,
    described,
    help_width,
    key_lines,
    line,
    mask_loss_list,
    shown_value,
)
from core.command.terminal import show
from core.errors import InputError
from core.validation import nearest

_FLAGS = {"--help", "-h"}


def show_topics(arguments: Iterable[str], topic: Callable[[str, int], str]) -> bool:
    """Print the help on each word beside `--help`; false where there is none.

    `topic` has the text on a word, for a width. With a key=value among the arguments, Hydra's help
    is wanted, which ends in the composed config.
    """
    arguments = list(arguments)
    words = [word for word in arguments if not word.startswith("-")]
    if not words or not _FLAGS & set(arguments) or any("=" in word for word in words):
        return False
    width = help_width()
    show("\n".join(topic(word, width) for word in words).removesuffix("\n"))
    return True


def train_topic(word: str, width: int) -> str:
    """The help of train.py on a group, a component such as `loss.focal_loss`, or a key.

    Raises InputError for anything else, with the nearest.
    """
    group, _, name = SHORT_FORMS.get(word, word).partition(".")
    chosen = list(SHORT_FORMS.values())
    if group not in chosen:
        names = [f"{each}.{name}" for each in chosen for name in components(each)]
        return section_topic(word, width, SETTINGS, [*chosen, *names])
    known = components(group)
    if name in known:
        return _component_text(group, name, width)
    if not name:
        return mask_loss_list(width) if group == "mask_loss" else component_list(group, width)
    owners = [f"{group}.{each}" for each, keys in known.items() if name in keys]
    if owners:
        raise InputError(
            f"--help {word}: the key of one {group}: give that, such as --help {owners[0]}"
        )
    close = nearest(name, known)
    raise InputError(f"--help {word}: no such {group}{close}; known: {', '.join(known)}")


def section_topic(
    word: str, width: int, sections: Mapping[str, type[BaseModel]], others: Iterable[str] = ()
) -> str:
    """The help on a section of settings, or on one of its keys.

    Raises InputError for anything else, with the nearest of these and `others`.
    """
    section, key = [*word.split("."), ""][:2]
    if section not in sections:
        known = [*others, *sections]
        groups = ", ".join(each for each in known if "." not in each)
        raise InputError(f"--help {word}: unknown{nearest(word, known)}; groups: {groups}")
    settings = sections[section]
    keys = list(settings.model_fields)
    if key and key not in keys:
        raise InputError(
            f"--help {word}: unknown key{nearest(key, keys)}; known keys: {', '.join(keys)}"
        )
    lines = [] if key else [f"{section}.*", *_filled(inspect.getdoc(settings) or "", width)]
    for each in [key] if key else keys:
        default = getattr(settings(), each)
        lines += key_lines(f"{section}.{each}", default, settings, width, with_values=True)
    return "\n".join([*lines, ""])


def _component_text(group: str, name: str, width: int) -> str:
    """What a component is, and each of its keys with default, description and values."""
    choice = next(key for key, value in SHORT_FORMS.items() if value == group)
    if name not in offered(group):
        return f"{choice}={name}: no mask loss\n"
    component = offered(group)[name]
    lines = [f"{choice}={name}", *_filled(component.explanation, width)]
    weight = {"description": MASK_LOSS_WEIGHT, "type": "number", "exclusiveMinimum": 0}
    schemas = {"weight": weight, **component.properties}
    for key, default in components(group)[name].items():
        schema = schemas.get(key, {})
        text = described(schema.get("description", ""), schema)
        lines.append(line(f"{group}.{key}={shown_value(default)}", text, width))
    return "\n".join([*lines, ""])


def _filled(text: str, width: int) -> list[str]:
    """A docstring as lines of at most `width`; those that are set in stay as they are."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\n|\n(?=(?:Shape|Units|Sources?|Raises):)", text):
        own = paragraph.splitlines()
        is_set_in = any(each.startswith(" ") for each in own)
        lines += own if is_set_in else textwrap.wrap(paragraph, width)
        lines.append("")
    return lines

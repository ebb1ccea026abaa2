"""Sections of keys and groups of components, for commands with a config of their own."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from core.command.catalogue import offered, why_missing
from core.command.help import line, shown_value
from core.errors import InputError
from core.validation import Settings, nearest, validate


def group_list(group: str, width: int) -> str:
    """Each component of a group with its keys."""
    lines = [f"{group}.name=...  one of:"]
    for name, component in offered(group).items():
        lines.append(line(name, component.description, width, column=24))
        keys = (f"{group}.{key}={shown_value(value)}" for key, value in component.defaults.items())
        lines.append(line("", "  ".join(keys), width, column=24))
    return "\n".join([*lines, ""])


def chosen(group: str, key: str, value: str) -> str:
    """The override of Hydra's that chooses the components named by `key=value` from a group.

    Raises InputError for a name that is not registered; lists those that are.
    """
    known = list(offered(group))
    for name in value.split(","):
        if name.strip("'\" ") not in known:
            problem = why_missing(group, name) or (
                f"no such {group}{nearest(name, known)}; known: {', '.join(known)}"
            )
            raise InputError(f"{key}={name}: {problem}")
    return f"{group}={value}"


def explain_key(
    error: Exception, sections: Sequence[str], keys_of: Callable[[str], Collection[str] | None]
) -> str | None:
    """The message for a key that Hydra does not know, with the nearest known key.

    `keys_of` gives the keys of a section of settings, and None for a group of components.
    """
    match = re.search(r"Could not override '(\w+)(?:\.([\w.]+))?'", str(error))
    if match is None:
        return None
    section, key = match.groups()
    if section not in sections or not key:
        known = ", ".join(sections)
        return f"{section}: unknown key{nearest(section, sections)}; known: {known}"
    if (found := keys_of(section)) is not None:
        known = list(found)
    else:
        of_group = offered(section)
        owners = [name for name, component in of_group.items() if key in component.defaults]
        if owners:
            return f"{section}.{key}: not a key of this {section}; only of {', '.join(owners)}"
        keys = (key for component in of_group.values() for key in component.defaults)
        known = list(dict.fromkeys(["name", *keys]))
    return f"{section}.{key}: unknown key{nearest(key, known)}; known keys: {', '.join(known)}"


def checked_sections(
    content: Mapping[str, Any],
    known: Sequence[str],
    settings: Mapping[str, type[Settings]],
    without_effect: Mapping[str, set[str]],
    what: str,
) -> dict[str, Any]:
    """The checked settings of each section. `known` also names the groups of components.

    Raises InputError for a key that is unknown, or that has no effect on or in `what`.
    """
    for key in content:
        if key not in known:
            close = nearest(key, known)
            raise InputError(f"{key}: unknown key{close}; known keys: {', '.join(known)}")
    for name in known:
        if not isinstance(content.get(name), Mapping):
            raise InputError(f"{name}={content.get(name)!r}: expected a section of keys and values")
        for key in sorted(without_effect.get(name, set()) & content[name].keys()):
            raise InputError(f"{name}.{key}: has no effect {what}: leave it out")
    return {name: validate(part, content[name], f"{name}.") for name, part in settings.items()}

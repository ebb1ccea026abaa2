"""Values as people type them, in the grammar of Hydra.

Hydra parses values: `=`, `~`, brackets and letters beyond ASCII are errors in it, and `20261128` is
a number. Here such values are quoted for it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from core.command.catalogue import offered
from core.command.config import CHOICES, SHORT_FORMS, key_schemas
from core.errors import InputError

MULTIRUN = ("-m", "--multirun")
GROUPS = {*CHOICES.values(), "augmentation", "supervision", "experiment"}


def quoted(arguments: Iterable[str]) -> list[str]:
    """Quote the values that Hydra cannot parse, and those that it would not take for text.

    Raises:
        InputError: an argument is neither an option nor `key=value`; says what may be meant.
    """
    arguments = list(arguments)
    check_words(arguments)
    sweeps = any(argument in MULTIRUN for argument in arguments)
    return [_quoted(argument, sweeps) for argument in arguments]


def check_words(arguments: Sequence[str]) -> None:
    """Refuse an argument that is neither an option nor `key=value`, with the nearest right one."""
    if any(argument in ("-h", "--help") for argument in arguments):
        return
    for before, word in pairwise(arguments):
        if word.startswith("=") or (before.endswith("=") and "=" not in word):
            raise InputError(f"{before} {word}: expected key=value without blanks around =")
    for before, word in pairwise(["", *arguments]):
        is_value = before.startswith("-") and before not in MULTIRUN  # such as --config-name NAME
        if re.match(r"--?\w+\.\w+", word):
            raise InputError(f"{word}: expected key=value without dashes: {word.lstrip('-')}")
        is_deletion = word.startswith("~") and "/" not in word
        if is_value or is_deletion or word.startswith("-"):
            continue
        if "=" not in word:
            raise InputError(f"{word}: expected key=value: {_meant(word)}")


def _meant(word: str) -> str:
    path = Path(word).expanduser()
    if (path / "config.yaml").is_file():
        return f"to continue this experiment, give resume={word}"
    if path.exists() or "/" in word:
        return f"for the folder of a data set, give data.root={word}"
    for key, group in SHORT_FORMS.items():
        if word in offered(group):
            return f"give {key}={word}"
    if re.fullmatch(r"\w+(\.\w+)+", word):
        return f"give {word}=VALUE"
    if word in GROUPS:
        return f"give {word}=NAME"
    return f"for a file of config/experiment/, give experiment={word}; --help lists every key"


def _quoted(argument: str, sweeps: bool) -> str:
    key, equals, value = argument.partition("=")
    name = key.lstrip("+")
    if not (equals and re.fullmatch(r"[\w@/:.-]+", name)) or name.startswith("-"):
        return argument
    parsed, is_sweep = _parse(value)
    if is_sweep and sweeps:
        return argument
    text = _expects_text(name)
    if parsed is _FAILED:
        is_one_text = text and not sweeps  # such as the name [)], which is no list
        return f"{key}={_quote(value) if is_one_text else _quoted_parts(value, sweeps)}"
    wanted = isinstance(parsed, str) or (parsed is None and "null" in text)
    return f"{key}={_quote(value)}" if text and not wanted else argument


_FAILED = object()


@lru_cache(1000)
def _parse(value: str) -> tuple[Any, bool]:
    try:
        override = OverridesParser.create().parse_override(f"key={value}")
        return override.value(), override.is_sweep_override()
    except HydraException:
        return _FAILED, False


def _quoted_parts(value: str, sweeps: bool) -> str:
    """The elements of a flat list, or of a sweep, quoted one by one; any other value as a whole."""
    if listed := re.fullmatch(r"\[([^\[\]{}'\"]*)\]", value):
        return f"[{_each_quoted(listed[1])}]"
    return _each_quoted(value) if sweeps else _quote(value)


def _each_quoted(values: str) -> str:
    each = (value.strip() for value in values.split(","))
    return ",".join(_quote(value) if _parse(value)[0] is _FAILED else value for value in each)


def _quote(value: str) -> str:
    return QuotedString(value, Quote.single).with_quotes()


def _expects_text(key: str) -> set[str]:
    """`string`, and perhaps `null`, for a key that takes text or a path; else an empty set."""
    section, _, name = key.partition(".")
    kinds = {kind for schema in key_schemas(section, name) for kind in _kinds(schema)}
    return kinds if kinds <= {"string", "null"} and "string" in kinds else set()


def _kinds(schema: Mapping[str, Any]) -> Iterator[str]:
    """JSON's types in a schema; `other` for a choice, and for text in a format such as a date."""
    if "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from _kinds(each)
    elif schema.keys() & {"enum", "const"} or not schema.get("format", "path").endswith("path"):
        yield "other"
    else:
        yield schema.get("type", "other")

"""From the values of a form to the words of a command line: one for each key, without a shell.

Whoever opens the pages may choose what an experiment may choose, and no more: nothing that Hydra
would take for its own, and no path. Where a path is wanted, a key stands for it that the server
made.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from core.errors import InputError
from core.validation import nearest

_MOST_KEYS, _LONGEST_TEXT, _MOST_ITEMS, _DEEPEST = 300, 200, 2000, 6
# Words and paths that Hydra takes for text without quotes.
_PLAIN = re.compile(
    r"(?!(?:true|false|null|inf|nan)$)(?:\.{0,2}/)?[A-Za-z_][\w./-]*", re.ASCII | re.IGNORECASE
)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# Of a class, as Hydra takes it for a key without quotes.
_CLASS = re.compile(r"[\w-]+(?: [\w-]+)*", re.ASCII)
# Of the further arguments of a network: those that would have it read a file.
_OF_FILES = re.compile(r"path|file|dir|url|hub|cfg|checkpoint|cache|custom_load", re.IGNORECASE)
_PATH_MARKS = set("/\\:~")


def override_words(
    values: Mapping[str, Any],
    known: Mapping[str, str | list[str]],
    places: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """`key=value` for each of the `values`, in the order of the `known` keys.

    `known` says of each key that may be set what it holds: `value`, `texts` for a list of any
    texts, `place`, or the options of which it takes one. `places` has the paths that may be chosen
    for a key, by the server's keys.

    Raises:
        InputError: another key, a value that is no value of JSON, or text that may be a path.
    """
    if len(values) > _MOST_KEYS:
        raise InputError(f"{len(values)} keys: expected at most {_MOST_KEYS}")
    for key in values:
        if key not in known:
            shown = key[:_LONGEST_TEXT]
            raise InputError(f"{shown}: cannot be set here{nearest(shown, known)}")
    words = []
    for key in (key for key in known if key in values):
        value, holds = values[key], known[key]
        if isinstance(holds, list):
            words.append(f"{key}={_option(key, value, holds)}")
        elif holds == "place" and value is not None:
            words.append(f"{key}={hydra_text(_path(key, value, places.get(key, {})))}")
        else:
            words.append(f"{key}={_Writer(key, holds == 'texts').write(value)}")
    return words


def _option(key: str, value: Any, options: list[str]) -> str:
    if value is not None and value not in options:
        shown = str(value)[:_LONGEST_TEXT]
        raise InputError(f"{key}={shown}: expected one of {', '.join(options)}")
    return "null" if value is None else value


def _path(key: str, value: Any, known: Mapping[str, str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InputError(
            f"{key}: not one of the {len(known)} places that can be chosen here: give it on the "
            "command line, or when starting the workbench"
        )
    return known[value]


class _Writer:
    """Writes the value of one key in Hydra's grammar."""

    def __init__(self, key: str, any_text: bool) -> None:
        self.key = key
        self.any_text = any_text
        self.items = 0

    def write(self, value: Any, depth: int = 0) -> str:
        self.items += 1
        if depth > _DEEPEST or self.items > _MOST_ITEMS:
            self._refuse("a value of fewer parts")
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, (int, float)):
            if abs(value) > 2**63 or not math.isfinite(value):
                self._refuse("a finite number")
            return repr(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return f"[{','.join(self.write(each, depth + 1) for each in value)}]"
        if isinstance(value, dict):
            pairs = (f"{self._name(k)}:{self.write(v, depth + 1)}" for k, v in value.items())
            return f"{{{','.join(pairs)}}}"
        return self._refuse("a value of JSON")

    def _text(self, text: str) -> str:
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            self._refuse(f"at most {_LONGEST_TEXT} letters that can be printed")
        # OmegaConf would put another value, or an environment variable, in its place.
        if "${" in text:
            self._refuse("text without ${")
        if not self.any_text and _PATH_MARKS & set(text):
            self._refuse("text that is no path: without / \\ : ~")
        return hydra_text(text)

    def _name(self, name: str) -> str:
        of_network = self.key.startswith("model.")
        if not (_NAME if of_network else _CLASS).fullmatch(name) or (
            of_network and _OF_FILES.search(name)
        ):
            self._refuse(f"other keys in it than {name[:_LONGEST_TEXT]!r}")
        return name

    def _refuse(self, expected: str) -> str:
        raise InputError(f"{self.key}: expected {expected}")


def hydra_text(text: str) -> str:
    """The text so that Hydra takes it for nothing else, in quotes where it has to be."""
    if _PLAIN.fullmatch(text):
        return text
    return QuotedString(text, Quote.single).with_quotes()

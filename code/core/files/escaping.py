"""Text from files for a terminal, a Markdown file or an HTML page: one escape for each."""

import html
import logging
import re
import unicodedata

# Control characters, which begin escape sequences; marks that reverse or hide what follows; halves
# of characters, which no encoding has.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT = frozenset("\n\t")
# What begins markup anywhere: code, emphasis, a cell, a strike; `_` only at a word's edge, and `]`
# only before what makes it a link.
_MARKUP = re.compile(r"[\\`*|~]|(?<!\w)_|_(?!\w)|\](?=[(\[])")
_START = re.compile(r"^(?=\[|(#+|[+-]|\d+[.)])\s|[=-]{2,}$)")


def for_terminal(text: str) -> str:
    """The text with what a terminal would obey, or not show, in Python's notation: `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def for_markdown(text: str) -> str:
    """The text on one line, so that Markdown shows it as it is: no HTML, no links, no code."""
    line = " ".join(for_terminal(text).split())
    line = _MARKUP.sub(lambda match: f"\\{match[0]}", line)
    return _START.sub(r"\\", html.escape(line, quote=False))


def markdown_code(text: str) -> str:
    """The text as a code span, in which nothing is markup but its own end."""
    line = " ".join(for_terminal(text).split())
    fence = "`" * (1 + max(map(len, re.findall(r"`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def for_html(text: str) -> str:
    """The text as it may stand between tags and in a quoted attribute."""
    return html.escape(for_terminal(text))


class TerminalFormatter(logging.Formatter):
    """A log whose lines may be shown on a terminal, whatever they quote."""

    def format(self, record: logging.LogRecord) -> str:
        return for_terminal(super().format(record))


def _visible(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _INVISIBLE:
        return character
    return character.encode("unicode_escape").decode()

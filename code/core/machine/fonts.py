"""Fonts for text in pictures: which font of this machine has the letters of a text.

DejaVu Sans, which comes with matplotlib, has those of Latin, Greek and Cyrillic.
"""

import itertools
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

DEFAULT_FAMILY = "DejaVu Sans"
# A font that has a box for each letter there is.
_BOXES = "Last Resort"
_REGULAR = 400


class Font(NamedTuple):
    """A face in a font file."""

    file: str
    index: int
    family: str


def runs(text: str) -> list[tuple[str, Font]]:
    """The text in pieces, each with a font that has its letters; see `drawable`."""
    grouped = itertools.groupby(drawable(text), _font_of)
    return [("".join(letters), font) for font, letters in grouped]


def families(text: str) -> list[str]:
    """The font families that have the letters of a text, for a `font.family` of matplotlib."""
    return list(dict.fromkeys([DEFAULT_FAMILY, *(font.family for _, font in runs(text))]))


def drawable(text: str) -> str:
    """The text with escapes such as `\\u88c2` for what no font has."""
    return "".join(
        letter if _font_of(letter) else letter.encode("unicode_escape").decode() for letter in text
    )


def drawable_names(class_names: Sequence[str]) -> list[str]:
    """The names as pictures show them: `class 3` for the third, where no font has its letters."""
    return [
        name if name.isascii() or all(map(_font_of, name)) else f"class {number}"
        for number, name in enumerate(class_names, start=1)
    ]


def names_of_numbers(class_names: Sequence[str]) -> str:
    """What the numbers of `drawable_names` stand for, such as `class 3 is ...`; mostly empty."""
    named = zip(drawable_names(class_names), class_names, strict=True)
    # A name may come from the file of somebody else, and this goes to a terminal.
    plain = ((title, name if name.isprintable() else ascii(name)) for title, name in named)
    return ", ".join(f"{title} is {name}" for title, name in plain if title != name)


@cache
def _font_of(letter: str) -> Font | None:
    """The first font that has the letter; control characters have no shape."""
    if not letter.isprintable():
        return None
    return next((font for font in _installed() if ord(letter) in _letters(font)), None)


@cache
def _installed() -> tuple[Font, ...]:
    """All fonts that are not only boxes, the default and plain ones first."""
    # Here, because it takes half a second, and few processes draw a picture.
    from matplotlib.font_manager import fontManager

    def rank(entry) -> tuple:
        plain = entry.style == "normal" and entry.weight == _REGULAR
        other, serif = entry.name != DEFAULT_FAMILY, "sans" not in entry.name.lower()
        return not plain, other, serif, entry.name, entry.fname

    entries = sorted(fontManager.ttflist, key=rank)
    return tuple(
        Font(entry.fname, entry.index, entry.name)
        for entry in entries
        if not entry.name.startswith(_BOXES)
    )


@cache
def _letters(font: Font) -> frozenset[int]:
    """Code points of the letters in a font; none of one that cannot be read or drawn with."""
    from matplotlib.ft2font import FT2Font
    from PIL import ImageFont

    try:
        ImageFont.truetype(font.file, 12, font.index)
        return frozenset(FT2Font(font.file, face_index=font.index).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()

"""Fonts of a made-up machine: DejaVu Sans, and where a test wants it one with Chinese letters."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from core.experiments import drawing
from core.machine import fonts

CHINESE = "裂纹黑点"
FAMILY = "Made Up Sans"


def write_chinese_font(file: Path) -> Path:
    """A font whose letters are bars, each of another height."""
    builder = FontBuilder(1000)
    names = [".notdef", *(f"letter{number}" for number in range(len(CHINESE)))]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, CHINESE), names[1:], strict=True)))
    glyphs = {}
    for number, name in enumerate(names):
        pen = TTGlyphPen(None)
        height = 200 + 150 * number
        for move, x, y in (("moveTo", 100, 0), ("lineTo", 100, height), ("lineTo", 800, height),
                           ("lineTo", 800, 0)):  # fmt: skip
            getattr(pen, move)((x, y))
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (900, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-200)
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(file)
    return file


@contextmanager
def installed(*files: Path) -> Iterator[None]:
    """Let the machine have DejaVu Sans, a font of boxes, and these font files only."""
    entries = [
        entry
        for entry in font_manager.fontManager.ttflist
        if entry.name == fonts.DEFAULT_FAMILY or entry.name.startswith("Last Resort")
    ]
    entries += [font_manager.FontEntry(fname=str(f), name=FAMILY, weight=400) for f in files]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(font_manager.fontManager, "ttflist", entries)
        _forget()
        yield
    _forget()


def _forget() -> None:
    for cached in (fonts._installed, fonts._font_of, drawing._loaded, font_manager._get_font):
        cached.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()

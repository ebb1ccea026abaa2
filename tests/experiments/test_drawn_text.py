"""Text in pictures: every letter has its shape."""

import numpy as np
import pytest
from installed_fonts import CHINESE, installed, write_chinese_font

from core.experiments.drawing import text_width, write_text
from core.machine.fonts import drawable

INK = (10, 200, 30)


def drawn(text):
    picture = np.zeros((30, 400, 3), np.uint8)
    write_text(picture, text, (6, 20), INK)
    return picture


@pytest.mark.parametrize("name", ["pit", "Öl", "Riß", "трещина"])
def test_each_letter_has_a_shape_of_its_own(name):
    shapes = [drawn(letter) for letter in {*name, "?", "\N{WHITE SQUARE}"}]
    assert all(shape.any() for shape in shapes)
    assert len({shape.tobytes() for shape in shapes}) == len(shapes)


def test_ink_and_width_are_as_told():
    picture = drawn("Riß und трещина")
    columns = np.flatnonzero(picture.any(axis=(0, 2)))
    assert 6 <= columns.min() <= 9
    assert columns.max() == pytest.approx(6 + text_width("Riß und трещина"), abs=3)
    assert (picture.reshape(-1, 3).max(axis=0) == INK).all()


def test_letters_of_another_font_stand_in_their_place(tmp_path):
    with installed(write_chinese_font(tmp_path / "chinese.ttf")):
        shapes = [drawn(f"Riß {letter} p") for letter in CHINESE]
    assert len({shape.tobytes() for shape in shapes}) == len(CHINESE)
    with installed():
        assert (drawn("裂") == drawn(drawable("裂"))).all()
        assert text_width("裂") == text_width(r"\u88c2")

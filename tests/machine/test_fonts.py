"""Which font has the letters of a text, and what is written where none has."""

from installed_fonts import CHINESE, FAMILY, installed, write_chinese_font

from core.machine.fonts import (
    DEFAULT_FAMILY,
    drawable,
    drawable_names,
    families,
    names_of_numbers,
    runs,
)

NAMES = ["Öl", "Riß", "трещина", "裂纹", "黑点"]


def test_latin_greek_and_cyrillic_need_no_other_font():
    with installed():
        for name in ("pit", "Öl", "Riß", "трещина", "ρωγμή"):
            assert families(name) == [DEFAULT_FAMILY]
            assert drawable(name) == name
            ((piece, font),) = runs(name)
            assert (piece, font.family) == (name, DEFAULT_FAMILY)


def test_an_installed_font_is_found_by_its_letters(tmp_path):
    with installed(write_chinese_font(tmp_path / "chinese.ttf")):
        assert drawable_names(NAMES) == NAMES
        assert names_of_numbers(NAMES) == ""
        assert families("Riß 裂纹") == [DEFAULT_FAMILY, FAMILY]
        pieces = [(piece, font.family) for piece, font in runs("Riß 裂纹 p")]
    assert pieces == [("Riß ", DEFAULT_FAMILY), ("裂纹", FAMILY), (" p", DEFAULT_FAMILY)]


def test_without_a_font_a_class_is_its_number(tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_text("no font")
    with installed(broken):
        assert drawable_names(NAMES) == ["Öl", "Riß", "трещина", "class 4", "class 5"]
        assert names_of_numbers(NAMES) == "class 4 is 裂纹, class 5 is 黑点"
        assert drawable("裂纹.jpg") == r"\u88c2\u7eb9.jpg"
        assert families(CHINESE) == [DEFAULT_FAMILY]


def test_what_has_no_shape_is_escaped():
    assert drawable("a\nb\u202ec\x1b") == r"a\nb\u202ec\x1b"
    assert names_of_numbers(["a", "\x1b[31mé"]) == r"class 2 is '\x1b[31m\xe9'"

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.files.spreadsheet import as_text, original


@pytest.mark.parametrize(
    "cell", ["=cmd()", "+1.jpg", "-1.jpg", "@sum", "\t=1", "'=1", "''-2", "\uff1d1"]
)
def test_what_would_be_run_is_text(cell):
    assert as_text(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["0002cc93b.jpg", "", "a=b", "'quoted.jpg", "_=1"])
def test_what_is_harmless_stays_as_it_is(cell):
    assert as_text(cell) == cell
    assert original(cell) == cell


@given(st.text(alphabet="'=+-@\ta1.", max_size=6) | st.text(max_size=6))
def test_every_cell_comes_back(cell):
    text = as_text(cell)
    assert text[:1] not in set("=+-@\t\r")
    assert original(text) == cell

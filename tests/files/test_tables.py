"""The one writer and the one reader of CSV tables."""

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.files.spreadsheet import as_text
from core.files.tables import (
    read_records,
    read_table,
    require_header,
    write_cells,
    write_table,
)

LIMIT = 1 << 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.csv"


def refused(path, content, words, **limits):
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(read_table(path, **{"most_bytes": LIMIT, **limits}))
    line = str(caught.value)
    assert line.startswith(str(path))
    assert words in line
    assert "\n" not in line


def test_cells_are_written_as_they_are_documented(path):
    row = ["=cmd()", "a,b", "", None, 7, True, np.float64(0.1), np.float32(0.1), -0.5]
    write_table(path, ["image_id", *"bcdefghi"], [row])
    assert path.read_bytes() == (
        b"image_id,b,c,d,e,f,g,h,i\n"
        b'\'=cmd(),"a,b",,,7,True,0.10000000000000001,0.10000000149011612,-0.5\n'
    )


def test_the_shortest_floats_give_back_the_same_numbers_as_well():
    values = np.random.default_rng(0).random(200) * 10.0 ** np.arange(-100, 100)
    for float_format in ("", ".17g"):
        text = io.StringIO()
        write_cells(text, ["x"], [[value] for value in values], float_format)
        assert list(map(float, text.getvalue().split()[1:])) == values.tolist()
    text = io.StringIO()
    write_cells(text, ["x"], [[0.1], [1e-7]], float_format="")
    assert text.getvalue() == "x\n0.1\n1e-07\n"


def test_a_failure_among_the_rows_leaves_the_old_file(path):
    write_table(path, ["a"], [["old"]])

    def rows():
        yield ["new"]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write_table(path, ["a"], rows())
    assert path.read_text() == "a\nold\n"
    assert list(path.parent.iterdir()) == [path]


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_records_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    write_table(path, ["one", "=two"], rows)
    read = [(record["one"], record["=two"]) for _, record in read_records(path, ("=two", "one"))]
    # A row that is written without text is none: a tab alone is escaped.
    assert read == [row for row in rows if any(as_text(cell).strip() for cell in row)]


TEXTS = st.text(st.sampled_from('ab,"\n\r x'), max_size=30).map("h,i\n".__add__)


@given(TEXTS)
def test_rows_are_those_of_the_standard_reader(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_bytes(text.encode())
    try:
        found = [row for _, row in read_table(path, LIMIT)]
    except InputError:
        return
    rows = csv.reader(io.StringIO(text, newline=""))
    expected = [row for row in rows if any(map(str.strip, row))]
    # Inside quotes any ending becomes a line feed.
    assert found == [[re.sub("\r\n?", "\n", cell) for cell in row] for row in expected]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_with_blank_ones_and_with_cells_over_several(path, end):
    path.write_bytes(end.join(["a,b", "", "1,2", '"3', '3",4', " , ", "5,6"]).encode())
    assert list(read_table(path, LIMIT)) == [
        (1, ["a", "b"]),
        (3, ["1", "2"]),
        (4, ["3\n3", "4"]),
        (7, ["5", "6"]),
    ]


def test_a_byte_order_mark_is_no_text_and_a_long_cell_is_taken(path):
    path.write_bytes(b"\xef\xbb\xbfa,b\n" + b"1 " * 200_000 + b",2\n")
    (_, header), (_, row) = read_table(path, LIMIT, LIMIT)
    assert header == ["a", "b"]
    assert len(row[0]) == 400_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "first line is empty"),
        (b"\n\na,b\n", "first line is empty"),
        (b" , \na,b\n", "first line is empty"),
        (b"a,b\n1\n", "line 2: 1 of 2 cells ('1'); expected all: the file may be cut off"),
        (b"a,b\n\n1,2,3\n", "line 3: 3 cells; expected a comma-separated table with 2"),
        (b"a,b\n1,2\n,,\n", "line 3: 3 cells"),
        (b'a,b\n1,2\n"3,4\n', "line 3: a quote is not closed"),
        (b'a,b\n"' + b"x" * 200_000 + b'",2\n', "line 2: not a comma-separated table"),
        (b"a,b\n1,\xff\n", "line 2: not UTF-8"),
        (b"a,b\n1,\0\n", "line 2: holds a NUL byte"),
    ],
)
def test_what_is_no_such_table_is_refused_by_line(path, content, words):
    refused(path, content, words, longest_line=LIMIT)


def test_a_table_is_read_within_bounds(path):
    refused(path, b"a,b\n" * 1000, "4000 bytes; expected at most 100", most_bytes=100)
    refused(path, b"a,b\n" + b"x" * 2000 + b",1\n", "line 2: more than 1000", longest_line=1000)


def test_a_header_is_checked(path):
    path.write_text("split,image_id,more\ntrain,a.jpg,1\n")
    records = list(read_records(path, ("image_id", "split")))
    assert records == [(2, {"split": "train", "image_id": "a.jpg", "more": "1"})]
    with pytest.raises(InputError, match=r"no column 'fold'; found: split, image_id, more"):
        next(read_records(path, ("image_id", "fold")))
    require_header(path, ["a", "b"], ["c"], ["a", "b"])
    with pytest.raises(InputError, match=r"line 1: header 'a,b'; expected 'c' or 'b,a'"):
        require_header(path, ["a", "b"], ["c"], ["b", "a"])

"""The one writer and the one reader of CSV tables: a header, then rows of as many cells.

Text that a spreadsheet would run as a formula is escaped when it is written.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from core.errors import InputError
from core.files.reading import MEBIBYTE, bounded_lines, opened
from core.files.spreadsheet import as_text, original
from core.files.writing import replacing

# Some million rows of names; a table of another size has its own bound.
_MOST_BYTES = 256 * MEBIBYTE
_LONGEST_LINE = MEBIBYTE // 8
# No line holds a NUL byte.
_END = "\0"


def write_table(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], float_format: str = ".17g"
) -> None:
    """Write a table, whole or not at all; cells as for `write_cells`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        write_cells(stream, header, rows, float_format)


def write_cells(
    stream: TextIO,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    float_format: str = ".17g",
) -> None:
    """Write a header and rows: text escaped, floats by `float_format`, None as an empty cell.

    17 significant digits give back the same float64. The format "" writes the fewest digits that
    do.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([as_text(name) for name in header])
    for row in rows:
        writer.writerow([_written(cell, float_format) for cell in row])


def _written(cell: Any, float_format: str) -> Any:
    if isinstance(cell, str):
        return as_text(cell)
    return format(cell, float_format) if isinstance(cell, (float, np.floating)) else cell


def read_table(
    path: Path, most_bytes: int, longest_line: int = _LONGEST_LINE
) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row, the header first; rows without text are left out.

    Cells are as written in the file, with escapes.

    Raises:
        InputError: unreadable, larger than `most_bytes`, a line longer than `longest_line`, not
            UTF-8, no header, a row with more or fewer cells than the header, or an open quote.
    """
    with opened(path, most_bytes) as stream:
        width = 0
        for number, row in _rows(_lines(stream, path, longest_line), path):
            has_text = any(cell.strip() for cell in row)
            if not width:
                if not has_text:
                    break
                width = len(row)
            if len(row) > width:
                raise InputError(
                    f"{path} line {number}: {len(row)} cells; expected a comma-separated table "
                    f"with {width}, as in its header: mend or export it again"
                )
            if has_text and len(row) < width:
                raise InputError(
                    f"{path} line {number}: {len(row)} of {width} cells "
                    f"({','.join(row)[:80]!r}); expected all: the file may be cut off"
                )
            if has_text:
                yield number, row
    if not width:
        raise InputError(f"{path}: its first line is empty; expected a header and rows below it")


def read_records(
    path: Path, columns: Sequence[str], most_bytes: int = _MOST_BYTES
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column of each row, as they were handed to `write_table`.

    The table has at least these columns, in any order.

    Raises:
        InputError: as for `read_table`; a column is missing.
    """
    rows = read_table(path, most_bytes)
    header = [original(name) for name in next(rows)[1]]
    missing = [name for name in columns if name not in header]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}; found: {', '.join(header)[:200]}; expected "
            f"{', '.join(columns[:-1])[:200]} and {columns[-1]}"
        )
    for number, row in rows:
        yield number, dict(zip(header, map(original, row), strict=True))


def require_header(path: Path, header: Sequence[str], *expected: Sequence[str]) -> None:
    """Check that a header is one of those that are expected.

    Raises:
        InputError: it is none of them.
    """
    if header not in expected:
        choices = " or ".join(repr(",".join(names)) for names in expected)
        raise InputError(f"{path} line 1: header {','.join(header)[:80]!r}; expected {choices}")


def _lines(stream: Any, path: Path, longest_line: int) -> Iterator[str]:
    """Lines that end in a line feed, whichever of the three line endings the file has."""
    for line in bounded_lines(stream, path, longest_line):
        text = line.removesuffix("\n").removesuffix("\r")
        yield from (f"{part}\n" for part in text.split("\r"))


def _rows(lines: Iterator[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line and cells of each row; a quoted cell may run over lines."""
    number = 0
    for line in lines:
        first = number = number + 1
        if '"' not in line:
            # The csv module refuses cells of more than 128 KiB, as long run-length codes are.
            yield first, line[:-1].split(",")
            continue
        reader = csv.reader(chain([line], lines, [_END]))
        try:
            row = next(reader)
        except csv.Error as error:
            raise InputError(
                f"{path} line {first}: not a comma-separated table ({error})"
            ) from None
        if row[-1].endswith(_END):
            raise InputError(
                f"{path} line {first}: a quote is not closed; expected a comma-separated table: "
                "mend or export it again"
            )
        number += reader.line_num - 1
        yield first, row

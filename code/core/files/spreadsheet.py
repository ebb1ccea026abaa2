"""Text in the cells of a CSV file that a spreadsheet would run as a formula.

Source: OWASP, CSV Injection: a cell that begins with one of = + - @, tab or return is a formula;
with an apostrophe before it, it is text.
"""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\uff0b\uff0d\uff1d\uff20]")


def as_text(cell: str) -> str:
    """The cell, with an apostrophe before it if it would be run; `original` removes it."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def original(cell: str) -> str:
    """The cell that `as_text` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell

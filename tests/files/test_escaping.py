"""Text from files on its way to a terminal, to Markdown and to HTML."""

import logging
import re

import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from core.files.escaping import (
    TerminalFormatter,
    for_html,
    for_markdown,
    for_terminal,
    markdown_code,
)

TERMINAL = {
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "\x1b[2J": "\\x1b[2J",
    "\x9b31m": "\\x9b31m",
    "a\rb\bc": "a\\rb\\x08c",
    "\u202egpj.exe": "\\u202egpj.exe",
    "strip_\udcff.jpg": "strip_\\udcff.jpg",
    "two\nlines\tand ä 傷 é": "two\nlines\tand ä 傷 é",
    "non\u00a0breaking": "non\u00a0breaking",
}


@pytest.mark.parametrize("text", TERMINAL)
def test_a_terminal_obeys_nothing(text):
    assert for_terminal(text) == TERMINAL[text]


@given(st.text(st.characters()))
def test_nothing_that_a_terminal_obeys_is_left(text):
    shown = for_terminal(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown)
    shown.encode("utf-8")


MARKDOWN = {
    "<script>alert(1)</script>": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[here](http://a.b)": r"\[here\](http://a.b)",
    "![x](http://a.b/c.png)": r"![x\](http://a.b/c.png)",
    "[x][y]": r"\[x\][y]",
    "[x]: http://a.b": r"\[x]: http://a.b",
    "<http://a.b>": "&lt;http://a.b&gt;",
    "a|b": r"a\|b",
    "`code` *bold* _word_": r"\`code\` \*bold\* \_word\_",
    "two\n# lines": "two # lines",
    "# head": r"\# head",
    "- one": r"\- one",
    "-": "-",
    "&lt;": "&amp;lt;",
    "defect_1": "defect_1",
    "0.921 [0.905, 0.936]": "0.921 [0.905, 0.936]",
    "\x1b[2J": r"\\x1b[2J",
}


@pytest.mark.parametrize("text", MARKDOWN)
def test_markdown_shows_text_as_it_is(text):
    assert for_markdown(text) == MARKDOWN[text]


def test_a_code_span_ends_where_it_should():
    assert markdown_code("a <b>") == "`a <b>`"
    assert markdown_code("a ``b` c") == "```a ``b` c```"
    assert markdown_code("`") == "`` ` ``"
    assert "\n" not in markdown_code("a\n\nb")


def test_html_holds_no_tag_and_no_quote():
    assert for_html("<b a='\"'>&\x1b") == "&lt;b a=&#x27;&quot;&#x27;&gt;&amp;\\x1b"


def test_a_log_line_and_its_traceback_are_escaped():
    try:
        raise ValueError("\x1b[2J")
    except ValueError as error:
        record = logging.LogRecord("a", logging.INFO, "", 0, "%s\n\x07", ("\x1b",), error)
        record.exc_info = (type(error), error, error.__traceback__)
    lines = TerminalFormatter("%(message)s").format(record)
    assert lines.startswith("\\x1b\n\\x07")
    assert "\x1b" not in lines


# Where a page, a card or a line may be made without the functions above.
ALLOWED = {
    r"\bprint\(|sys\.std(out|err)\.write|sys\.__std": {"core/command/terminal.py"},
    r"html import escape|html\.escape|cgi|xml\.sax": {"core/files/escaping.py"},
    r"logging\.Formatter|basicConfig\(.*format=": {"core/files/escaping.py"},
}


@pytest.mark.parametrize("pattern", ALLOWED)
def test_no_other_way_leads_to_a_terminal_or_a_page(pattern):
    code = REPOSITORY / "code"
    paths = [path for path in code.rglob("*.py") if "benchmarks" not in path.parts]
    found = {
        path.relative_to(code).as_posix() for path in paths if re.search(pattern, path.read_text())
    }
    assert found - ALLOWED[pattern] == set()

"""The building blocks of a report: one HTML file with everything in it."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def page(title: str, body: str) -> str:
    """The whole document; the empty icon keeps browsers from asking for one."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def section(identifier: str, title: str, *content: str) -> str:
    """A headed part of the page."""
    return f'<section id="{identifier}"><h2>{escape(title)}</h2>\n{"".join(content)}\n</section>'


def paragraph(text: str, style: str = "") -> str:
    """Plain text."""
    return f'<p class="{style}">{escape(text)}</p>' if style else f"<p>{escape(text)}</p>"


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    text_columns: int = 1,
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """A table that scrolls sideways where it is too wide.

    A cell may be (text, small print); all but the first `text_columns` stand to the right.
    `groups` are titles above the header, each over so many columns.
    """

    def cell(tag: str, position: int, content: Any) -> str:
        style = ' class="n"' if position >= text_columns else ""
        main, small = content if isinstance(content, tuple) else (content, "")
        extra = f"<small>{escape(str(small))}</small>" if small else ""
        return f"<{tag}{style}>{escape(str(main))}{extra}</{tag}>"

    head = "".join(cell("th", position, name) for position, name in enumerate(header))
    above = "".join(
        f'<th colspan="{span}">{f"<span>{escape(title)}</span>" if title else ""}</th>'
        for title, span in groups
    )
    above = f'<tr class="groups">{above}</tr>' if above else ""
    body = "".join(
        f"<tr>{''.join(cell('td', position, value) for position, value in enumerate(row))}</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead>{above}<tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def cards(entries: Iterable[tuple[str, str, str]]) -> str:
    """Headline figures: (title, value, small print)."""
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card"><small>{escape(title)}</small><b>{escape(value)}</b>'
            f"<small>{escape(small)}</small></div>"
            for title, value, small in entries
        )
        + "</div>"
    )


def key_values(title: str, values: Mapping[str, Any]) -> str:
    """A table of settings, folded away."""
    rows = [(key, str(value)) for key, value in values.items()]
    return (
        f"<details><summary>{escape(title)}</summary>"
        f"{table(('key', 'value'), rows, text_columns=2)}</details>"
    )


def contents(sections: Iterable[tuple[str, str]]) -> str:
    """Links to the sections: (identifier, title)."""
    links = (f'<a href="#{identifier}">{escape(title)}</a>' for identifier, title in sections)
    return f"<nav>{''.join(links)}</nav>"

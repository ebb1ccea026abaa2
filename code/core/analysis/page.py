"""The building blocks of a report: one HTML file with everything in it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.files.escaping import for_html as escape

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

    A cell may be (text, small print); all but the first `text_columns` are right-aligned.
    `groups` are titles above the header, each over so many columns.
    """

    def line(tag: str, cells: Sequence[Any]) -> str:
        html = []
        for position, content in enumerate(cells):
            style = ' class="n"' if position >= text_columns else ""
            main, small = content if isinstance(content, tuple) else (content, "")
            extra = f"<small>{escape(str(small))}</small>" if small else ""
            html.append(f"<{tag}{style}>{escape(str(main))}{extra}</{tag}>")
        return f"<tr>{''.join(html)}</tr>"

    titles = (f"<span>{escape(title)}</span>" if title else "" for title, _ in groups)
    spans = zip(titles, (span for _, span in groups), strict=True)
    above = "".join(f'<th colspan="{span}">{title}</th>' for title, span in spans)
    head = (f'<tr class="groups">{above}</tr>' if above else "") + line("th", header)
    body = "".join(line("td", row) for row in rows)
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def side_by_side(charts: Iterable[str]) -> str:
    """Charts in as many columns as fit."""
    return f'<div class="charts">{"".join(charts)}</div>'


def cards(entries: Iterable[tuple[str, str, str]]) -> str:
    """Headline figures: (title, value, small print)."""
    html = (
        f'<div class="card"><small>{escape(title)}</small><b>{escape(value)}</b>'
        f"<small>{escape(small)}</small></div>"
        for title, value, small in entries
    )
    return f'<div class="cards">{"".join(html)}</div>'


def key_values(title: str, values: Mapping[str, Any]) -> str:
    """A table of settings, folded away."""
    rows = table(("key", "value"), values.items(), text_columns=2)
    return f"<details><summary>{escape(title)}</summary>{rows}</details>"


def contents(sections: Iterable[tuple[str, str]]) -> str:
    """Links to the sections: (identifier, title)."""
    links = (f'<a href="#{identifier}">{escape(title)}</a>' for identifier, title in sections)
    return f"<nav>{''.join(links)}</nav>"

"""A comparison to be read: tables, then verdicts and notes, for the terminal or as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from core.analysis.differences import differing_values, labels, unique_names, variations
from core.analysis.pretrainings import pretraining_rows, starting_point, starts_from_encoder
from core.analysis.ranking import TITLES, FigureKey, figure, headline_figures, interval
from core.analysis.text_tables import (
    METRIC_TITLES,
    fitted,
    markdown,
    number,
    split_columns,
    with_bounds,
)
from core.files.escaping import for_markdown, for_terminal

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison, Group

_LONGEST_VALUE = 48
Rows = list[list[str]]
Figures = Mapping[str, FigureKey]


def document(comparison: Comparison, figures: Figures, width: int | None) -> str:
    """The headline figures, then `figures`, the differences, the verdicts and what was left out.

    No line of a table is longer than `width`; None: Markdown.
    """
    blocks = []
    for group in comparison.groups:
        title = f"Test set {group.label}, {group.num_images} images:\n\n"
        tables = [_table(headline_rows(comparison, group), width, wrapped=(1, -1))]
        tables += _tables(figure_rows(comparison, group, figures), width)
        blocks += [title + tables[0] if len(comparison.groups) > 1 else tables[0], *tables[1:]]
    pretrainings = pretraining_rows(comparison.pretrainings)
    for title, tables in (
        ("Pretrainings, not ranked", [_table(pretrainings, width, wrapped=(0, 1))]),
        ("Folders", _tables(_folder_rows(comparison), width)),
        ("What differs", [_table(_difference_rows(comparison), width, wrapped=(0, 1, 2))]),
        ("Over seeds, mean ± standard deviation", _seed_tables(comparison, figures, width)),
    ):
        if any(tables):
            blocks.append(f"{title}:\n\n" + "\n\n".join(tables))
    for title, lines in (
        ("Verdicts", [pair.sentence() for pair in comparison.pairs]),
        ("Notes", comparison.notes),
        ("Left out", comparison.problems),
    ):
        if lines:
            blocks.append(f"{title}:\n\n" + "\n".join(_item(line, width) for line in lines))
    return "\n\n".join(blocks or ["No experiment to compare."]) + "\n"


def _table(rows: Rows, width: int | None, wrapped: Sequence[int] = (0,)) -> str:
    """The table as text; nothing for a header alone."""
    if len(rows) < 2:
        return ""
    if width is None:
        return markdown(rows)
    rows = [list(map(for_terminal, row)) for row in rows]
    return fitted(rows, width, [column % len(rows[0]) for column in wrapped])


def _tables(rows: Rows, width: int | None) -> list[str]:
    """One table, or several where it is wider than the terminal."""
    parts = [rows] if width is None else split_columns(rows, width)
    return [_table(part, width) for part in parts if len(part[0]) > 1]


def _item(line: str, width: int | None) -> str:
    if width is None:
        return f"- {for_markdown(line)}"
    unbroken = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(
        for_terminal(line), width, initial_indent="- ", subsequent_indent="  ", **unbroken
    )


def _rank(comparison: Comparison, group: Group, position: int) -> str:
    """1, 2, ...; with several sets of test images A1, A2, ..., B1, ..."""
    return f"{group.label if len(comparison.groups) > 1 else ''}{position + 1}"


def ranks(comparison: Comparison) -> list[str]:
    """The rank of each of `comparison.experiments`."""
    return [
        _rank(comparison, group, position)
        for group in comparison.groups
        for position in range(len(group.experiments))
    ]


def headline_rows(comparison: Comparison, group: Group) -> Rows:
    """Rank, experiment, headline figures, and what differs unless the names say it.

    The first row is the header.
    """
    figures = headline_figures(comparison.sort, comparison.key)
    everyone = comparison.experiments
    paths = (str(one.path) for one in everyone)
    varied = dict(zip(paths, variations(everyone), strict=True))
    named = not _folder_rows(comparison)[1:] and any(varied.values())
    started = any(map(starts_from_encoder, everyone))
    last = ["starts from"] if started else []
    last += ["what differs"] if named else []
    rows = [["rank", "experiment", *_titles(figures), *last]]
    for position, one in enumerate(group.experiments):
        row = [_rank(comparison, group, position), comparison.labels[str(one.path)]]
        for key in figures.values():
            bounds = interval(one, key) if key == comparison.key else None
            row.append(with_bounds(figure(one, key), bounds))
        row += [starting_point(one)] if started else []
        rows.append([*row, *([varied[str(one.path)]] if named else [])])
    return rows


def figure_rows(comparison: Comparison, group: Group, figures: Figures) -> Rows:
    """Rank and `figures` with their intervals; the first row is the header."""
    rows = [["rank", *_titles(figures)]]
    for position, one in enumerate(group.experiments):
        cells = [with_bounds(figure(one, key), interval(one, key)) for key in figures.values()]
        rows.append([_rank(comparison, group, position), *cells])
    return rows


def _titles(figures: Figures) -> list[str]:
    return [
        f"{key[1]} {METRIC_TITLES[key[-1]]}" if key[0] == "per_class" else TITLES.get(name, name)
        for name, key in figures.items()
    ]


def _folder_rows(comparison: Comparison) -> Rows:
    """Of those that are not called by the name of their folder."""
    ranked = zip(ranks(comparison), comparison.experiments, strict=True)
    rows = [
        [rank, one.name]
        for rank, one in ranked
        if not comparison.labels[str(one.path)].endswith(one.name)
    ]
    return [["rank", "folder"], *rows]


def _difference_rows(comparison: Comparison) -> Rows:
    rows, ranked_as = [["key", "value", "rank"]], ranks(comparison)
    for key, values in differing_values(comparison.experiments).items():
        for number_of, value in enumerate(dict.fromkeys(values)):
            having = [rank for rank, other in zip(ranked_as, values, strict=True) if other == value]
            short = f"{value[: _LONGEST_VALUE - 3]}..." if len(value) > _LONGEST_VALUE else value
            rows.append(["" if number_of else key, short, ", ".join(having)])
    return rows


def _seed_tables(comparison: Comparison, figures: Figures, width: int | None) -> list[str]:
    rows, more = seed_rows(comparison, figures)
    return [
        table for table in [_table(rows, width, wrapped=(0, 1, -1)), *_tables(more, width)] if table
    ]


def seed_rows(comparison: Comparison, figures: Figures) -> tuple[Rows, Rows]:
    """Headline figures over seeds, and then `figures`; the first row of each is the header."""
    everyone = comparison.experiments
    by_name = dict(zip(unique_names(everyone), everyone, strict=True))
    firsts = [by_name[summary.members[0]] for summary in comparison.seeds]
    titles = [
        f"{label} ..." if label.endswith(one.name) else label
        for one, label in zip(firsts, labels(firsts), strict=True)
    ]
    headline = headline_figures(comparison.sort, comparison.key)
    rows = [["experiment", "seeds", *_titles(headline), "test images"]]
    more = [["experiment", *_titles(figures)]]
    for name, summary in zip(titles, comparison.seeds, strict=True):
        images = "the same" if summary.same_images else "another per seed"
        seeds = ", ".join(map(str, summary.seeds))
        rows.append([name, seeds, *_spread(summary.figures, headline), images])
        more.append([name, *_spread(summary.figures, figures)])
    return rows, more


def _spread(known: Mapping[str, Mapping[str, float]], figures: Figures) -> list[str]:
    return [
        f"{number(entry['mean'])} ± {number(entry['standard_deviation'])}" if entry else "-"
        for entry in map(known.get, figures)
    ]

"""Charts: round ticks, everything inside the frame, nothing unescaped."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analysis.charts import HEIGHT, WIDTH, Axes, Mark, Series, line_chart, look, ticks


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_evenly_spaced_and_inside(low, span):
    high = low + span
    if high - low < 1e-9 * max(abs(low), 1):
        return
    found = ticks(low, high)
    assert 1 <= len(found) <= 7
    slack = 1e-6 * (high - low) + 1e-9
    assert all(low - slack <= value <= high + slack for value in found)


def test_ticks_are_round():
    assert ticks(0, 1.02) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(1, 40) == [10, 20, 30, 40]


def coordinates(html):
    for points in re.findall(r'points="([^"]*)"', html):
        for pair in points.split():
            yield tuple(map(float, pair.split(",")))
    for x, y in re.findall(r'cx="([^"]*)" cy="([^"]*)"', html):
        yield float(x), float(y)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.one_of(st.none(), st.floats(-1e6, 1e6))), max_size=20
    )
)
def test_everything_is_drawn_inside_the_frame(points):
    html = line_chart("title", [Series("line", points, dots=True)], Axes("x", "y"))
    assert "nan" not in html
    for x, y in coordinates(html):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    drawn = [point for point in points if point[1] is not None]
    assert ("nothing to draw" in html) == (not drawn)
    assert html.count("<circle") == len(drawn)


def test_higher_values_are_drawn_higher_and_undefined_ones_left_out():
    html = line_chart("t", [Series("s", [(1, 0.2), (2, None), (3, 0.9)])], Axes("x", "y"))
    (x1, y1), (x2, y2) = coordinates(html)
    assert x1 < x2
    assert y1 > y2


def test_text_is_escaped_and_in_the_legend():
    html = line_chart(
        "a <b>", [Series("x & y", [(0, 0), (1, 1)])], Axes("<x>", "y"), [Mark("m<", 0.5, 0.5)]
    )
    assert "<b>" not in html
    assert "<x>" not in html
    assert "x &amp; y" in html
    assert "m&lt;" in html


def test_twenty_one_series_look_different():
    looks = {tuple(look(number).values()) for number in range(21)}
    assert len(looks) == 21
    drawn = [line_chart("t", [Series("s", [(0, 0), (1, 1)], **look(n))], Axes("x", "y"))
             for n in range(21)]  # fmt: skip
    assert len(set(drawn)) == 21

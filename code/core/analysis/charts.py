"""Line charts as inline SVG, small enough to stand side by side and legible on a phone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#8A6D00", "#444444")
WIDTH, HEIGHT = 300, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 40
Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line; points whose y is None are left out."""

    label: str
    points: Sequence[tuple[float, float | None]]
    colour: str = COLOURS[0]
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Mark:
    """A single labelled point, filled or hollow; with the upright `line`, a line at x instead."""

    label: str
    x: float
    y: float = 0.0
    colour: str = "#222222"
    filled: bool = True
    line: bool = False


@dataclass(frozen=True)
class Axes:
    """What the axes say, and their ranges; None takes the range from the data."""

    x_label: str
    y_label: str
    x_range: Point | None = None
    y_range: Point | None = None


@dataclass
class _Frame:
    x_range: Point
    y_range: Point
    parts: list[str] = field(default_factory=list)

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def line_chart(title: str, series: Sequence[Series], axes: Axes, marks: Sequence[Mark] = ()) -> str:
    """A figure with its title, the chart and a legend of what is in it."""
    points = [(x, y) for one in series for x, y in one.points if y is not None]
    points += [(mark.x, mark.y) for mark in marks if not mark.line]
    if not points:
        return f"<figure><figcaption>{escape(title)}</figcaption><p>nothing to draw</p></figure>"
    frame = _Frame(
        axes.x_range or _range([x for x, _ in points]),
        axes.y_range or _range([y for _, y in points]),
    )
    _draw_axes(frame, axes)
    for one in series:
        _draw_series(frame, one)
    for mark in marks:
        _draw_mark(frame, mark)
    legend = "".join(
        f'<span><i class="{"dash" if dashed else "key"}" style="--c:{colour}"></i>'
        f"{escape(label)}</span>"
        for label, colour, dashed in [(one.label, one.colour, one.dashed) for one in series]
    )
    legend += "".join(
        f'<span><i class="{"bar" if mark.line else "dot" if mark.filled else "ring"}" '
        f'style="--c:{mark.colour}"></i>{escape(mark.label)}</span>'
        for mark in marks
    )
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(title, quote=True)}">{"".join(frame.parts)}</svg>'
        f'<div class="legend">{legend}</div></figure>'
    )


def _draw_axes(frame: _Frame, axes: Axes) -> None:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in ticks(*frame.x_range):
        x = frame.x(value)
        frame.parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
            f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{value:g}</text>'
        )
    for value in ticks(*frame.y_range):
        y = frame.y(value)
        frame.parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    middle = (TOP + bottom) / 2
    frame.parts.append(
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(axes.x_label)}</text>"
        f'<text x="11" y="{middle}" text-anchor="middle" transform="rotate(-90 11 {middle})">'
        f"{escape(axes.y_label)}</text>"
    )


def _draw_series(frame: _Frame, series: Series) -> None:
    drawn = [(frame.x(x), frame.y(y)) for x, y in series.points if y is not None]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
    dash = ' stroke-dasharray="5 4"' if series.dashed else ""
    frame.parts.append(
        f'<polyline class="line" points="{path}" stroke="{series.colour}"{dash}>'
        f"<title>{escape(series.label)}</title></polyline>"
    )
    if series.dots or len(drawn) == 1:
        frame.parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{series.colour}"/>' for x, y in drawn
        ]


def _draw_mark(frame: _Frame, mark: Mark) -> None:
    x, title = frame.x(mark.x), f"<title>{escape(mark.label)}</title>"
    if mark.line:
        frame.parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" '
            f'stroke="{mark.colour}" stroke-dasharray="2 3">{title}</line>'
        )
        return
    fill = mark.colour if mark.filled else "#fff"
    frame.parts.append(
        f'<circle cx="{x:.1f}" cy="{frame.y(mark.y):.1f}" r="5" fill="{fill}" '
        f'stroke="{mark.colour}" stroke-width="2">{title}</circle>'
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers within a range, at most so many steps apart."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _range(values: Sequence[float]) -> Point:
    low, high = min(values), max(values)
    if high - low < 1e-12:
        margin = max(abs(low) * 0.1, 0.5)
        return low - margin, high + margin
    return low, high

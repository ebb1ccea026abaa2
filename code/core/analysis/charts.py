"""Line charts as inline SVG, small enough to stand side by side and legible on a phone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from core.files.escaping import for_html as escape

# Okabe and Ito's palette, which colour-blind readers can tell apart as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#8A6D00", "#444444")
WIDTH, HEIGHT = 300, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 290, 10, 180
Range = Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line, `solid` or `dashed`; points whose y is None are left out."""

    label: str
    points: Sequence[tuple[float, float | None]]
    colour: str = COLOURS[0]
    style: str = "solid"
    dots: bool = False


@dataclass(frozen=True)
class Mark:
    """A single labelled point, a filled `dot` or a hollow `ring`, or an upright line, a `bar`."""

    label: str
    x: float
    y: float = 0.0
    style: str = "dot"
    colour: str = "#222222"


@dataclass(frozen=True)
class Axes:
    """Labels, ranges (None: those of the data), and the least distance of two ticks along x."""

    x_label: str
    y_label: str
    x_range: Range | None = None
    y_range: Range | None = None
    x_step: float = 0.0


def line_chart(title: str, series: Sequence[Series], axes: Axes, marks: Sequence[Mark] = ()) -> str:
    """A figure: title, chart and legend."""
    points = [(x, y) for one in series for x, y in one.points if y is not None]
    points += [(mark.x, mark.y) for mark in marks if mark.style != "bar"]
    if not points:
        return f"<figure><figcaption>{escape(title)}</figcaption><p>nothing to draw</p></figure>"
    xs, ys = zip(*points, strict=True)
    x_range, y_range = axes.x_range or _range(xs), axes.y_range or _range(ys)
    x = partial(_place, within=x_range, start=LEFT, end=RIGHT)
    y = partial(_place, within=y_range, start=BOTTOM, end=TOP)
    x_ticks, y_ticks = ticks(*x_range, least=axes.x_step), ticks(*y_range)
    drawn = [_grid([(x(tick), tick) for tick in x_ticks], [(y(tick), tick) for tick in y_ticks])]
    middle = (TOP + BOTTOM) / 2
    upwards = f'text-anchor="middle" transform="rotate(-90 11 {middle})"'
    drawn.append(_text((LEFT + RIGHT) / 2, HEIGHT - 6, axes.x_label))
    drawn += [_text(11, middle, axes.y_label, upwards), *(_line(one, x, y) for one in series)]
    drawn += [_mark(mark, x(mark.x), y(mark.y)) for mark in marks]
    legend = "".join(
        f'<span><i class="{one.style}" style="--c:{one.colour}"></i>{escape(one.label)}</span>'
        for one in (*series, *marks)
    )
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(title)}">{"".join(drawn)}</svg>'
        f'<div class="legend">{legend}</div></figure>'
    )


def _place(value: float, within: Range, start: float, end: float) -> float:
    low, high = within
    return start + (value - low) / (high - low) * (end - start)


def _grid(columns: Sequence[Point], rows: Sequence[Point]) -> str:
    """Lines across the chart with their numbers: (place, number) for each."""
    lines = [(x, TOP, x, BOTTOM) for x, _ in columns] + [(LEFT, y, RIGHT, y) for y, _ in rows]
    drawn = [
        f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        for x1, y1, x2, y2 in lines
    ]
    drawn += [_text(x, BOTTOM + 15, f"{tick:g}") for x, tick in columns]
    drawn += [_text(LEFT - 6, y + 4, f"{tick:g}", 'text-anchor="end"') for y, tick in rows]
    return "".join(drawn)


def _text(x: float, y: float, text: str, style: str = 'text-anchor="middle"') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _line(series: Series, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    points = [(x(a), y(b)) for a, b in series.points if b is not None]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    dash = ' stroke-dasharray="5 4"' if series.style == "dashed" else ""
    drawn = [
        f'<polyline class="line" points="{path}" stroke="{series.colour}"{dash}>'
        f"<title>{escape(series.label)}</title></polyline>"
    ]
    for a, b in points if series.dots or len(points) == 1 else []:
        drawn.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{series.colour}"/>')
    return "".join(drawn)


def _mark(mark: Mark, x: float, y: float) -> str:
    title = f"<title>{escape(mark.label)}</title>"
    if mark.style == "bar":
        place = f'x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}"'
        return f'<line {place} stroke="{mark.colour}" stroke-dasharray="2 3">{title}</line>'
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="5"'
    fill = "#fff" if mark.style == "ring" else mark.colour
    return f'<circle {place} fill="{fill}" stroke="{mark.colour}" stroke-width="2">{title}</circle>'


def ticks(low: float, high: float, most: int = 6, least: float = 0.0) -> list[float]:
    """Round numbers within a range, in at most `most` steps, each of at least `least`."""
    rough = max((high - low) / most, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _range(values: Sequence[float]) -> Range:
    low, high = min(values), max(values)
    margin = max(abs(low) * 0.1, 0.5) if high - low < 1e-12 else 0.0
    return low - margin, high + margin

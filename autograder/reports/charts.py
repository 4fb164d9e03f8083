"""Pictures of numbers as SVG that a page's style sheet colors, for light and for dark.

No script and no style in them. Each picture comes in a wide and in a narrow drawing, so that its
letters are read on a phone, too; the style sheet shows one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

from markupsafe import Markup

from autograder.reports.safe import clean

__all__ = ["Entry", "histogram", "nice_step"]

HEIGHT, TOP, BOTTOM = 150, 34, 44
SMALLEST = 5.0  # a square for one student


@dataclass(frozen=True)
class Entry:
    """One value in a histogram; with a name and a link it can be pointed at."""

    value: float
    name: str = ""
    link: str = ""


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that cuts `span` into at most `most` parts."""
    if span <= 0:
        return 1
    scale = 10 ** math.floor(math.log10(span / most))
    return next(m * scale for m in (1, 2, 5, 10, 20) if m * scale * most >= span * (1 - 1e-9))


def histogram(entries: Sequence[Entry], high: float | None, axis: str, what: str) -> Markup:
    """How many have which value: a square for each student of a small class, a bar for many.

    Arguments:
        entries: the values, none of them negative.
        high: the end of the axis; None for one that a few far-off values do not stretch.
        axis: what is counted, with its unit.
        what: one sentence for those who do not see the picture.
    """
    drawings = [draw(entries, high, axis, what, *size) for size in (("wide", 720, 22), ("narrow", 350, 11))]
    return Markup("").join(drawings) if entries else Markup("")


def draw(entries: Sequence[Entry], high: float | None, axis: str, what: str, kind: str, width: int, most: int) -> Markup:
    values = sorted(e.value for e in entries)
    end = high if high is not None else min(values[-1], 1.6 * values[int(0.9 * (len(values) - 1))] or 1)
    step = nice_step(end, most)
    count = max(1, math.ceil(end / step - 1e-9))
    overflow = values[-1] > count * step
    bins: list[list[Entry]] = [[] for _ in range(count + overflow)]
    for entry in sorted(entries, key=lambda e: (e.value, e.name)):
        place = int(entry.value / step + 1e-9)
        bins[min(place, count - 1 if not overflow or entry.value <= count * step else count)].append(entry)
    column = width / len(bins)
    parts = [columns(bins, column), middle_line(median(values), step, column, len(bins), width), counts(bins, column)]
    parts.append(ticks(count, column, step, overflow))
    parts.append(f'<text class="label" x="{width / 2:.0f}" y="{TOP + HEIGHT + 38}">{escape(axis)}</text>')
    size = f'viewBox="-14 0 {width + 28} {TOP + HEIGHT + BOTTOM}"'
    return Markup(f'<svg class="chart {kind}" {size} role="img" aria-label="{escape(what)}">{"".join(parts)}</svg>')


def height_of_one(bins: Sequence[Sequence[Entry]]) -> float:
    return min(HEIGHT / max(map(len, bins)), 17.0)


def columns(bins: Sequence[Sequence[Entry]], column: float) -> str:
    """A stack of squares in each bin, or a bar where squares would be too small to see."""
    side, wide = height_of_one(bins), column - 4
    parts = []
    for number, entries in enumerate(bins):
        left, tall = number * column + 2, side * len(entries)
        if side >= SMALLEST:
            parts += [square(e, left, TOP + HEIGHT - side * (place + 1), wide, side - 1.5) for place, e in enumerate(entries)]
        elif entries:
            parts.append(f'<rect class="unit" x="{left:.1f}" y="{TOP + HEIGHT - tall:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>')
    return "".join(parts)


def counts(bins: Sequence[Sequence[Entry]], column: float) -> str:
    """The number above each column."""
    side = height_of_one(bins)
    places = ((n * column + column / 2, TOP + HEIGHT - side * len(b) - 5, len(b)) for n, b in enumerate(bins) if b)
    return "".join(f'<text class="count" x="{x:.1f}" y="{y:.1f}">{number}</text>' for x, y, number in places)


def square(entry: Entry, x: float, y: float, wide: float, tall: float) -> str:
    title = f"<title>{escape(clean(entry.name))}: {entry.value:g}</title>" if entry.name else ""
    rect = f'<rect class="unit" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" rx="2">{title}</rect>'
    return f'<a href="{escape(entry.link)}">{rect}</a>' if entry.link else rect


def ticks(count: int, column: float, step: float, overflow: bool) -> str:
    """The axis with a number at the edges of the bins; what is off it is called "more"."""
    base = TOP + HEIGHT
    parts = [f'<line class="axis" x1="0" x2="{(count + overflow) * column:.1f}" y1="{base}" y2="{base}"/>']
    for number in range(count + 1):
        x = number * column
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 4}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{base + 18}">{number * step:g}</text>')
    if overflow:
        parts.append(f'<text class="tick" x="{(count + 0.6) * column:.1f}" y="{base + 18}">more</text>')
    return "".join(parts)


def middle_line(value: float, step: float, column: float, count: int, width: int) -> str:
    x = min(value / step, count) * column
    anchor = "start" if x < 60 else "end" if x > width - 60 else "middle"
    return (
        f'<line class="median" x1="{x:.1f}" x2="{x:.1f}" y1="16" y2="{TOP + HEIGHT}"/>'
        f'<text class="median {anchor}" x="{x:.1f}" y="11">median {value:.3g}</text>'
    )

"""Plots as numbers for SVG: bars over time with a scale that people can read. Pure; templates draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 100
"""Of a plot in its own units. The page stretches it, so that words stand beside it and not in it."""
_GAP = 0.18  # of a bar's room
_MOST_TICKS = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: where it stands, and what a pointer on it is told."""

    x: float
    y: float
    width: float
    height: float
    title: str
    below: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Everything that a template needs to draw bars over time."""

    width: int
    height: int
    zero: float
    """Height at which the bars stand."""
    bars: tuple[Bar, ...]
    rows: tuple[str, ...]
    """Words at the upper and at the lower end of the scale."""
    columns: tuple[str, ...]
    """Words of moments at even distances, the first and the last ones among them."""
    summary: str
    """What the plot says, in words."""


def bars(
    points: Sequence[tuple[str, int]], *, summary: str, below: Sequence[int] = (), names: tuple[str, str] = ("", "")
) -> Plot:
    """Return bars for (words of the moment, number) in order; `below`, as many numbers, hang from the same line.

    `names` are the words of the numbers above and below, for pointers. All numbers are 0 or more.
    """
    highest = nice(max((number for _, number in points), default=0))
    lowest = nice(max(below)) if any(below) else 0
    scale = HEIGHT / (highest + lowest)
    zero = highest * scale
    step = WIDTH / max(len(points), 1)
    width = round(step * (1 - _GAP), 2)
    found = []
    for index, (words, number) in enumerate(points):
        x = round(index * step + step * _GAP / 2, 2)
        if number:
            high = round(max(number * scale, 0.6), 2)
            found.append(Bar(x, round(zero - high, 2), width, high, f"{words}: {number:,} {names[0]}".rstrip()))
        if below and below[index]:
            high = round(max(below[index] * scale, 0.6), 2)
            title = f"{words}: {below[index]:,} {names[1]}".rstrip()
            found.append(Bar(x, round(zero, 2), width, high, title, below=True))
    last = len(points) - 1
    ticks = min(_MOST_TICKS, len(points))
    columns = [points[round(index * last / max(ticks - 1, 1))][0] for index in range(ticks)]
    return Plot(
        width=WIDTH,
        height=HEIGHT,
        zero=round(zero, 2),
        bars=tuple(found),
        rows=(f"{highest:,}", f"{lowest:,}" if lowest else "0"),
        columns=tuple(columns),
        summary=summary,
    )


def nice(number: int) -> int:
    """Return the least of 1, 2, 5, 10, 20, 50 … that is not less."""
    base = 1
    while True:
        for factor in (1, 2, 5):
            if factor * base >= number:
                return factor * base
        base *= 10


def shares(parts: Sequence[tuple[str, int]]) -> list[tuple[str, int, float, float]]:
    """Return (name, number, begin, width) of each part of a bar that is 100 wide; parts of nothing are left out.

    A part that is there is seen: it is at least half a hundredth wide.
    """
    total = sum(number for _, number in parts)
    least = 0.5
    there = [(name, number) for name, number in parts if number]
    wide = [max(100 * number / total, least) for _, number in there]
    scale = 100 / sum(wide) if wide else 1
    found, begin = [], 0.0
    for (name, number), width in zip(there, wide, strict=True):
        found.append((name, number, round(begin, 3), round(width * scale, 3)))
        begin += width * scale
    return found

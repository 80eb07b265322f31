"""What a plot is made of: lines, areas and words at places in pixels, and axes that say units.

A `Picture` is a list of shapes and nothing else; `forewarn.backtest.svg` and
`forewarn.backtest.png` each know how to draw the list. Colours are the console's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

WIDTH: Final = 960
HEIGHT: Final = 250  # of one panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 16, 34, 28  # margins
INK, DIM, GRID, PAPER = "#1c2733", "#66717d", "#e3e7eb", "#ffffff"
BLUE, RED, ORANGE, GREEN, BAND = "#2463a8", "#c0392b", "#d98a1f", "#2e8b57", "#b9d2ee"
_STEPS: Final = (
    *(60, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400),
    *(172_800, 345_600, 604_800, 1_209_600, 2_592_000, 7_776_000, 31_536_000),
)

Points = Sequence[tuple[float, float]]


class Stroke(NamedTuple):
    """An open line."""

    points: Points
    colour: str
    width: float = 1.2
    dashed: bool = False


class Fill(NamedTuple):
    """A closed area."""

    points: Points
    colour: str
    opacity: float = 1.0


class Words(NamedTuple):
    """Text on one line."""

    x: float
    y: float  # of the baseline
    text: str
    colour: str = DIM
    anchor: Literal["start", "middle", "end"] = "start"


Shape = Stroke | Fill | Words


class Picture(NamedTuple):
    """Shapes in the order in which they are drawn."""

    width: int
    height: int
    shapes: list[Shape]


class Panel:
    """One plot of a picture: a window of time and value with axes.

    Parameters
    ----------
    place
        Number of the panel, from the top.
    times, values
        What must be inside; numbers that are not finite are passed over.
    """

    def __init__(
        self, place: int, title: str, times: Iterable[float], values: Iterable[float]
    ) -> None:
        self._top = place * HEIGHT + _TOP
        self._bottom = (place + 1) * HEIGHT - _BOTTOM
        self._t0, self._t1 = _span(times)
        low, high = _span(values)
        self._v0, self._v1 = low - 0.04 * (high - low), high + 0.06 * (high - low)
        self.shapes: list[Shape] = [Words(_LEFT, self._top - 12, title, INK)]
        self._axes()

    def x(self, at: float) -> float:
        """Return the place of a time."""
        share = (at - self._t0) / (self._t1 - self._t0)
        return _LEFT + min(max(share, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Return the place of a value, kept inside."""
        share = (value - self._v0) / (self._v1 - self._v0)
        return self._bottom - min(max(share, 0.0), 1.0) * (self._bottom - self._top)

    def line(
        self, points: Points, colour: str, width: float = 1.2, *, dashed: bool = False
    ) -> None:
        """Draw a line; a value that is not finite leaves a gap."""
        run: list[tuple[float, float]] = []
        for at, value in points:
            if math.isfinite(value):
                run.append((self.x(at), self.y(value)))
            elif run:
                self.shapes.append(Stroke(run, colour, width, dashed))
                run = []
        if run:
            self.shapes.append(Stroke(run, colour, width, dashed))

    def area(self, points: Points, colour: str, opacity: float) -> None:
        """Fill between points, given in times and values."""
        places = [(self.x(at), self.y(value)) for at, value in points]
        self.shapes.append(Fill(places, colour, opacity))

    def span(self, since: float, until: float, colour: str, opacity: float = 0.18) -> None:
        """Shade a span of time over the whole height."""
        left, right = self.x(since), max(self.x(until), self.x(since) + 1.5)
        corners = [
            *((left, self._top), (right, self._top)),
            *((right, self._bottom), (left, self._bottom)),
        ]
        self.shapes.append(Fill(corners, colour, opacity))

    def mark(self, at: float, colour: str) -> None:
        """Draw a mark at the top edge."""
        x, top = self.x(at), float(self._top)
        self.shapes.append(Fill([(x - 4, top - 8), (x + 4, top - 8), (x, top)], colour))

    def _axes(self) -> None:
        step = _nice((self._v1 - self._v0) / 4)
        value = math.ceil(self._v0 / step) * step
        while value <= self._v1:
            y = self.y(value)
            self.shapes.append(Stroke([(_LEFT, y), (WIDTH - _RIGHT, y)], GRID, 1.0))
            self.shapes.append(Words(_LEFT - 8, y + 4, number(value), anchor="end"))
            value += step
        length = self._t1 - self._t0
        every = next((s for s in _STEPS if length / s <= 7), _STEPS[-1])
        at = math.ceil(self._t0 / every) * every
        while at <= self._t1:
            x = self.x(at)
            self.shapes.append(Stroke([(x, self._bottom), (x, self._bottom + 4)], DIM, 1.0))
            form = "%b %d" if every >= 86_400 else "%b %d %H:%M"
            text = datetime.fromtimestamp(at, UTC).strftime(form)
            if x < WIDTH - 60:
                self.shapes.append(Words(x, self._bottom + 18, text, anchor="middle"))
            at += every
        corner = [(_LEFT, self._top), (_LEFT, self._bottom), (WIDTH - _RIGHT, self._bottom)]
        self.shapes.append(Stroke(corner, DIM, 1.0))


def number(value: float) -> str:
    """Return a number as an axis says it.

    Examples
    --------
    >>> number(0.25), number(1500.0), number(3.2e9), number(-0.0)
    ('0.25', '1500', '3.2G', '0')
    """
    for name, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if abs(value) >= size:
            return f"{value / (size if size != 1e4 else 1e3):.4g}{name}"
    return f"{round(value, 10) + 0.0:.4g}"


def _span(numbers: Iterable[float]) -> tuple[float, float]:
    known = [n for n in numbers if math.isfinite(n)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _nice(step: float) -> float:
    """Return the next of 1, 2, 2.5, 5 × 10^n."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-12)))
    return next(power * k for k in (1.0, 2.0, 2.5, 5.0, 10.0) if power * k >= step * 0.999)

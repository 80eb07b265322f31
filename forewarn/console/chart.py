"""Geometry of the charts: numbers in, SVG paths and percentages out.

There is one drawing code for the page that the server renders and for the page that the browser
keeps alive: paths live in a square of 1,000 × 1,000 units that the page stretches, texts and marks
are placed in percent, so nothing is distorted at any width and no style attribute is needed, which
the Content-Security-Policy would refuse.

Left to others: words (`forewarn.console.words`), colours (the style sheet), what to draw
(`forewarn.console.view`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from forewarn.console import words
from forewarn.console.series import Said, Series, shifted
from stream.records import Forecast

_SIDE: Final = 1000.0
_POINTS: Final = 240  # of the large plot: about one every four pixels
_STEPS: Final = (60, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800)
_LONGEST: Final = 72 * 3600.0  # a plot further ahead says nothing that one would act on

Pairs = Sequence[tuple[float, float]]


class Frame(NamedTuple):
    """The window of time and value that is drawn."""

    t0: float
    t1: float
    v0: float
    v1: float

    def x(self, at: float) -> float:
        """Return the place of a time, in units of the square."""
        return (at - self.t0) / max(1e-9, self.t1 - self.t0) * _SIDE

    def y(self, value: float) -> float:
        """Return the place of a value, counted from the top, kept near the square."""
        share = (value - self.v0) / max(1e-12, self.v1 - self.v0)
        return min(2.0, max(-1.0, 1.0 - share)) * _SIDE

    def at_x(self, at: float) -> str:
        """Return the place of a time as a percentage."""
        return f"{self.x(at) / _SIDE * 100:.2f}%"

    def at_y(self, value: float) -> str:
        """Return the place of a value as a percentage."""
        return f"{self.y(value) / _SIDE * 100:.2f}%"


def line(frame: Frame, points: Iterable[tuple[float, float]]) -> str:
    """Return an open path through `points`; values that are no numbers leave a gap."""
    text: list[str] = []
    pen = "M"
    for at, value in points:
        if not math.isfinite(value):
            pen = "M"
            continue
        text.append(f"{pen}{frame.x(at):.1f} {frame.y(value):.1f}")
        pen = "L"
    return "".join(text)


def area(frame: Frame, low: Pairs, high: Pairs) -> str:
    """Return the closed path between two lines over the same times."""
    forth = line(frame, low)
    if not forth:
        return ""
    return forth + line(frame, list(reversed(high))).replace("M", "L", 1) + "Z"


def path_of(forecast: Forecast, last: float) -> tuple[Pairs, Pairs, Pairs]:
    """Return mean, lower and upper line of a forecast, from its own time to `last`."""
    start = (forecast.at, forecast.value)
    mean, lower, upper = [start], [start], [start]
    rows = zip(forecast.horizons, forecast.mean, forecast.lower, forecast.upper, strict=False)
    for after, middle, low, high in rows:
        at = forecast.at + after
        mean.append((at, middle))
        lower.append((at, low))
        upper.append((at, high))
        if at > last:
            break
    return mean, lower, upper


def spark(series: Series, now: float) -> dict[str, str]:
    """Return the small picture of one series: a third is future, the limit is the upper rule."""
    latest = series.latest
    ahead = _ahead(latest, now)
    behind = min(2.0 * ahead, max(1800.0, now - series.since))
    points = series.points(now - behind, 48)
    mean, lower, upper = path_of(latest, now + ahead)
    top = max(latest.limit, *(value for _, value in points)) * 1.08
    low = min(value for _, value in points)
    frame = Frame(now - behind, now + ahead, max(0.0, low - 0.2 * (top - low)), top)
    return {
        "history": line(frame, points),
        "band": area(frame, lower, upper),
        "mean": line(frame, mean),
        "limit": line(frame, [(frame.t0, latest.limit), (frame.t1, latest.limit)]),
    }


def plot(series: Series, said: Said | None, now: float) -> dict[str, Any]:
    """Return the large picture: what was, what is said, what was said `said.forecast.at` ago."""
    latest = series.latest
    ahead = _ahead(latest, now)
    behind = max(1.3 * ahead, 1.25 * (now - said.forecast.at) if said else 0.0)
    behind = min(behind, max(900.0, now - series.since))
    frame = _frame(series, said, now - behind, now + ahead)
    mean, lower, upper = path_of(latest, frame.t1)
    points = series.points(frame.t0, _POINTS)
    drawn: dict[str, Any] = {
        "frame": {"t0": frame.t0, "t1": frame.t1, "v0": frame.v0, "v1": frame.v1},
        "points": [[round(at, 1), value] for at, value in points if at >= frame.t0],
        "path": [
            [round(at, 1), value, low, high]
            for (at, value), (_, low), (_, high) in zip(mean, lower, upper, strict=True)
        ],
        "history": line(frame, points),
        "band": area(frame, lower, upper),
        "mean": line(frame, mean),
        "past_band": "",
        "past_mean": "",
        "past_x": "-10%",
        "past_y": "-10%",
        "limit_y": frame.at_y(latest.limit),
        "now_x": frame.at_x(now),
        "last_x": frame.at_x(points[-1][0]),
        "last_y": frame.at_y(points[-1][1]),
        "grid_y": _grid_y(frame, latest),
        "grid_x": _grid_x(frame),
        "cross": _cross(frame, latest, now),
    }
    if said is not None:
        middle, low, high = path_of(said.forecast, frame.t1)
        drawn["past_band"] = area(frame, low, high)
        drawn["past_mean"] = line(frame, middle)
        drawn["past_x"] = frame.at_x(said.forecast.at)
        drawn["past_y"] = frame.at_y(said.forecast.value)
    return drawn


def _ahead(forecast: Forecast, now: float) -> float:
    """Return how far ahead to look: past the end of the band of the crossing, in round terms."""
    p50 = shifted(forecast.p50, forecast.at, now)
    p90 = shifted(forecast.p90, forecast.at, now)
    reach = forecast.horizons[-1] if forecast.horizons else 6 * 3600.0
    if p50 is None:
        wanted = reach
    else:
        wanted = 1.2 * max(p50, min(p90 if p90 is not None else 2.0 * p50, 2.5 * p50))
    return min(max(wanted, 1800.0), max(reach, 1800.0), _LONGEST)


def _frame(series: Series, said: Said | None, t0: float, t1: float) -> Frame:
    latest = series.latest
    values = [value for _, value in series.points(t0, _POINTS)]
    _, lower, upper = path_of(latest, t1)
    low = min(*values, latest.value, *(value for at, value in lower if at <= t1))
    # The band may fly far over the limit: what lies there is beyond the point of interest.
    ceiling = max(latest.limit * 1.12, *(value * 1.05 for value in values))
    high = max(latest.limit * 1.06, min(ceiling, max(value for _, value in upper)))
    if said is not None:
        _, past, _ = path_of(said.forecast, t1)
        low = min(low, *(value for at, value in past if at <= t1))
    low = low - 0.12 * (high - low)
    return Frame(t0, t1, 0.0 if low < 0.15 * high else low, high)


def _cross(frame: Frame, forecast: Forecast, now: float) -> dict[str, Any]:
    """Return the mark where the limit is met, with the bracket of its P10 and P90."""
    if forecast.p50 is None:
        return {"show": False, "x": "-10%", "x0": "-10%", "x1": "-10%", "at": 0.0, "anchor": "end"}
    at = forecast.at + forecast.p50
    first = forecast.at + (forecast.p10 if forecast.p10 is not None else forecast.p50)
    last = forecast.at + forecast.p90 if forecast.p90 is not None else frame.t1
    return {
        "show": True,
        "x": frame.at_x(min(at, frame.t1)),
        "x0": frame.at_x(max(first, now)),
        "x1": frame.at_x(min(last, frame.t1)),
        "at": at,
        "anchor": "end" if frame.x(at) > 0.6 * _SIDE else "start",
    }


def _grid_y(frame: Frame, forecast: Forecast) -> list[dict[str, Any]]:
    base = 1024.0 if forecast.unit == "bytes" else 1000.0
    scale = base ** max(0, math.floor(math.log(max(frame.v1, 1e-9), base)))
    step = _nice((frame.v1 - frame.v0) / 4.0 / scale) * scale
    first = math.ceil(frame.v0 / step)
    rows = []
    for index in range(first, first + 7):
        value = index * step
        place = frame.y(value) / _SIDE
        # A line under the limit's own label or at the very edge would only clutter.
        near = abs(frame.y(value) - frame.y(forecast.limit)) < 0.07 * _SIDE
        if 0.04 < place < 0.985 and not near:
            text = words.amount(value, forecast.unit)
            rows.append({"key": f"y{index}", "y": frame.at_y(value), "text": text})
    return rows


def _grid_x(frame: Frame) -> list[dict[str, Any]]:
    step = next((s for s in _STEPS if (frame.t1 - frame.t0) / s <= 7), _STEPS[-1])
    first = math.ceil((frame.t0 + 0.03 * (frame.t1 - frame.t0)) / step)
    ticks = []
    for index in range(first, first + 9):
        at = index * step
        if frame.x(at) <= 0.96 * _SIDE:
            days = step >= 86_400
            text = words.tick(at, days)
            ticks.append(
                {"key": f"x{at}", "x": frame.at_x(at), "at": float(at), "text": text}
                | {"days": "true" if days else "false"}
            )
    return ticks


def _nice(step: float) -> float:
    """Return the next of 1, 2, 2.5, 5 × 10^n."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-12)))
    return next(power * k for k in (1.0, 2.0, 2.5, 5.0, 10.0) if power * k >= step * 0.999)

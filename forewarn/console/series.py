"""One forecast series as the page needs it: its past, what is said now, what was said before.

Memory is bounded whatever runs: a history holds at most `KEEP` points and thins its older half when
it is full, so it reaches ever further back with ever fewer points; of the forecasts made earlier it
keeps `FORECASTS`, evenly enough that one close to any "N hours ago" is there.

Left to others: which series are kept at all (`forewarn.console.feed`), how they are drawn
(`forewarn.console.chart`).
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from stream.records import Forecast

KEEP: Final = 2000  # points of an interesting series
BRIEF: Final = 240  # points of one that nobody asks for: enough for a sparkline
FORECASTS: Final = 120  # earlier forecasts with their bands
SPACING: Final = 300.0  # seconds of event time between two kept forecasts, doubled when full

_SELDOM: Final = 7 * 3600.0  # what is of no interest is forecast every six hours
_RESERVING: Final = ("disk", "image-disk", "volume")
_PASSING: Final = ("node", "workload")  # labels that say where a series is, not which it is


class History:
    """Points of one series in the order of time; the older half thins when it is full.

    Examples
    --------
    >>> history = History(keep=4)
    >>> for at in range(6):
    ...     history.add(float(at), at * 10.0)
    >>> list(history.times)
    [0.0, 3.0, 4.0, 5.0]
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.times = array("d")
        self.values = array("d")

    def add(self, at: float, value: float) -> None:
        """Append a point; the same time overwrites, an older one is put in its place."""
        if self.times and at <= self.times[-1]:
            index = bisect_left(self.times, at)
            if self.times[index] == at:
                self.values[index] = value
                return
            self.times.insert(index, at)
            self.values.insert(index, value)
        else:
            self.times.append(at)
            self.values.append(value)
        if len(self.times) > self.keep:
            self._thin()

    def resize(self, keep: int) -> None:
        """Hold at most `keep` points from now on."""
        self.keep = keep
        while len(self.times) > keep:
            self._thin()

    def since(self, start: float, most: int) -> list[tuple[float, float]]:
        """Return the points from `start` on, at most about `most`: extremes of each bucket stay.

        Plain skipping would hide a short spike; a bucket gives its lowest and highest point.
        """
        first = max(0, bisect_right(self.times, start) - 1)
        points = list(zip(self.times[first:], self.values[first:], strict=True))
        if len(points) <= most:
            return points
        width = max(2, 2 * len(points) // most)
        kept: list[tuple[float, float]] = []
        for low in range(0, len(points), width):
            bucket = points[low : low + width]
            ends = {min(bucket, key=_value), max(bucket, key=_value)}
            kept.extend(sorted(ends))
        if kept[-1] != points[-1]:
            kept.append(points[-1])
        return kept

    def _thin(self) -> None:
        half = len(self.times) // 2
        if half < 2:
            del self.times[0], self.values[0]
            return
        self.times = self.times[:half:2] + self.times[half:]
        self.values = self.values[:half:2] + self.values[half:]


def _value(point: tuple[float, float]) -> float:
    return point[1]


class Said(NamedTuple):
    """A forecast made earlier and how it fared."""

    forecast: Forecast
    inside: float | None  # share of what happened since that lies in its band; None: too soon


class Series:
    """One series: its latest forecast, its history, earlier forecasts.

    Parameters
    ----------
    forecast
        The first that was said of it.
    measured
        Points of the same series, kept by somebody else; None where there are none.
    """

    def __init__(self, forecast: Forecast, measured: History | None = None) -> None:
        self.id = series_id(forecast)
        self.latest = forecast
        self.measured = measured
        self._own = History(BRIEF)
        self._gap = _SELDOM / 3.0  # shortest time between two forecasts
        self._shift: float | None = None  # what the points lack to the forecast; None: unlike
        self._earlier: list[Forecast] = []
        self._spacing = SPACING
        self.add(forecast)

    @property
    def keep(self) -> int:
        """How many points it keeps at most."""
        return self._own.keep

    def resize(self, keep: int) -> None:
        """Keep at most `keep` points from now on."""
        self._own.resize(keep)
        if self.measured is not None:
            self.measured.resize(max(keep, BRIEF))

    def add(self, forecast: Forecast) -> None:
        """Take the next forecast; an older one than the latest is history only."""
        self._own.add(forecast.at, forecast.value)
        if forecast.at < self.latest.at:
            return
        if forecast.at > self.latest.at:
            self._gap = min(self._gap, forecast.at - self.latest.at)
        self.latest = forecast
        self._shift = self._compared(forecast)
        if not forecast.horizons:
            return
        if not self._earlier or forecast.at >= self._earlier[-1].at + self._spacing:
            self._earlier.append(forecast)
            if len(self._earlier) > FORECASTS:
                self._earlier = self._earlier[::2]
                self._spacing *= 2.0

    def points(self, start: float, most: int) -> list[tuple[float, float]]:
        """Return the history from `start` on, at most about `most` points; never none."""
        if self.measured is None or self._shift is None:
            return self._own.since(start, most)
        shift = self._shift
        return [(at, value + shift) for at, value in self.measured.since(start, most)]

    @property
    def since(self) -> float:
        """When its history begins."""
        shown = self._own if self.measured is None or self._shift is None else self.measured
        return shown.times[0]

    def time_left(self, now: float) -> float | None:
        """Return the seconds to the limit (P50) as of `now`; None where none is foreseen."""
        return shifted(self.latest.p50, self.latest.at, now)

    @property
    def is_exhausted(self) -> bool:
        """Whether the limit has been met as measured, not only as foreseen."""
        return self.latest.p50 == 0 or self.latest.value >= self.latest.limit

    def is_told(self, now: float) -> bool:
        """Whether it is still spoken of: what is at risk is forecast at every slot."""
        return now - self.latest.at <= max(1800.0, 3.0 * self._gap)

    def said(self, ago: float) -> Said | None:
        """Return the forecast made about `ago` seconds before the latest, with its record.

        None where none is that old; the next older one stands in for one that was thinned away.
        """
        wanted = self.latest.at - ago
        older = [f for f in self._earlier if f.at <= wanted + 0.5 * SPACING]
        if not older:
            return None
        return Said(older[-1], self._inside(older[-1]))

    def _compared(self, forecast: Forecast) -> float | None:
        """Return what to add to the points so that they meet the forecast's value.

        A disk's points leave out what the file system reserves, a constant. Points that are
        further off are of something else (the highest of several pods) and are not shown.
        """
        if self.measured is None or not self.measured.times:
            return None
        index = max(0, bisect_right(self.measured.times, forecast.at) - 1)
        lacking = forecast.value - self.measured.values[index]
        near = 0.1 if forecast.resource in _RESERVING else 0.03
        if abs(lacking) > near * forecast.limit:
            return None
        return lacking if forecast.resource in _RESERVING else 0.0

    def _inside(self, forecast: Forecast) -> float | None:
        good = seen = 0
        for at, value in self.points(forecast.at, 2 * KEEP):
            band = band_at(forecast, at) if at > forecast.at else None
            if band is not None:
                seen += 1
                good += band[0] <= value <= band[1]
        return good / seen if seen >= 3 else None


def shifted(seconds: float | None, made_at: float, now: float) -> float | None:
    """Return a time left, said at `made_at`, as of `now`; never below zero."""
    return None if seconds is None else max(0.0, seconds - max(0.0, now - made_at))


def band_at(forecast: Forecast, at: float) -> tuple[float, float] | None:
    """Return P10 and P90 of the value at time `at`, linear between horizons; None beyond them."""
    after = at - forecast.at
    steps: Sequence[float] = forecast.horizons
    if not steps or not 0.0 <= after <= steps[-1]:
        return None
    right = bisect_left(steps, after)
    x0, low0, high0 = 0.0, forecast.value, forecast.value
    if right > 0:
        x0, low0, high0 = steps[right - 1], forecast.lower[right - 1], forecast.upper[right - 1]
    x1, low1, high1 = steps[right], forecast.lower[right], forecast.upper[right]
    part = 0.0 if x1 == x0 else (after - x0) / (x1 - x0)
    return low0 + part * (low1 - low0), high0 + part * (high1 - high0)


def series_id(forecast: Forecast) -> str:
    """Return a short name for the series, stable between runs, safe in a URL."""
    ref = forecast.object
    parts = [forecast.cluster, ref.kind, ref.namespace, ref.name, forecast.resource]
    parts += [
        f"{key}={forecast.labels[key]}" for key in sorted(forecast.labels) if key not in _PASSING
    ]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()

"""One key's flow of events in plain scalars: what a row of `models.events.EventBank` must equal.

Written as one would say it: buckets are closed one at a time, empty ones too, instead of in closed
form.
"""

from __future__ import annotations

import math

from models.events import (
    DAY,
    EPISODE,
    HALF_LIFE,
    LEVELS,
    LIFETIME,
    MATURE,
    MEAN_HALF_LIFE,
    PRIOR_DAYS,
    PRIOR_RATE,
    TAIL,
    TAIL_WEIGHT,
)

WINDOWS = (300.0, 1800.0, 10_800.0)


class _Window:
    """Two buckets of one length, and the moments of the buckets that are full."""

    def __init__(self, length: float) -> None:
        self.length = length
        self.keep = 2.0 ** (-length / DAY / MEAN_HALF_LIFE)
        self.current = self.previous = 0.0
        self.bucket: float | None = None
        self.total = self.square = self.seen = 0.0

    def moments(self) -> tuple[float, float]:
        n = max(self.seen, 1.0)
        mean = self.total / n
        return mean, math.sqrt(max(self.square / n - mean * mean, 0.0))

    def close(self) -> None:
        mean, deviation = self.moments()
        value = min(self.current, mean + 6.0 * deviation + 3.0)
        self.total = self.total * self.keep + value
        self.square = self.square * self.keep + value * value
        self.seen = self.seen * self.keep + 1.0
        self.previous, self.current = self.current, 0.0

    def advance(self, time: float) -> None:
        number = math.floor(time / self.length)
        if self.bucket is None:
            self.bucket = number
        while self.bucket < number:
            self.close()
            self.bucket += 1

    def count(self, time: float) -> float:
        if self.bucket is None:
            return 0.0
        phase = min(max(time / self.length - self.bucket, 0.0), 1.0)
        return self.current + self.previous * (1.0 - phase)


class EventFlow:
    """The flow of one key; the verbs of the bank, one row at a time."""

    def __init__(self) -> None:
        self.windows = [_Window(length) for length in WINDOWS]
        self.crossings = [0.0] * LEVELS
        self.exposure = 0.0
        self.until: float | None = None
        self.top = -1
        self.began = 0.0

    def credit_one(self, days: float, time: float) -> None:
        """Learn that a new key was silent for `days` before `time`."""
        self.exposure = LIFETIME * (1.0 - 2.0 ** (-days / HALF_LIFE))
        self.until = time
        for window in self.windows:
            window.bucket = math.floor(time / window.length)
            for _ in range(math.floor(days * DAY / window.length)):
                window.seen = window.seen * window.keep + 1.0

    def learn_one(self, count: float, time: float, weight: float) -> None:
        """Learn `count` more events at `time`."""
        if not all(map(math.isfinite, (count, time, weight))) or count < 0:
            return
        time = time if self.until is None else max(time, self.until)
        days = 0.0 if self.until is None else (time - self.until) / DAY
        keep = 2.0 ** (-days / HALF_LIFE)
        self.exposure = self.exposure * keep + LIFETIME * (1.0 - keep)
        self.crossings = [crossing * keep for crossing in self.crossings]
        for window in self.windows:
            window.advance(time)
        quiet = _level(self.windows[1].count(time))
        if quiet < 0 or quiet < self.top - 2 or time - self.began >= EPISODE:
            for crossed in range(self.top + 1):
                self.crossings[crossed] += weight
            self.top = -1
        for window in self.windows:
            window.current += count
        level = _level(self.windows[1].count(time))
        if self.top < 0 <= level:
            self.began = time
        self.top = max(self.top, level)
        self.until = time

    def excess(self) -> tuple[float, ...]:
        """Return by how many deviations the half-hour and three-hour counts are high."""
        out = []
        for window in self.windows[1:]:
            mean, deviation = window.moments()
            z = (window.count(self.until or 0.0) - mean) / math.sqrt(
                deviation**2 + 0.25 * mean**2 + 1.0
            )
            out.append(0.0 if window.seen * window.length / DAY < MATURE else z)
        return tuple(out)

    def return_period(self) -> float:
        """Return −log10 of the daily rate at which the episode's level is reached."""
        if self.top < 0:
            return 0.0
        rate = (self.crossings[0] + PRIOR_DAYS * PRIOR_RATE) / (self.exposure + PRIOR_DAYS)
        for level in range(1, self.top + 1):
            passed = (self.crossings[level] + TAIL_WEIGHT * TAIL) / (
                self.crossings[level - 1] + TAIL_WEIGHT
            )
            rate *= min(passed, 1.0)
        return -math.log10(rate)


def _level(count: float) -> int:
    if count < 1.0:
        return -1
    return min(math.floor(2.0 * math.log2(count) + 1e-9), LEVELS - 1)

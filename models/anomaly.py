"""How odd one sample of a series is: one configuration and one threshold for any kind of series.

Three kinds of evidence are joined, none of which assumes a distribution or a period beyond the day:

- *context*: the smoothed value is far from its level of two days, from what it was an hour or two
  ago, **and** from what it usually is at this time of day; all three must agree;
- *records*: the value, its distance from the time of day, or its momentum is outside all that was
  ever seen; the longer the series is known, the more that means;
- *rarity*: the value lies where hardly any value has been, which catches gaps inside the range.

The score is their root sum of squares; what is said passes the *record rule*: having spoken, a
series speaks again only half as strongly again, or after sixteen hours. Until two full days are
known the score is another: by how much the jumps of late exceed the usual ones (the likelihood
form), because level, time of day and records mean nothing yet.

The figures are for ranking (causes, "what was odd in this window"): a score is evidence, not an
alert of its own. Every equation uses the real time between samples; NaN, repeated and late samples
are skipped. `models.anomaly_reference` is one row of the same, readable.

References
----------
[1] A. Lavin, S. Ahmad, Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly
    Benchmark (2015), III-B: the likelihood of short-term against long-term error.
[2] G. E. P. Box, G. M. Jenkins, Time Series Analysis (1970), 9: comparing with the same hour.
[3] P. J. Huber, Robust Estimation of a Location Parameter (1964): winsorised residuals.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.base import Bools, Floats, Rows, Schema, StructOfArrays

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
THRESHOLD: Final = 0.21  # of what is said: from here a score is worth a notification
SMOOTH: Final = HOUR  # time constant of the smoothed value: shorter than what people call an event
LEVEL: Final = 48 * HOUR  # time constant of level and variances
LAG: Final = HOUR  # the value of one to two lags ago is compared with
BINS: Final = 24  # hours of the day
PROFILE_SHARE: Final = 0.2  # of a day's profile is new each day, more while it is young
WARM: Final = 50  # samples before variances are believed, and the histogram's scale is fixed
KNOWN: Final = 100  # samples before records and rarity mean anything
OLD: Final = 2000.0  # samples after which a record counts in full
WINSOR: Final = 4.0  # standard deviations
CAP_Z: Final = 12.0  # standard deviations beyond which more says nothing
CONTEXT_LEAST: Final = 0.18
RARITY_LEAST: Final = 0.4
CELLS: Final = 41  # of the histogram
HISTORY: Final = 8000.0  # counts after which the histogram is halved
FAST, SLOW = 0.1, 0.02  # rates a sample of the two means whose difference is the momentum
WEIGHTS: Final = (1.0, 0.5, 0.5, 0.3, 0.3)  # value, by time of day, momentum, context, rarity
LOUDER: Final = 1.5  # times the last score said, to speak again
SILENT_SAMPLES, SILENT_SECONDS = 12, 16 * HOUR  # after which it is forgotten what was said
YOUNG: Final = 2 * DAY  # below this age the likelihood form speaks
YOUNG_SHORT: Final = 0.1  # rate of the short-term mean of jumps: some ten samples
YOUNG_SURE: Final = 5.0  # −log10 of the tail at which the likelihood form reaches the threshold
_LN10: Final = float(np.log(10.0))
_TINY: Final = 1e-12


class Oddity(NamedTuple):
    """How odd samples were, (n,) each.

    Attributes
    ----------
    score
        What is said: 0 where the record rule keeps silent.
    raw
        Before the record rule.
    parts : (n, 5)
        What the raw score is the root sum of squares of: value, by time of day, momentum, context,
        rarity. For a young series the jump is the first part, and the only one.
    young
        Whether the likelihood form has spoken.
    """

    score: Floats
    raw: Floats
    parts: Floats
    young: Bools

    @property
    def notify(self) -> Bools:
        """Whether what is said reaches the threshold."""
        enough: Bools = self.score >= THRESHOLD
        return enough


class AnomalyBank(StructOfArrays):
    """Oddity of many series, a row each.

    Parameters
    ----------
    capacity
        Rows to begin with.
    dtype
        Of all but times; float32 for size (under 450 bytes a row), float64 to be compared with
        the reference. Arithmetic is in float64.

    Examples
    --------
    >>> bank, row = AnomalyBank(1), np.zeros(1, np.intp)
    >>> for i in range(2000):
    ...     said = bank.learn_many(row, np.array([300.0 * i]), np.array([float(i % 7)]))
    >>> bank.learn_many(row, np.array([300.0 * 2000]), np.array([40.0])).notify.tolist()
    [True]
    """

    def __init__(self, capacity: int, dtype: DTypeLike = np.float32) -> None:
        real, wide, count = np.dtype(dtype), np.dtype(np.float64), np.dtype(np.int32)
        schema: Schema = {
            "time": (wide, (), np.nan),  # of the newest sample, s; NaN: none
            "start": (wide, (), np.nan),
            "seen": (count, (), 0),  # samples
            "step": (real, (), np.nan),  # robust mean time between samples, s
            # context: smoothed value, the values of one and two lags ago, level, variances
            "smooth": (real, (), np.nan),
            "anchor_time": (wide, (), np.nan),
            "anchors": (real, (2,), np.nan),  # newer, older
            "level": (real, (), np.nan),
            "variances": (real, (3,), 0.0),  # of level, lag and time-of-day residuals
            "usual": (real, (), 0.0),  # mean square of the context's tails
            "profile": (real, (BINS,), np.nan),
            # records
            "means": (real, (2,), np.nan),  # fast, slow
            "highest": (real, (3,), -np.inf),
            "lowest": (real, (3,), np.inf),
            # rarity: first mean and scale, then counts
            "centre": (real, (), 0.0),
            "scale": (real, (), 0.0),  # sum of squares until it is fixed
            "counted": (real, (), 0.0),
            "cells": (real, (CELLS,), 0.0),
            # jumps, for young series: short-term mean, long-term mean and variance
            "last": (real, (), np.nan),
            "jumps": (real, (3,), 0.0),
            # what was said last: score, samples ago, when
            "said": (real, (), 0.0),
            "since": (count, (), 0),
            "said_at": (wide, (), -np.inf),
        }
        super().__init__(schema, capacity)

    def learn_many(self, rows: Rows, times: Floats, values: Floats) -> Oddity:
        """Say how odd a sample of each row is, then learn it; about 2 µs a row in thousands.

        Parameters
        ----------
        rows : (n,)
            Distinct rows.
        times, values : (n,)
            Unix seconds; any unit. What is not finite, repeats or comes late scores 0.
        """
        times, values = np.asarray(times, np.float64), np.asarray(values, np.float64)
        n = len(rows)
        out = Oddity(np.zeros(n), np.zeros(n), np.zeros((n, 5)), np.zeros(n, np.bool_))
        before = self._arrays["time"][rows]
        good = np.isfinite(times) & np.isfinite(values)
        first = np.flatnonzero(good & np.isnan(before))
        if first.size:
            self._begin(rows[first], times[first], values[first])
        onward = np.flatnonzero(good & (times > before))
        if onward.size:
            found = self._onward(rows[onward], times[onward], values[onward])
            for whole, part in zip(out, found, strict=True):
                whole[onward] = part
        return out

    def _get(self, name: str, rows: Rows) -> Floats:
        return self._arrays[name][rows].astype(np.float64)

    def _begin(self, rows: Rows, times: Floats, values: Floats) -> None:
        state = self._arrays
        for name in ("time", "start", "anchor_time"):
            state[name][rows] = times
        for name in ("smooth", "level", "last"):
            state[name][rows] = values
        for name in ("anchors", "means"):
            state[name][rows] = values[:, None]
        state["seen"][rows] = 1
        state["centre"][rows] = values
        state["profile"][rows, _hour(times)] = values
        state["highest"][rows, 0] = state["lowest"][rows, 0] = values

    def _onward(self, rows: Rows, times: Floats, values: Floats) -> Oddity:
        state = self._arrays
        passed = times - state["time"][rows]
        seen = state["seen"][rows]
        young = times - state["start"][rows] < YOUNG
        age = np.minimum(1.0, seen / OLD) ** 0.25

        smooth, usual_now = self._smooth(rows, times, values, passed, seen)
        context = self._context(rows, times, smooth, usual_now, passed, seen)
        records = self._records(rows, values, usual_now, seen) * age[:, None]
        rarity = self._rarity(rows, values, seen)
        jump = self._jump(rows, values, seen)

        parts = np.concatenate([records, context[:, None], rarity[:, None]], axis=1) * WEIGHTS
        parts[young] = 0.0
        parts[young, 0] = jump[young]
        raw: Floats = np.sqrt((parts * parts).sum(axis=1))
        state["time"][rows] = times
        state["seen"][rows] = seen + 1
        return Oddity(self._say(rows, times, raw), raw, parts, young)

    def _smooth(
        self, rows: Rows, times: Floats, values: Floats, passed: Floats, seen: NDArray[Any]
    ) -> tuple[Floats, Floats]:
        """Update the smoothed value and the profile; return it and what was usual at this hour."""
        state = self._arrays
        smooth = self._get("smooth", rows)
        weight = np.maximum(1 - np.exp(-passed / SMOOTH), 1 / (seen + 1))
        weight = np.where(passed >= SMOOTH, 1.0, weight)
        smooth = smooth + weight * (values - smooth)
        state["smooth"][rows] = smooth
        hour = _hour(times)
        profile = state["profile"][rows, hour].astype(np.float64)
        usual = np.where(np.isnan(profile), smooth, profile)
        days = (times - state["start"][rows]) / DAY
        share = np.maximum(PROFILE_SHARE, 1 / (1 + days))  # the first day is all new
        kept = np.maximum(1 - share, _TINY) ** (np.minimum(passed, HOUR) / HOUR)
        state["profile"][rows, hour] = usual + (1 - kept) * (smooth - usual)
        return smooth, usual

    def _context(
        self,
        rows: Rows,
        times: Floats,
        smooth: Floats,
        usual_now: Floats,
        passed: Floats,
        seen: NDArray[Any],
    ) -> Floats:
        """Return how far the smoothed value is out of its context, and learn it."""
        state = self._arrays
        level, step = self._get("level", rows), self._get("step", rows)
        step = np.where(np.isnan(step), passed, step)
        step = step + 0.05 * (np.minimum(passed, 10 * step) - step)
        state["step"][rows] = step
        anchors = self._get("anchors", rows)
        older = np.where(step >= 3000.0, anchors[:, 0], anchors[:, 1])
        off = np.stack([smooth - level, smooth - older, smooth - usual_now], axis=1)
        variances = self._get("variances", rows)
        deviation = np.sqrt(variances)
        z = np.minimum((np.abs(off) / np.maximum(deviation, _TINY)).min(axis=1), CAP_Z)
        tail = (z * z / 2 + np.log(1 + 1.2533 * z)) / _LN10  # −log10 of both tails, error < 0.08
        usual = self._get("usual", rows)
        score = tail / (5 + 10 * np.sqrt(usual))

        weight = np.maximum(1 - np.exp(-passed / LEVEL), 1 / (seen + 1))
        held = np.where(
            (seen > WARM)[:, None], np.clip(off, -WINSOR * deviation, WINSOR * deviation), off
        )
        state["variances"][rows] = variances + weight[:, None] * (held * held - variances)
        state["level"][rows] = level + weight * (smooth - level)
        state["usual"][rows] = usual + weight * (np.minimum(tail, 10.0) ** 2 - usual)
        turn = (times - state["anchor_time"][rows] >= LAG) | (step >= 3000.0)
        moved = np.stack([smooth, anchors[:, 0]], axis=1)
        state["anchors"][rows] = np.where(turn[:, None], moved, anchors)
        state["anchor_time"][rows] = np.where(turn, times, state["anchor_time"][rows])
        return np.where((seen > WARM) & (score >= CONTEXT_LEAST), score, 0.0)

    def _records(self, rows: Rows, values: Floats, usual_now: Floats, seen: NDArray[Any]) -> Floats:
        """Return how far three faces of the value are outside all that was seen, (n, 3)."""
        state = self._arrays
        means = self._get("means", rows)
        means = means + np.array([FAST, SLOW]) * (values[:, None] - means)
        state["means"][rows] = means
        faces = np.stack([values, values - usual_now, means[:, 0] - means[:, 1]], axis=1)
        high, low = self._get("highest", rows), self._get("lowest", rows)
        beyond = np.maximum(faces - high, low - faces)
        span = high - low
        with np.errstate(invalid="ignore"):
            share = np.clip(beyond / np.maximum(span, _TINY), 0.0, 1.0)
        state["highest"][rows] = np.maximum(high, faces)
        state["lowest"][rows] = np.minimum(low, faces)
        return np.where((seen > KNOWN)[:, None] & (beyond > 0), np.sqrt(share), 0.0)

    def _rarity(self, rows: Rows, values: Floats, seen: NDArray[Any]) -> Floats:
        """Return how rare values like this one are, and count it."""
        state = self._arrays
        centre, scale = self._get("centre", rows), self._get("scale", rows)
        early = seen < WARM
        off = values - centre
        moved = centre + off / (seen + 1)
        grown = scale + off * (values - moved)  # Welford's sum of squares
        fixes = seen == WARM - 1
        grown = np.where(fixes, np.sqrt(grown / WARM), grown)
        state["centre"][rows] = np.where(early, moved, centre)
        state["scale"][rows] = np.where(early, grown, scale)
        least = np.maximum(1e-3 * np.abs(centre), 1e-9)
        place = 20 + 5 * np.arcsinh(off / np.maximum(np.where(early, 1.0, scale), least))
        cell = np.clip(np.rint(place), 0, CELLS - 1).astype(np.intp)
        cells = state["cells"]
        here = cells[rows, cell].astype(np.float64)
        left = np.where(cell > 0, cells[rows, np.maximum(cell - 1, 0)], 0.0)
        right = np.where(cell < CELLS - 1, cells[rows, np.minimum(cell + 1, CELLS - 1)], 0.0)
        counted = self._get("counted", rows)
        share = (here + (left + right) / 2 + 0.5) / (counted + 1)
        score = -np.log10(np.minimum(share, 1.0)) / 4
        counts = rows[~early]
        cells[counts, cell[~early]] += 1
        state["counted"][rows] = counted + ~early
        full = rows[counted + 1 >= HISTORY]
        cells[full] /= 2
        state["counted"][full] /= 2
        return np.where((seen > KNOWN) & (score >= RARITY_LEAST), score, 0.0)

    def _jump(self, rows: Rows, values: Floats, seen: NDArray[Any]) -> Floats:
        """Return by how much the jumps of late exceed the usual ones [1], and learn the newest."""
        state = self._arrays
        jump = np.abs(values - self._get("last", rows))
        short, mean, variance = self._get("jumps", rows).T
        short = short + YOUNG_SHORT * (jump - short)
        # The short mean of independent jumps has this share of their variance.
        spread = np.sqrt(np.maximum(variance * YOUNG_SHORT / (2 - YOUNG_SHORT), _TINY**2))
        z = np.clip((short - mean) / np.maximum(spread, 1e-3 * mean + _TINY), 0.0, CAP_Z)
        tail = (z * z / 2 + np.log(1 + 1.2533 * z)) / _LN10
        weight = 1 / np.minimum(seen + 1, OLD)
        deviation = np.sqrt(variance)
        held = np.where(seen > WARM, np.minimum(jump - mean, WINSOR * deviation), jump - mean)
        mean_new = mean + weight * held
        variance = variance + weight * (held * held - variance)
        state["jumps"][rows] = np.stack([short, mean_new, variance], axis=1)
        state["last"][rows] = values
        score = np.minimum(THRESHOLD * tail / YOUNG_SURE, 1.0)
        return np.where(seen > WARM, score, 0.0)

    def _say(self, rows: Rows, times: Floats, raw: Floats) -> Floats:
        """Apply the record rule; return what is said."""
        state = self._arrays
        said, since = self._get("said", rows), state["since"][rows] + 1
        over = (since > SILENT_SAMPLES) & (times - state["said_at"][rows] > SILENT_SECONDS)
        said = np.where(over, 0.0, said)
        speaks = (raw > LOUDER * said) & (raw > 0)
        state["said"][rows] = np.where(speaks, raw, said)
        state["since"][rows] = np.where(speaks, 0, since)
        state["said_at"][rows] = np.where(speaks, times, state["said_at"][rows])
        return np.where(speaks, raw, 0.0)


def _hour(times: Floats) -> NDArray[np.intp]:
    """Return the hour of the day, UTC."""
    return (times // HOUR % BINS).astype(np.intp)

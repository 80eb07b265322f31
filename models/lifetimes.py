"""The leak clock: when a container that was killed at its limit before will be killed again.

A restart resets the level, not the knowledge. Two things are known from earlier generations:

- the *rhythm*: how much each hour of the day makes the series grow. The present generation grows
  by its own factor of it, so walking the rhythm on until the room is used up tells the time left;
- the *lifetimes* of generations that ended at the limit: log-logistic, so given the age the median
  of what remains is known.

They are combined as logarithms, each by its own variance. Without a rhythm (less than two days of
half hours, or fewer than twenty hours of the day) the forecast of the trend takes its place. Rows
that were never killed at their limit are left as they are. Pure; about 5 µs a row that leaks.

References
----------
[1] J. P. Klein, M. L. Moeschberger, Survival Analysis (2003), 2.5: the log-logistic lifetime.
[2] J. M. Bates, C. W. J. Granger, The Combination of Forecasts (1969): weights by variance.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.base import Arrays, Floats, Rows
from models.growth import HOURS_A_DAY, SLOT, SLOTS
from models.growth_step import HOUR

LIVES_LEAST: Final = 2.0  # generations that must have ended at the limit for lifetimes to speak
_LIFE_PRIOR: Final = 0.18  # two observations' worth of variance of a log lifetime
_TREND: Final = 0.3  # deviation of the logarithm of a trend's time left: ± 30 %
_BEATS: Final = 48  # increments and
_COVERED: Final = 20  # hours of the day that a rhythm must rest on
_WEIGHT: Final = 2.0  # increments' worth of the mean in every hour
_LEAST: Final = 0.1  # share of the mean below which no hour falls
_SLACK: Final = 12.0  # percent: growth below this says little of a generation's own factor
_SURE, _SLACK_SURE = 0.12, 3.0  # deviation of the rhythm's logarithm: 0.12 + 3 / (expected + 12)
_TIP: Final = 0.8  # of how far a slot's maximum stands above its mean: teeth reach the limit first
_DAY: Final = 2 * HOURS_A_DAY  # slots


def of_generations(
    state: Arrays, rows: Rows, limits: Floats, hours: Floats
) -> tuple[Floats, Floats]:
    """Return hours left as generations tell, and how many of them had a say (0: as given).

    Parameters
    ----------
    state
        Of a `GrowthBank`.
    rows, limits, hours : (n,)
        Limits in percent; hours left by the trend from the end of the newest closed slot.
    """
    lives = state["lives"][rows].astype(np.float64)
    some = np.flatnonzero(lives >= 1)
    if not some.size:
        return hours, np.zeros(len(rows))
    known, left = lives[some], hours[some]
    at = rows[some]
    clock, deviation = _clock(state, at, limits[some])
    has_clock = np.isfinite(clock)
    trend = np.where(has_clock, clock, left)
    trust = np.where(has_clock, 1 / (deviation * deviation), 1 / _TREND**2)
    trust = np.where(np.isfinite(trend), trust, 0.0)
    remaining, width = _remaining(state, at, known)
    other = np.where((known >= LIVES_LEAST) & np.isfinite(width), 1 / (width * width), 0.0)
    total = trust + other
    logs = np.log(np.maximum(np.where(np.isfinite(trend), trend, 1.0), 0.05))
    both = np.exp((trust * logs + other * np.log(remaining)) / np.maximum(total, 1e-12))
    says = (total > 0) & (has_clock | (other > 0))
    out, count = hours.copy(), np.zeros(len(rows))
    out[some] = np.where(says, both, left)
    count[some] = np.where(says, known, 0.0)
    return out, count


def _remaining(state: Arrays, rows: Rows, lives: Floats) -> tuple[Floats, Floats]:
    """Return the median of what remains of a life of this age, hours, and its log deviation.

    Given the age a with odds e^z of being over, the median life is exp(m + s log(1 + 2 e^z)) [1].
    The deviation is infinite where the age is beyond all that was seen.
    """
    age = (state["time"][rows] - state["start"][rows]) / HOUR
    mean = state["life_mean"][rows].astype(np.float64)
    variance = state["life_variance"][rows].astype(np.float64)
    deviation = deviation_of(lives, variance)
    scale = deviation * np.sqrt(3) / np.pi
    z = (np.log(np.maximum(age, 1 / 60)) - mean) / scale
    total = np.exp(mean + scale * np.log1p(2 * np.exp(np.minimum(z, 50.0))))
    remaining = np.maximum(total - age, 0.05)
    width = 1.5 * deviation * total / remaining
    return remaining, np.where(z < 4, width, np.inf)


def deviation_of(lives: Floats, variance: Floats) -> Floats:
    """Return the deviation of log lifetimes, drawn towards 0.3 while few are known."""
    deviation: Floats = np.sqrt((lives * variance + _LIFE_PRIOR) / (lives + 2))
    return deviation


def _clock(state: Arrays, rows: Rows, limits: Floats) -> tuple[Floats, Floats]:
    """Return hours until the rhythm has used up the room, and its log deviation; NaN: no rhythm."""
    counts = state["rhythm_count"][rows].astype(np.float64)
    beats = state["rhythm"][rows].astype(np.float64)
    total = counts.sum(axis=1)
    mean = (beats * counts).sum(axis=1) / np.maximum(total, 1.0)
    covered = (total >= _BEATS) & ((counts > 0).sum(axis=1) >= _COVERED) & (mean > 0)
    pulled = (beats * counts + _WEIGHT * mean[:, None]) / (counts + _WEIGHT)
    smooth = (np.roll(pulled, 1, axis=1) + 2 * pulled + np.roll(pulled, -1, axis=1)) / 4
    rhythm = np.repeat(np.maximum(smooth, _LEAST * mean[:, None]), 2, axis=1)  # (n, 48) per slot
    day = np.maximum(rhythm.sum(axis=1), 1e-9)

    opened = state["slot"][rows]
    first = np.floor(state["start"][rows] / SLOT).astype(np.int64) + 1
    first = np.clip(first, opened - SLOTS + 1, opened - 1)
    half = state["half_hours"]
    begun = half[rows, first % SLOTS].astype(np.float64)
    newest = half[rows, (opened - 1) % SLOTS].astype(np.float64)
    before = half[rows, (opened - 2) % SLOTS].astype(np.float64)
    level = np.where(np.isnan(before) | (opened - 2 < first), newest, (newest + before) / 2)
    expected = _between(rhythm, day, first, opened - 1)
    factor = np.maximum(newest - begun + _SLACK, 1.0) / (expected + _SLACK)
    room = limits - level - _TIP * state["head"][rows]
    need = np.maximum(room, 0.0) / factor
    # Slots from the newest closed one on, in the order of the day.
    places = ((opened % _DAY)[:, None] + np.arange(_DAY)) % _DAY
    ahead = np.cumsum(np.take_along_axis(rhythm, places, axis=1), axis=1)
    days = np.floor(need / day)
    rest = (need - days * day)[:, None]
    slots = (ahead < rest).sum(axis=1)
    left = (days * _DAY + slots) * SLOT / HOUR
    # The level stands for half an hour to an hour ago.
    left = np.maximum(left, 0.05)
    known = covered & ~np.isnan(begun + level)
    return np.where(known, left, np.nan), _SURE + _SLACK_SURE / (expected + _SLACK)


def _between(rhythm: Floats, day: Floats, first: Rows, last: Rows) -> Floats:
    """Return the growth that the rhythm expects from the end of slot `first` to that of `last`."""
    total = np.concatenate([np.zeros((len(day), 1)), np.cumsum(rhythm, axis=1)], axis=1)

    def up_to(slot: Rows) -> Floats:
        whole, part = np.divmod(slot + 1, _DAY)
        until: Floats = whole * day + np.take_along_axis(total, part[:, None], axis=1)[:, 0]
        return until

    return up_to(last) - up_to(first)

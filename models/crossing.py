"""When a series meets its limit: one answer from the trend, the sawtooth, and the experts.

`look` reads rows of a `models.growth.GrowthBank` and says for each how much time is left, why, and
what an independent second opinion says. It is pure and works in chunks of rows, so a hundred
thousand rows need no gigabytes. In order of authority:

1. at the limit: zero.
2. *reclaim works*: two or more similar drops and no rise above their ceilings, or a ceiling that is
   declared (kubelet's image collection at 85 %): no crossing is foreseen. A rise above the old
   ceilings ends that at once.
3. the *fast path*: growth whose slope is eight standard deviations from zero, in territory where
   the series was not for three days, and which reaches the limit even if it goes on slowing down
   as it did. With less than nine hours of history it is the only voice, and must be monotone.
4. the experts' weighted median (`models.experts`): by the 6 h hindcast for the near, by the 24 h
   hindcast for the far.
5. for containers whose earlier generations ended at the limit: the clock of their leak
   (`models.lifetimes`).

The *second opinion* knows only day-over-day drift, the lesser of two days, and the fast path. It is
deliberately slow; a warning needs both (`models.calibration`).

References
----------
[1] E. S. Gardner, E. McKenzie, Forecasting trends in time series (1985): the damped trend.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from models.base import Arrays, Bools, Floats, Rows
from models.experts import (
    FAR,
    LONG,
    History,
    Opinions,
    daily_hours,
    history,
    opinions,
    weighted_median,
    without_steps,
)
from models.lifetimes import deviation_of, of_generations
from models.sawtooth import Reclaim, Saw, judge

HORIZONS: Final = np.array([1, 2, 4, 6, 9, 12, 18, 24, 36, 48, 72], np.float64)  # hours
YOUNG: Final = 18  # slots; below nine hours no expert has a hindcast
CHUNK: Final = 512  # rows at once: some 20 MB of work space
SURE: Final = 8.0  # standard deviations of the slope from zero
_UNSKILLED: Final = 0.1  # added to what a hindcast lacks of skill: none is that good
_Z80: Final = 1.2816 * 1.2533  # 80 % band of a normal from its mean absolute error


class Evidence(IntEnum):
    """What a forecast rests on; cells of the calibration."""

    RECLAIM_SEEN = 0
    SAW = 1  # regular sawtooth
    BRIEF = 2  # no growth on both of two days, no fast path
    FAST = 3
    UNSKILLED = 4  # growth on two days, hindcast hardly better than persistence
    STEADY = 5  # growth on two days, skilled
    STEADY_FAST = 6


class Outlook(NamedTuple):
    """What is foreseen for n rows; times in hours from the end of the newest closed slot.

    Attributes
    ----------
    hours : (n,)
        Time left; inf: no crossing is foreseen, 0: at the limit.
    second : (n,)
        The second opinion's time left; NaN where two days of history are missing and the fast path
        is silent, or speaks of more hours than the series has been watched.
    level, slope : (n,)
        Percent, percent an hour (of the fast path where it speaks, else of the last day).
    evidence, reclaim : (n,)
        `Evidence` and `Reclaim` by number.
    fast, stopping, daily : (n,)
        Whether the fast path speaks; growth has just slowed by half; it is more than a day ago.
    certainty : (n,)
        The slope's t statistic.
    trend : (n,)
        Hours by a sure slope alone, without asking whether it lasts; inf where none is sure.
    lives : (n,)
        Generations that ended at the limit and have a say.
    life, life_spread : (n,)
        Their typical life in hours, and its deviation; NaN where there was none.
    unit : (n,)
        In which the errors of its logarithm are counted, as no band fits a steady series and an
        erratic one: the deviation of log lives where they have a say, else what the hindcast lacks.
    age : (n,)
        Hours of history.
    skill : (n,)
        Of the hindcast, 0 … 1.
    mean, spread : (n, h)
        Path at `HORIZONS` and half the width of its 80 % band, percent.
    ceiling : (n,)
        Where reclaim sets in, percent; NaN where nothing is known.
    """

    hours: Floats
    second: Floats
    level: Floats
    slope: Floats
    evidence: Floats
    reclaim: Floats
    fast: Bools
    stopping: Bools
    daily: Bools
    certainty: Floats
    trend: Floats
    lives: Floats
    life: Floats
    life_spread: Floats
    unit: Floats
    age: Floats
    skill: Floats
    mean: Floats
    spread: Floats
    ceiling: Floats


def look(state: Arrays, rows: Rows, limits: Floats, declared: Floats) -> Outlook:
    """Return the outlook of rows.

    About 60 µs a row in calls of hundreds; a row's answer does not depend on the others.

    Parameters
    ----------
    state
        Of a `GrowthBank`.
    rows : (n,)
        Rows that have learned something.
    limits : (n,)
        Percent, in the bank's scale: 100, or less where eviction sets in earlier.
    declared : (n,)
        Percent at which something is promised to free space; NaN: no promise.
    """
    parts = [
        _look(state, rows[i : i + CHUNK], limits[i : i + CHUNK], declared[i : i + CHUNK])
        for i in range(0, max(len(rows), 1), CHUNK)
    ]
    if len(parts) == 1:
        return parts[0]
    return Outlook(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _look(state: Arrays, rows: Rows, limits: Floats, declared: Floats) -> Outlook:
    raw = history(state, rows)
    noise = state["noise"][rows].astype(np.float64)
    level, last = _present(state, rows)
    saw = judge(state, rows, raw, limits, declared, level, noise)
    # Teeth stand above the mean: a regular saw meets its limit with its tips.
    limits_seen = limits - np.where(saw.regular, 0.8 * state["head"][rows], 0.0)
    past = raw._replace(half_hours=without_steps(raw.half_hours))
    said = opinions(past, limits_seen, noise, ~saw.regular, HORIZONS)
    fast = _fast_path(state, rows, raw, limits, noise)
    speaks = fast.accepted & ~saw.regular
    hours, lives = of_generations(state, rows, limits, _time_left(said, fast, speaks))
    slow = _slow_path(past.half_hours, limits_seen, said.drift)
    second = _second(fast, slow, speaks, raw.length)
    second = np.where(lives > 0, np.fmin(second, hours), second)
    quiet, full = saw.reclaim >= Reclaim.WORKS, np.minimum(level, last) >= limits
    hours, second = np.where(quiet, np.inf, hours), np.where(quiet, np.inf, second)
    hours = np.where(full, 0.0, np.where(hours > FAR, np.inf, hours))
    daily = said.drift[:, 0]
    mean, spread = _path(said, level, np.where(speaks, fast.slope, 0.0), noise, hours)
    variance = state["life_variance"][rows].astype(np.float64)
    life = np.where(lives > 0, np.exp(state["life_mean"][rows].astype(np.float64)), np.nan)
    return Outlook(
        hours=hours,
        second=np.where(full, 0.0, second),
        level=level,
        slope=np.where(speaks | np.isnan(daily), fast.slope, daily / 24),
        evidence=_evidence(saw, said, speaks),
        reclaim=saw.reclaim,
        fast=speaks,
        stopping=_stopping(past.half_hours, said.drift, limits),
        daily=np.nan_to_num(said.drift[:, 2]) > 0.1,
        certainty=fast.certainty,
        trend=np.where((fast.certainty > SURE) & (saw.reclaim == Reclaim.NONE), fast.hours, np.inf),
        lives=lives,
        life=life,
        life_spread=life * np.sqrt(variance),
        unit=np.where(lives > 0, deviation_of(lives, variance), 1 - said.skill + _UNSKILLED),
        age=raw.length * 0.5,
        skill=said.skill,
        mean=mean,
        spread=spread,
        ceiling=saw.ceiling,
    )


def _time_left(said: Opinions, fast: _Fast, speaks: Bools) -> Floats:
    """Return the experts' hours, or the fast path's where it speaks; inf where nobody does."""
    hours = _fuse(said)
    hours = np.where(np.isnan(hours), np.inf, hours)
    with np.errstate(divide="ignore", invalid="ignore"):
        mixed = np.where(hours < 12, 1 / (0.3 / fast.hours + 0.7 / hours), hours)
        blend = np.where(fast.hours < hours / 2, fast.hours, mixed)
    chosen: Floats = np.where(speaks, blend, hours)
    return chosen


def _second(fast: _Fast, slow: Floats, speaks: Bools, length: Rows) -> Floats:
    """Return the second opinion: the slow path's hours, met halfway by the fast path's."""
    with np.errstate(invalid="ignore"):
        both = np.where(fast.hours < slow / 2, fast.hours, np.sqrt(fast.hours * slow))
    # Where days cannot be compared yet, growth vouches for as long ahead as it has been watched.
    alone = np.where(fast.hours <= length * 0.5, fast.hours, np.nan)
    alone = np.where(np.isnan(slow), alone, fast.hours)
    opinion: Floats = np.where(speaks, np.where(np.isfinite(slow), both, alone), slow)
    return opinion


def _evidence(saw: Saw, said: Opinions, speaks: Bools) -> Floats:
    """Return the `Evidence` of each row."""
    two_days = (np.nan_to_num(said.drift[:, :2]) > 0.1).all(axis=1)
    steady = np.where(speaks, Evidence.STEADY_FAST, Evidence.STEADY)
    evidence = np.select(
        [saw.reclaim == Reclaim.SEEN, saw.regular, ~two_days & ~speaks, ~two_days],
        [Evidence.RECLAIM_SEEN, Evidence.SAW, Evidence.BRIEF, Evidence.FAST],
        np.where(said.skill < 0.5, Evidence.UNSKILLED, steady),
    )
    return evidence.astype(np.int8)


def _present(state: Arrays, rows: Rows) -> tuple[Floats, Floats]:
    """Return the level and the last value; while the filter doubts, two samples outvote it."""
    level = state["level"][rows, 0].astype(np.float64)
    last = state["last"][rows].astype(np.float64)
    other = state["last_but_one"][rows].astype(np.float64)
    middle = np.maximum(np.minimum(level, last), np.minimum(np.maximum(level, last), other))
    return np.where(state["run"][rows, 0] == 0, level, middle), last


class _Fast(NamedTuple):
    accepted: Bools
    hours: Floats
    slope: Floats
    certainty: Floats


def _fast_path(state: Arrays, rows: Rows, raw: History, limits: Floats, noise: Floats) -> _Fast:
    """Judge the filters' slopes: sure, in novel territory, and not dying out on the way."""
    slopes = state["slope"][rows].astype(np.float64)  # (n, 2)
    levels = state["level"][rows].astype(np.float64)
    sure = slopes / np.sqrt(np.maximum(state["p11"][rows].astype(np.float64), 1e-12))
    which = np.where(sure[:, 1] > SURE, 1, 0)[:, None]
    slope, level, certainty = (
        np.take_along_axis(values, which, axis=1)[:, 0] for values in (slopes, levels, sure)
    )
    y, length = raw.half_hours, raw.length
    deviation = np.sqrt(noise)
    # What an earlier generation reached without harm is not novel to this one.
    harmless = np.where(state["lives"][rows] > 0, np.nan, state["harmless"][rows])
    with np.errstate(invalid="ignore", divide="ignore"):
        older = y[:, -156:-12]
        highest = np.where(np.isnan(older), -np.inf, older).max(axis=1)
        new_to_life = ~(level <= harmless + deviation)
        novel = (level > highest + deviation) & new_to_life
        room = limits - level
        reach4 = _remaining(y, 8, room)
        reach1 = _remaining(y, 3, room)
        grown = (novel & reach4 & reach1) & (length >= YOUNG)
        # Young: three slots at least, none below the one before, and a rise that is no noise.
        change = np.diff(y[:, -YOUNG:], axis=1)
        monotone = (np.isnan(change) | (change > -np.maximum(0.2, deviation)[:, None])).all(axis=1)
        first = np.take_along_axis(y, np.maximum(y.shape[1] - length, 0)[:, None] % y.shape[1], 1)
        risen = level - first[:, 0] > np.maximum(3.0, 6 * deviation)
        halves = np.zeros(len(rows), np.bool_)
        for half in range(1, YOUNG // 2):
            mine = length // 2 == half
            halves[mine] = _remaining(y[mine], half, room[mine])
        ramp = (length >= 3) & (length < YOUNG) & monotone & risen & halves & new_to_life
        falling = (state["run"][rows] <= -2).any(axis=1)
        accepted = (certainty > SURE) & (slope > 0) & (grown | ramp) & (room > 0) & ~falling
        hours = np.where(slope > 1e-6, room / slope, np.inf)
    return _Fast(accepted, np.maximum(hours, 0.05), slope, certainty)


def _remaining(y: Floats, width: int, room: Floats) -> Bools:
    """Return whether growth that keeps slowing as it did over two spans still covers `room`.

    The increments g0, g1 of two spans of `width` slots give the ratio r = g1/g0; a geometric series
    with it adds g1 r/(1 − r) in all (the damped trend's limit).
    """
    late = y[:, -1] - y[:, -1 - width]
    early = y[:, -1 - width] - y[:, -1 - 2 * width]
    ratio = np.where(early > 0, np.minimum(late / early, 1.0), np.where(late > 0, 1.0, 0.0))
    total = np.where(ratio >= 1, np.inf, late * ratio / (1 - ratio))
    reaches: Bools = (late > 0) & (total >= room)
    return reaches


def _fuse(said: Opinions) -> Floats:
    """Return the weighted medians of time left, blended from near to far, (n,) hours."""
    near = weighted_median(said.hours, said.weights[:, 0])
    far = weighted_median(said.hours, said.weights[:, 1])
    far = np.where(np.isnan(far), near, far)
    longest = weighted_median(said.hours[:, LONG], said.weights[:, 1][:, LONG])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = _ramp(np.fmin(near, far), 9.0, 20.0)
        hours = 1 / ((1 - share) / near + share / far)
        share = _ramp(hours, 30.0, 48.0)
        slow = 1 / ((1 - share) / hours + share / longest)
    fused: Floats = np.where(np.isnan(longest), hours, slow)
    return fused


def _ramp(hours: Floats, low: float, high: float) -> Floats:
    """Return 0 below `low`, 1 above `high`, logarithmic between."""
    share: Floats = np.clip(np.log(np.maximum(hours, 1e-3) / low) / np.log(high / low), 0.0, 1.0)
    return share


def _slow_path(y: Floats, limits: Floats, drift: Floats) -> Floats:
    """Return the hours by the lesser drift of two days; NaN below two days of history."""
    one, two = drift[:, 0], drift[:, 1]
    with np.errstate(invalid="ignore"):
        both = np.where(two > 0, np.minimum(one, 1.25 * two), 0.25 * one)
    return daily_hours(y, limits, np.where(one > 0, both, one))


def _stopping(y: Floats, drift: Floats, limits: Floats) -> Bools:
    """Return whether the last hours fell short, net of yesterday's, by half the expected growth."""
    net6 = (y[:, -1] - y[:, -13]) - (y[:, -49] - y[:, -61])
    net12 = (y[:, -1] - y[:, -25]) - (y[:, -49] - y[:, -73])
    today, before = drift[:, 2], drift[:, 3]
    with np.errstate(invalid="ignore", divide="ignore"):
        short = (net6 < -0.125 * drift[:, 0]) & (net12 < -0.25 * drift[:, 0]) & (drift[:, 0] > 0)
        fades = (before > today) & (today > 0)
        rest = today * today / (before - today)
        stops: Bools = short | (fades & (rest < limits - y[:, -1]))
    return stops


def _path(
    said: Opinions, level: Floats, slope: Floats, noise: Floats, hours: Floats
) -> tuple[Floats, Floats]:
    """Return the path and the half width of its band.

    The weighted median of the experts' values is where their weighted median of times crosses, so
    path and time left agree. The fast path takes over where it speaks, or where nobody does.
    """
    share = _ramp(HORIZONS, 9.0, 20.0)  # (h,)
    near, far = said.weights[:, 0, None, :], said.weights[:, 1, None, :]
    far = np.where(far.sum(axis=2, keepdims=True) > 0, far, near)
    scale = [np.maximum(w.sum(axis=2, keepdims=True), 1e-300) for w in (near, far)]
    weights = (1 - share)[:, None] * near / scale[0] + share[:, None] * far / scale[1]
    values = np.swapaxes(said.values, 1, 2)  # (n, h, 9)
    weights = np.where(np.isnan(values), 0.0, weights)
    mean = weighted_median(values, weights)
    line = level[:, None] + slope[:, None] * HORIZONS
    mean = np.where(np.isnan(mean), line, np.where(slope[:, None] > 0, np.fmax(mean, line), mean))
    never = np.isinf(hours)[:, None] & (slope[:, None] <= 0)
    mean = np.maximum(np.where(never & (mean > 1e6), level[:, None], mean), 0.0)
    e6 = np.where(np.isnan(said.errors[:, 0]), 1.0, said.errors[:, 0])[:, None]
    e24 = said.errors[:, 1][:, None]
    e24 = np.where(np.isnan(e24), 2 * e6 + 0.25 * np.abs(slope)[:, None] * 24, e24)
    at = HORIZONS[None, :]
    inner = e6 + (np.maximum(e24, e6) - e6) * np.clip((at - 6) / 18, 0, 1)
    error = np.where(at < 6, e6 * np.sqrt(at / 6), inner * np.maximum(at / 24, 1.0))
    spread = _Z80 * error + 1.2816 * np.sqrt(noise)[:, None]
    return mean, spread

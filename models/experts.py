"""Nine simple forecasters of one series, each weighted by its own recent hindcast.

No single rule fits a disk with a daily rhythm, a leak, accelerating growth and a batch machine. So
simple experts forecast the half-hour means of `models.growth`, every one is asked what it *would
have said* six and twenty-four hours ago from several origins, and the weight of its word is the
fourth power of how little it erred (see `Opinions`). The combination is the weighted **median**,
so that one hasty expert cannot raise an alarm; a null expert, which never sees a crossing, may win.

    daily            yesterday's profile, plus the median of the last day's day-over-day drift
    daily-recent     the same with the drift of the last five hours
    daily-rising     the same with a drift that grows from day to day
    line-3h, -12h    least squares
    convex-24h, -72h least squares of second order, only where slope and curvature are positive
    weekly           last week's profile plus the median of the last day's week-over-week drift
    persistence      as it is now, for ever

Everything is vectorised over rows; all sums run along a row, so a row's answer does not depend on
which others are asked in the same call. About 40 µs a row in calls of some hundred. Pure.

References
----------
[1] N. Cesa-Bianchi, G. Lugosi, Prediction, Learning, and Games (2006), ch. 2: weighting experts by
    their past loss; here by a power of a short hindcast, which forgets by itself.
[2] C. Holt, Forecasting seasonals and trends (1957): profile plus drift is its seasonal naive form.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import Arrays, Bools, Floats, Rows
from models.growth import BLOCK, BLOCKS, SLOTS
from models.least_squares import line, parabola, parabola_hours

NAMES: Final = (
    *("daily", "daily-recent", "daily-rising", "line-3h", "line-12h", "convex-24h"),
    *("weekly", "persistence", "convex-72h"),
)
WEEKLY: Final = NAMES.index("weekly")
PERSISTENCE: Final = NAMES.index("persistence")
LONG: Final = np.array([0, 1, 2, 6, 8])  # experts that may speak of days
SHAPED: Final = np.array([3, 4, 5, 8])  # lines and parabolas: meaningless on a sawtooth
DAY: Final = 48  # slots
WEEK: Final = 84  # two-hour blocks
RECENT: Final = 10  # slots whose drift counts as recent
SHORT_LEAD: Final = 12  # slots of the short hindcast: 6 h
LONG_LEAD: Final = 48  # slots of the long one: 24 h
_SHORT_ORIGINS: Final = SLOTS - 1 - SHORT_LEAD - np.array([0, 6, 12, 18])  # 3 h apart
_LONG_ORIGINS: Final = SLOTS - 1 - LONG_LEAD - np.array([0, 8, 16, 24, 32])  # 4 h apart
_NOW: Final = SLOTS - 1
_STEP_SPAN: Final = 168  # slots searched for steps: 84 h
_STEPS_REMOVED: Final = 3  # more than these are regular growth, not accidents
FAR: Final = 1000.0  # hours; beyond it a crossing is not spoken of


class Opinions(NamedTuple):
    """What every expert says of every row.

    Attributes
    ----------
    hours : (n, 9)
        Time left until the limit, from the end of the last closed slot; inf: never, NaN: no word.
    weights : (n, 2, 9)
        Trust from the hindcasts at 6 h and 24 h, (error + eps)^-4, unnormalised; 0 for no word.
    errors : (n, 2)
        Weighted mean absolute hindcast error, percent of the limit; NaN before there is one.
    skill : (n,)
        1 − error / error of persistence at 24 h (6 h where the history is shorter), at least 0.
    values : (n, 9, h)
        Forecasts at the horizons; NaN where an expert has no word.
    drift : (n, 4)
        Day-over-day drift in percent a day: median of the last day, of the day before, of the
        last five hours, and of the same five hours a day ago. NaN where history is too short.
    """

    hours: Floats
    weights: Floats
    errors: Floats
    skill: Floats
    values: Floats
    drift: Floats


class History(NamedTuple):
    """The memory of some rows, oldest first, gaps bridged; NaN before the first sample."""

    half_hours: Floats  # (n, SLOTS); the last column is the newest closed slot
    two_hours: Floats  # (n, BLOCKS); the last column is the newest whole block
    block_age: Floats  # (n,) hours from that block's middle to the end of the newest closed slot
    length: NDArray[np.intp]  # (n,) closed slots since the first


def history(state: Arrays, rows: Rows) -> History:
    """Read the rings of `models.growth.GrowthBank.arrays` in order of time."""
    opened = state["slot"][rows]
    half = _unroll(state["half_hours"], rows, opened)
    half[:, 0] = np.nan  # the open slot's place
    blocks = opened // BLOCK
    two = _unroll(state["two_hours"], rows, blocks)
    two[:, 0] = np.nan
    known = ~np.isnan(half)
    length = np.where(known.any(axis=1), SLOTS - known.argmax(axis=1), 0)
    return History(_fill(half), _fill(two), (opened - blocks * BLOCK) * 0.5 + 1.0, length)


def _unroll(ring: NDArray[Any], rows: Rows, newest: NDArray[np.int64]) -> Floats:
    """Return rows of a ring from the place of `newest` on, which is where its oldest lies."""
    size = ring.shape[1]
    places = (newest % size)[:, None] + np.arange(size)
    places -= size * (places >= size)
    places += (rows * size)[:, None]
    unrolled: Floats = ring.reshape(-1).take(places).astype(np.float64)
    return unrolled


def _fill(values: Floats) -> Floats:
    """Fill NaN between two values by the line through them, and after the last by the last."""
    whole = ~np.isnan(values)
    gappy = np.flatnonzero((whole[:, 1:] < whole[:, :-1]).any(axis=1))
    if not gappy.size:  # what is missing is missing at the old end
        return values
    out = values.copy()
    out[gappy] = _bridge(values[gappy], whole[gappy])
    return out


def _bridge(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Do it for rows of which some miss values in between."""
    width = values.shape[1]
    place = np.arange(width)
    last = np.maximum.accumulate(np.where(known, place, 0), axis=1)
    later = np.where(known, place, width)[:, ::-1]
    following = np.minimum.accumulate(later, axis=1)[:, ::-1]
    ends = np.where(following < width, following, last)
    before = np.take_along_axis(values, last, axis=1)
    after = np.take_along_axis(values, ends, axis=1)
    share = (place - last) / np.maximum(ends - last, 1)
    return np.where(known, values, before + (after - before) * share)


def without_steps(half_hours: Floats) -> Floats:
    """Return the history with up to three isolated steps of the last 84 h taken out.

    A step is where a slot differs from the one an hour earlier by more than 2.5 % and eight times
    the usual change; what lies before it is shifted. More than three steps are how this series
    grows, and stay.
    """
    recent = half_hours[:, -_STEP_SPAN - 2 :]
    jump = recent[:, 2:] - recent[:, :-2]  # (n, 168)
    with np.errstate(invalid="ignore"):
        rough = np.flatnonzero((np.abs(jump) > 2.5).any(axis=1))
    if not rough.size:
        return half_hours
    out = half_hours.copy()
    jump, recent = jump[rough], recent[rough]
    change = np.sort(np.abs(np.diff(recent[:, 1:], axis=1)), axis=1)  # NaN last
    known = (~np.isnan(change)).sum(axis=1)
    usual = np.take_along_axis(change, np.maximum(known // 2, 0)[:, None], axis=1)
    with np.errstate(invalid="ignore"):
        flag = np.abs(jump) > np.maximum(2.5, 8 * usual)
    starts = flag & ~np.pad(flag, ((0, 0), (1, 0)))[:, :-1]
    count = starts.sum(axis=1)
    few = (count > 0) & (count <= _STEPS_REMOVED)
    rough, flag, starts, recent = rough[few], flag[few], starts[few], recent[few]
    span = np.arange(_STEP_SPAN)
    # Last flagged slot of the run that a slot begins: one before the next unflagged one.
    quiet = np.where(flag, _STEP_SPAN, span)
    end = np.minimum.accumulate(quiet[:, ::-1], axis=1)[:, ::-1] - 1
    after = np.take_along_axis(recent[:, 2:], np.clip(end, 0, _STEP_SPAN - 1), axis=1)
    size = np.where(starts, after - recent[:, :-2], 0.0)
    # A slot moves by all steps that begin after it; within a step it takes the value after it.
    total = np.cumsum(size[:, ::-1], axis=1)[:, ::-1]
    later = np.concatenate([total[:, 1:], np.zeros((len(rough), 1))], axis=1)
    fixed = np.where(flag, after, recent[:, 2:]) + later
    out[rough, -_STEP_SPAN:] = fixed
    out[rough, :-_STEP_SPAN] += total[:, :1]
    return out


def opinions(
    history: History, limits: Floats, noise: Floats, shaped: Bools, horizons: Floats
) -> Opinions:
    """Ask all experts about the rows of `history` (steps already removed).

    Parameters
    ----------
    history
        Of n rows.
    limits : (n,)
        Percent; a row's crossing is at or above it.
    noise : (n,)
        Variance of a sample, %².
    shaped : (n,)
        Whether lines and parabolas may speak.
    horizons : (h,)
        Hours ahead for `Opinions.values`.
    """
    y = history.half_hours
    drifts = _Drifts(y)
    sheet = _Sheet.blank(len(y), horizons)
    _daily(sheet, y, limits, drifts)
    _lines(sheet, y, limits)
    _parabolas(sheet, y, limits)
    _weekly(sheet, history, limits)
    sheet.hours[:, PERSISTENCE] = np.where(np.isnan(y[:, -1]), np.nan, np.inf)
    sheet.values[:, PERSISTENCE] = y[:, -1:]
    for cast in sheet.hindcasts:
        cast.error[:, PERSISTENCE] = np.abs(y[:, cast.origins] - y[:, cast.origins + cast.lead])

    hours = np.where(sheet.hours > FAR, np.inf, np.maximum(sheet.hours, 0.05))
    speaks = ~np.isnan(hours)
    speaks[:, SHAPED] &= shaped[:, None]
    hours = np.where(speaks, hours, np.nan)
    errors, weights = _trust(sheet, y, noise, speaks)
    mean = _weighted(errors, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = 1 - mean / np.maximum(errors[:, :, PERSISTENCE], 1e-9)
    skill = np.where(np.isnan(gain[:, 1]), gain[:, 0], gain[:, 1])
    drift = np.stack(
        [
            drifts.daily(_NOW),
            drifts.daily(_NOW - DAY),
            drifts.recent(_NOW),
            drifts.recent(_NOW - DAY),
        ],
        axis=1,
    )
    skill = np.clip(np.nan_to_num(skill), 0, 1)
    return Opinions(hours, weights, mean, skill, sheet.values, drift)


class _Hindcast(NamedTuple):
    """What every expert would have said `lead` slots ahead, from some past origins."""

    lead: int
    origins: NDArray[np.intp]  # (o,) columns of the history
    error: Floats  # (n, 9, o) absolute; NaN where there was no word


class _Sheet(NamedTuple):
    """What the experts fill in."""

    slots: Floats  # (h,) half-hours ahead
    hours: Floats  # (n, 9)
    values: Floats  # (n, 9, h)
    hindcasts: tuple[_Hindcast, _Hindcast]  # of 6 h and of 24 h

    @classmethod
    def blank(cls, n: int, horizons: Floats) -> _Sheet:
        """Return a sheet without a word."""
        casts = [
            _Hindcast(lead, origins, np.full((n, len(NAMES), len(origins)), np.nan))
            for lead, origins in ((SHORT_LEAD, _SHORT_ORIGINS), (LONG_LEAD, _LONG_ORIGINS))
        ]
        hours = np.full((n, len(NAMES)), np.nan)
        values = np.full((n, len(NAMES), len(horizons)), np.nan)
        return cls(horizons * 2.0, hours, values, (casts[0], casts[1]))


def _daily(sheet: _Sheet, y: Floats, limits: Floats, drifts: _Drifts) -> None:
    """Fill in the three that repeat yesterday."""
    profile = y[:, _NOW - DAY + 1 :]  # (n, 48): slots 1 … 48 ahead, a day ago
    turn = np.maximum(np.ceil(sheet.slots / DAY), 1.0)
    place = (sheet.slots - DAY * (turn - 1)).astype(np.intp) - 1
    for expert, (daily, more) in enumerate(drifts.at(_NOW)):
        days = _days(limits[:, None] - profile, daily, more)
        left = _first(days, DAY) * 0.5 - 0.5
        sheet.hours[:, expert] = np.where(np.isnan(daily + more), np.nan, left)
        sheet.values[:, expert] = profile[:, place] + _grown(daily, more, turn)
    for cast in sheet.hindcasts:
        for i, origin in enumerate(cast.origins):
            yesterday, now = y[:, origin + cast.lead - DAY], y[:, origin + cast.lead]
            for expert, (daily, more) in enumerate(drifts.at(int(origin))):
                cast.error[:, expert, i] = np.abs(yesterday + daily + more - now)


def _lines(sheet: _Sheet, y: Floats, limits: Floats) -> None:
    """Fill in least squares over 3 and 12 hours."""
    for expert, width in ((3, 6), (4, 24)):
        level, slope = line(y, _NOW, width)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            left = np.where(slope > 1e-6, (limits - level) / slope * 0.5 - 0.25, np.inf)
        sheet.hours[:, expert] = np.where(np.isnan(level), np.nan, left)
        sheet.values[:, expert] = level[:, None] + slope[:, None] * (sheet.slots + 0.5)
        for cast in sheet.hindcasts:
            for i, origin in enumerate(cast.origins):
                level, slope = line(y, int(origin), width)
                said = level + slope * cast.lead
                cast.error[:, expert, i] = np.abs(said - y[:, origin + cast.lead])


def _parabolas(sheet: _Sheet, y: Floats, limits: Floats) -> None:
    """Fill in least squares of second order over one and three days, where they rise and bend up.

    In a hindcast one that did not would have kept silent; it is counted as having said "as it is".
    """
    ahead = sheet.slots + 0.5
    for expert, width in ((5, 48), (8, 144)):
        level, slope, bend = parabola(y, _NOW, width)
        speaks = (slope > 0) & (bend > 0)
        left = parabola_hours(limits - level, slope, bend)
        path = level[:, None] + slope[:, None] * ahead + bend[:, None] * ahead * ahead
        sheet.hours[:, expert] = np.where(speaks, left, np.nan)
        sheet.values[:, expert] = np.where(speaks[:, None], path, np.nan)
        for cast in sheet.hindcasts:
            for i, origin in enumerate(cast.origins):
                level, slope, bend = parabola(y, int(origin), width)
                rises = (slope > 0) & (bend > 0)
                move = np.where(rises, slope * cast.lead + bend * cast.lead**2, 0.0)
                cast.error[:, expert, i] = np.abs(level + move - y[:, origin + cast.lead])


def _trust(sheet: _Sheet, y: Floats, noise: Floats, speaks: Bools) -> tuple[Floats, Floats]:
    """Return mean hindcast errors and the weights that follow from them, (n, 2, 9)."""
    errors, slack = [], []
    for cast, share in zip(sheet.hindcasts, (0.10, 0.08), strict=True):
        known = ~np.isnan(cast.error)
        count = known.sum(axis=2)
        total = np.where(known, cast.error, 0.0).sum(axis=2)
        errors.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
        moved = np.nan_to_num(np.abs(y[:, -1] - y[:, -1 - cast.lead]))
        slack.append(0.3 + share * moved + 0.15 * np.sqrt(noise))
    error, eps = np.stack(errors, axis=1), np.stack(slack, axis=1)[:, :, None]
    usable = speaks[:, None, :] & ~np.isnan(error)
    weights: Floats = np.where(usable, (np.nan_to_num(error) + eps) ** -4, 0.0)
    return error, weights


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """Return the lower weighted median along the last axis; NaN where all weights are 0.

    Infinity is a value like others: where half of the weight says never, the answer is never.
    """
    order = np.argsort(np.where(weights > 0, values, np.inf), axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    total = np.cumsum(np.take_along_axis(weights, order, axis=-1), axis=-1)
    half = total[..., -1:] / 2
    place = (total >= half * (1 - 1e-12)).argmax(axis=-1)
    median = np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]
    answer: Floats = np.where(total[..., -1] > 0, median, np.nan)
    return answer


class _Drifts:
    """Day-over-day drift at many origins, each computed once."""

    def __init__(self, y: Floats) -> None:
        self._lag = y[:, DAY:] - y[:, :-DAY]  # column i is the slot i + DAY
        self._known: dict[tuple[int, int], Floats] = {}

    def daily(self, origin: int) -> Floats:
        """Median of the last day's drift, (n,) % a day."""
        return self._median(origin, DAY)

    def recent(self, origin: int) -> Floats:
        """Median of the last five hours' drift, (n,) % a day."""
        return self._median(origin, RECENT)

    def _median(self, origin: int, width: int) -> Floats:
        key = (origin, width)
        if key not in self._known:
            window = self._lag[:, origin - DAY - width + 1 : origin - DAY + 1]
            middle = width // 2
            part = np.partition(window, (middle - 1, middle), axis=1)
            median = (part[:, middle - 1] + part[:, middle]) / 2
            # History misses only at its old end, so the first value tells whether all are there.
            self._known[key] = np.where(np.isnan(window[:, 0]), np.nan, median)
        return self._known[key]

    def at(self, origin: int) -> tuple[tuple[Floats, Floats], ...]:
        """Return drift (% a day) and its growth (% a day each day) of the three daily experts."""
        zero = np.zeros(len(self._lag))
        now, one, two = (self.recent(origin - DAY * days) for days in range(3))
        window = self._lag[:, origin - DAY - RECENT + 1 : origin - DAY + 1]
        spread = np.sort(np.abs(window - now[:, None]), axis=1)[:, RECENT // 2]
        least = 1.5 * spread + 0.1
        with np.errstate(invalid="ignore"):
            rises = (
                (now - one > least)
                & (one - two > 0.3 * least)
                & (self.daily(origin) > self.daily(origin - DAY))
                & (two > 0)
            )
        growth = np.minimum(np.minimum(now - one, 2 * (one - two)), 0.6 * now)
        rising = np.where(rises, growth, np.nan if origin == _NOW else 0.0)
        return ((self.daily(origin), zero), (now, zero), (now, rising))


def _grown(daily: Floats, more: Floats, days: Floats) -> Floats:
    """Return the growth after whole `days` (h,), (n, h)."""
    total: Floats = daily[:, None] * days + more[:, None] * (days + days * (days - 1) / 2)
    return total


def _days(room: Floats, daily: Floats, more: Floats) -> Floats:
    """Return whole days until each place of the profile has grown by `room`, (n, p)."""
    d, g = daily[:, None], np.nan_to_num(more)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        days = np.where(d > 1e-3, room / d, np.inf)
        bends = np.flatnonzero((daily > 1e-3) & (g[:, 0] > 0))
        if bends.size:  # few: the square roots are what this costs
            b, h = d[bends] + g[bends] / 2, g[bends]
            root = np.sqrt(b * b + 2 * h * np.maximum(room[bends], 0.0))
            days[bends] = (root - b) / h
    whole: Floats = np.where(room - d - g <= 0, 1.0, np.maximum(np.ceil(days), 1.0))
    return whole


def _first(turns: Floats, period: int) -> Floats:
    """Return the steps until the first place of a profile of `period` meets the limit, (n,)."""
    steps: Floats = (period * (turns - 1) + np.arange(1, period + 1)).min(axis=1)
    return steps


def daily_hours(y: Floats, limits: Floats, drift: Floats) -> Floats:
    """Return hours until yesterday's profile with a constant `drift` (% a day) meets the limit."""
    profile = y[:, _NOW - DAY + 1 :]
    days = _days(limits[:, None] - profile, drift, np.zeros(len(y)))
    left = _first(days, DAY) * 0.5 - 0.5
    left = np.where(left > FAR, np.inf, np.maximum(left, 0.05))
    return np.where(np.isnan(drift) | np.isnan(profile[:, 0]), np.nan, left)


def _weekly(sheet: _Sheet, history: History, limits: Floats) -> None:
    """Fill in the one that repeats last week; its hindcasts are of two-hour means."""
    z = history.two_hours
    some = np.flatnonzero(~np.isnan(z[:, BLOCKS - 1 - WEEK - 14]))
    if not some.size:
        return
    z, age, limit = z[some], history.block_age[some], limits[some]
    last = BLOCKS - 1

    def drift(origin: int) -> Floats:
        window = z[:, origin - 11 : origin + 1] - z[:, origin - 11 - WEEK : origin + 1 - WEEK]
        part = np.partition(window, (5, 6), axis=1)
        median: Floats = np.where(np.isnan(window[:, 0]), np.nan, (part[:, 5] + part[:, 6]) / 2)
        return median

    now = drift(last)
    profile = z[:, last - WEEK + 1 :]
    weeks = _days(limit[:, None] - profile, now, np.zeros(len(some)))
    left = _first(weeks, WEEK) * 2.0 - age - 1.0
    sheet.hours[some, WEEKLY] = np.where(np.isnan(now), np.nan, left)
    ahead = np.maximum(np.ceil((sheet.slots / 2 + age[:, None]) / 2 - 0.5), 1.0)  # blocks
    turn = np.ceil(ahead / WEEK)
    place = (ahead - WEEK * (turn - 1)).astype(np.intp) - 1
    sheet.values[some, WEEKLY] = np.take_along_axis(profile, place, axis=1) + now[:, None] * turn
    for cast, origins in zip(sheet.hindcasts, ((0, 1, 3, 4), (0, 2, 4, 6, 8)), strict=True):
        lead = cast.lead // BLOCK
        for i, back in enumerate(origins):
            origin = last - lead - back
            said = z[:, origin + lead - WEEK] + drift(origin)
            cast.error[some, WEEKLY, i] = np.abs(said - z[:, origin + lead])


def _weighted(errors: Floats, weights: Floats) -> Floats:
    """Return the weighted mean over experts, (n, 2); NaN without weights."""
    total = weights.sum(axis=2)
    mean: Floats = np.where(
        total > 0,
        (np.nan_to_num(errors) * weights).sum(axis=2) / np.where(total > 0, total, 1.0),
        np.nan,
    )
    return mean

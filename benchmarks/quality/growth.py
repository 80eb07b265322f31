"""Growth under test: seeded fleets through the live banks, beside the rules that people use.

`simulate` feeds a fleet sample by sample, and asks at every half hour what the model and each
baseline say; `accuracy`, `alarms`, `leads` and `coverage` read off what that was worth. A forecast
counts where what it is about could be seen: the growth had been there for a quarter of the time
ahead. An interval is judged when the series has crossed, or when its P90 has passed without.

Baselines: least squares over 1, 6 and 24 hours (`predict_linear`), the kube-prometheus disk rules
(6 h, and fuller than 60 % of the way; the same with 4 h ahead), Holt's trend, Theil–Sen over two
days. Each alarms when its time left is under 24 hours (critical rule: 4) in two half hours running.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from benchmarks.quality.figures import Figure
from benchmarks.workloads_growth import COLLECTED, EVERY, KILLED, LIMIT, START, STEPS, Fleet
from models.baselines import hours_left
from models.calibration import CalibrationBank, Table
from models.forecast import foresee
from models.growth import SLOT, GrowthBank

SLOTS = int(STEPS * EVERY / SLOT)
LEADS = (6, 24, 72)  # hours before the crossing
LONG = 200.0  # hours after which an open band is believed to have been right
KILLED_ABOVE = 95.0  # %: a life that ended higher was ended by its limit
HOLT_LEVEL, HOLT_TREND = 0.05, 0.02


class Said(NamedTuple):
    """What was said at the end of every slot, (n, slots); NaN after a series has ended."""

    hours: Any
    low: Any
    high: Any
    within24: Any
    alarm: Any
    baselines: Mapping[str, Any]  # name → hours left

    @classmethod
    def blank(cls, n: int, names: Sequence[str]) -> Said:
        five = [np.full((n, SLOTS), np.nan) for _ in range(5)]
        return cls(*five, {name: np.full((n, SLOTS), np.nan) for name in names})


BASELINES = (
    *("predict_linear 1h", "predict_linear 6h", "predict_linear 24h"),
    *("kube-prometheus warning", "Holt", "Theil-Sen 48h"),
)


def simulate(world: Fleet, table: Table, *, baselines: bool = True) -> Said:
    """Feed the fleet through the model; a series ends where its truth meets its limit."""
    n = len(world.family)
    bank, memory = GrowthBank(n), CalibrationBank(n)
    said = Said.blank(n, BASELINES if baselines else ())
    holt = _Holt(n)
    rows = np.arange(n)
    end = ends(world)
    for step in range(STEPS):
        at = START + step * EVERY + 1.0
        begin = rows[world.begins[:, step] & (end > step - 3)]
        if begin.size:
            killed = bank.restart(begin)
            memory.restart(begin, np.full(begin.size, int(at // SLOT)), killed, table)
        if step:
            resized = rows[world.scale[:, step] != world.scale[:, step - 1]]
            factors = world.scale[resized, step - 1] / world.scale[resized, step]
            bank.rescale(resized, factors)
        holt.learn(world.seen[:, step])
        live = rows[end > step - 6]  # an hour at the limit, so that forecasts resolve
        closed = live[bank.learn_many(live, np.full(live.size, at), world.seen[live, step])]
        if not closed.size:
            continue
        limits, declared = world.limits[closed], world.declared[closed]
        _, odds = foresee(bank, memory, table, closed, limits, declared)
        if int(at // SLOT) % 48 == 0:
            table.fold()
        place = int((at - START) // SLOT) - 1
        tell = end[closed] > step
        told = closed[tell]
        said.hours[told, place] = odds.hours[tell, 1]
        said.low[told, place] = odds.hours[tell, 0]
        said.high[told, place] = odds.hours[tell, 2]
        said.within24[told, place] = odds.crossing[tell, 0]
        said.alarm[told, place] = odds.alarm[tell]
        if baselines:
            _ask(world, said, holt, told, step, place)
    return said


def ends(world: Fleet) -> Any:
    """Return the step at which each series has met its limit; STEPS where it never does."""
    met = world.truth >= world.limits[:, None]
    met &= ~np.isin(world.family, KILLED)[:, None]
    return np.where(met.any(axis=1), met.argmax(axis=1), STEPS)


class _Holt:
    """Double exponential smoothing of each series, per sample."""

    def __init__(self, n: int) -> None:
        self.level, self.trend = np.full(n, np.nan), np.zeros(n)

    def learn(self, values: Any) -> None:
        known = ~np.isnan(values)
        first = known & np.isnan(self.level)
        self.level[first] = values[first]
        before = self.level
        moved = before + self.trend + HOLT_LEVEL * (values - before - self.trend)
        trend = self.trend + HOLT_TREND * (moved - before - self.trend)
        self.level = np.where(known, moved, self.level + self.trend)
        self.trend = np.where(known, trend, self.trend)


def _ask(world: Fleet, said: Said, holt: _Holt, rows: Any, step: int, place: int) -> None:
    limits = world.limits[rows]
    lines = {hours: _line_left(world, rows, step, hours) for hours in (1, 6, 24)}
    for hours, left in lines.items():
        said.baselines[f"predict_linear {hours}h"][rows, place] = left
    full = world.seen[rows, step] > 0.6 * limits
    warned = np.where(full, lines[6], np.inf)
    said.baselines["kube-prometheus warning"][rows, place] = warned
    trend = holt.trend[rows] * 3600 / EVERY
    room = limits - holt.level[rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(trend > 1e-9, np.maximum(room / trend, 0), np.inf)
    said.baselines["Holt"][rows, place] = left
    said.baselines["Theil-Sen 48h"][rows, place] = _theil_sen(world, rows, step)


def _line_left(world: Fleet, rows: Any, step: int, hours: int) -> Any:
    width = int(hours * 3600 / EVERY)
    first = max(0, step - width)
    part = world.seen[rows, first : step + 1]
    lives = np.cumsum(world.begins[rows, first : step + 1], axis=1)
    known = ~np.isnan(part) & (lives == lives[:, -1:])  # nobody draws a line across a restart
    count = np.maximum(known.sum(axis=1), 1)
    x = (np.arange(part.shape[1]) - part.shape[1] + 1) * EVERY / 3600
    y = np.where(known, part, 0.0)
    mean_x, mean_y = (known * x).sum(axis=1) / count, y.sum(axis=1) / count
    off = np.where(known, x - mean_x[:, None], 0.0)
    slope = (off * (y - mean_y[:, None])).sum(axis=1) / np.maximum((off**2).sum(axis=1), 1e-9)
    room = world.limits[rows] - (mean_y - slope * mean_x)
    return np.where(slope > 1e-9, np.maximum(room / np.where(slope > 0, slope, 1), 0), np.inf)


def _theil_sen(world: Fleet, rows: Any, step: int) -> Any:
    places = np.arange(step, -1, -int(2 * 3600 / EVERY))[:24][::-1]
    if len(places) < 3:
        return np.full(len(rows), np.inf)
    y = world.seen[rows][:, places]
    x = places * EVERY / 3600
    i, j = np.triu_indices(len(places), 1)
    slopes = (y[:, j] - y[:, i]) / (x[j] - x[i])
    slope = _middle(slopes)
    level = _middle(y - slope[:, None] * (x - x[-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.maximum((world.limits[rows] - level) / slope, 0)
    return np.where(slope > 1e-9, left, np.inf)


def _middle(values: Any) -> Any:
    """Return the median of what is known of each row; NaN where nothing is."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = (~np.isnan(values)).sum(axis=1)
    return np.take_along_axis(ordered, np.maximum(count // 2, 0)[:, None], axis=1)[:, 0]


class Crossing(NamedTuple):
    series: int
    place: float  # in slots
    begin: float  # slots; from where on the growth is there
    by_limit: bool  # else a release ended the life


def crossings(world: Fleet) -> list[Crossing]:
    """Return the true crossings: one of a series, or the end of each generation."""
    out = []
    for i, name in enumerate(world.family):
        if name in KILLED:
            steps = np.flatnonzero(world.begins[i]).tolist()
        else:
            met = world.truth[i] >= world.limits[i]
            steps = [int(met.argmax())] if met.any() else []
        begin = world.onsets[i] * 3600 / SLOT
        for step in steps:
            killed = name not in KILLED or bool(world.truth[i, step - 1] > KILLED_ABOVE)
            out.append(Crossing(i, step * EVERY / SLOT, begin, killed))
            begin = step * EVERY / SLOT
    return out


def accuracy(world: Fleet, hours: Any, names: Sequence[str]) -> tuple[list[float], list[int]]:
    """Return the median of |said / true − 1| in percent at `LEADS`, and of how many; at most 1000.

    Never foreseen counts as 1000 %.
    """
    middles, counts = [], []
    for lead in LEADS:
        errors = []
        for crossing in crossings(world):
            place = int(crossing.place - 2 * lead) - 1
            if world.family[crossing.series] not in names or place < 4:
                continue
            if place - crossing.begin < lead / 2:
                continue  # not there for a quarter of the time ahead
            left = (crossing.place - place - 1) / 2
            errors.append(abs(float(hours[crossing.series, place]) / left - 1))
        middles.append(100 * min(float(np.median(errors)), 10.0) if errors else float("nan"))
        counts.append(len(errors))
    return middles, counts


def short(hours: Any, below: float = 24.0) -> Any:
    """Return where a rule on time left would alarm: two slots running."""
    with np.errstate(invalid="ignore"):
        now = hours < below
    out = np.zeros_like(now)
    out[:, 1:] = now[:, 1:] & now[:, :-1]
    return out


def episodes(world: Fleet, on: Any, names: Sequence[str], *, undeclared: bool = False) -> float:
    """Return alarms per series-week of series of these families that never cross.

    Disks whose images are collected at a ceiling that nobody declares are asked apart: forewarn
    knows the kubelet's default, so `undeclared` is what happens where even that is wrong.
    """
    crossed = {crossing.series for crossing in crossings(world)}
    hidden = np.isin(world.family, COLLECTED) & np.isnan(world.declared)
    mine = [
        i
        for i, f in enumerate(world.family)
        if f in names and i not in crossed and bool(hidden[i]) == undeclared
    ]
    weeks = len(mine) * STEPS * EVERY / 604_800
    part = np.asarray(on)[mine] == 1
    count = int((part[:, 1:] & ~part[:, :-1]).sum() + part[:, 0].sum())
    return count / max(weeks, 1e-9)


def leads(world: Fleet, on: Any, names: Sequence[str]) -> list[float]:
    """Return for each crossing the hours from its alarm; 0 where there was none.

    Counted are crossings whose growth was there for four hours: nobody can warn earlier. An alarm
    counts from when it was on without a break up to the crossing.
    """
    out = []
    for crossing in crossings(world):
        if world.family[crossing.series] not in names or crossing.place - crossing.begin < 8:
            continue
        last = int(np.ceil(crossing.place)) - 1
        part = np.asarray(on)[crossing.series, :last] == 1
        off = np.flatnonzero(~part)
        first = int(off[-1]) + 1 if off.size else 0
        out.append(max(0.0, (crossing.place - first - 1) / 2))
    return out


class Coverage(NamedTuple):
    """How the 80 % bands did; shares, NaN where nothing was judged.

    Attributes
    ----------
    held, count
        Of all bands that can be judged: the crossing came, or P90 passed without one.
    censored
        Share of these where no crossing came.
    closed, closed_count, early, late
        Of bands with a P90: how many held, and how many crossings came before and after it.
    came
        How many open bands held, where the crossing came: P10 alone can have failed.
    width
        Median of P90 / P10 of closed bands.
    score
        Mean interval score [1] of closed bands whose crossing came, in logarithms: the width, and
        ten times what lies outside.

    References
    ----------
    [1] T. Gneiting, A. Raftery, Strictly Proper Scoring Rules (2007), eq. 43, alpha = 0.2.
    """

    held: float
    count: int
    censored: float
    closed: float
    closed_count: int
    early: float
    late: float
    came: float
    width: float
    score: float


def coverage(world: Fleet, said: Said, names: Sequence[str]) -> Coverage:
    """Judge every sixth hour's band of the families `names`.

    A forecast that has not come true by its P90 did not hold; one whose P90 the record does not
    reach, or a release came before, is left out.
    """
    rows: list[tuple[float, float, float, float]] = []  # P10, P90, true, judged until
    of: dict[int, list[Crossing]] = {}
    for crossing in crossings(world):
        of.setdefault(crossing.series, []).append(crossing)
    for i, name in enumerate(world.family):
        if name not in names:
            continue
        for place in range(4 + i % 12, SLOTS, 12):
            low, middle, high = (a[i, place] for a in (said.low, said.hours, said.high))
            if not np.isfinite(middle) or middle <= 0:
                continue
            ahead = next((c for c in of.get(i, []) if c.place > place + 1), None)
            end = (SLOTS if ahead is None else ahead.place) - place - (ahead is not None)
            met = ahead is not None and ahead.by_limit
            if met or end / 2 >= min(high, LONG):
                rows.append((low, high, end / 2 if met else np.inf, end / 2))
    return _covered(np.array(rows).reshape(-1, 4))


def _covered(rows: Any) -> Coverage:
    low, high, left = (np.maximum(column, 0.25) for column in rows.T[:3])
    low = np.where(rows[:, 0] <= 0, 0.0, low)
    came, closed = np.isfinite(left), np.isfinite(high)
    early, late = left < low, left > high
    held = ~(early | late)
    both = came & closed
    with np.errstate(all="ignore"):
        log_low, log_high, log_left = (np.log(np.maximum(x, 0.25)) for x in (low, high, left))
        outside = np.maximum(log_low - log_left, 0) + np.maximum(log_left - log_high, 0)
        score = log_high - log_low + 10 * outside
    return Coverage(
        _mean(held),
        len(held),
        _mean(~came),
        _mean(held[closed]),
        int(closed.sum()),
        _mean(early[closed]),
        _mean(late[closed]),
        _mean(held[came & ~closed]),
        float(np.median(np.exp((log_high - log_low)[closed]))) if closed.any() else float("nan"),
        _mean(score[both]),
    )


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def of_lives(world: Fleet, hours: Any, least: int = 2) -> dict[int, float]:
    """Return the median error in percent at 25, 50 and 75 % of lives that ended at the limit.

    Scored are generations after the first `least`; a restart below the limit (a release) ends a
    life that is not scored.
    """
    errors: dict[int, list[float]] = {25: [], 50: [], 75: []}
    for i, name in enumerate(world.family):
        if name not in KILLED:
            continue
        steps = np.flatnonzero(world.begins[i]).tolist()
        ended = 0
        for since, until in pairwise([0, *steps]):
            killed = world.truth[i, until - 1] > KILLED_ABOVE
            ended += killed
            if not killed or ended <= least:
                continue
            for part, found in errors.items():
                at = since + (until - since) * part / 100
                place = int(at * EVERY / SLOT) - 1
                if place < since * EVERY / SLOT + 1:
                    continue  # no half hour of it is over
                left = until * EVERY / 3600 - (place + 1) / 2
                said = min(float(hours[i, place]) / left, 11.0)
                found.append(abs(said - 1))
    return {part: 100 * float(np.median(found)) for part, found in errors.items()}


def on_real(series: Sequence[Any]) -> Figure:
    """Return false warnings a series-week on real series of five minutes, scaled to 10 … 87 %.

    None of them meets 90 %, so whatever is said is wrong. Series of NAB with at least a week.
    """
    rows = [s for s in series if len(s.times) > 2016 and np.median(np.diff(s.times)) == 300]
    episodes = weeks = linear = 0.0
    for each in rows:
        low, high = each.values.min(), each.values.max()
        percent = 10 + 77 * (each.values - low) / ((high - low) or 1.0)
        bank, memory, table = GrowthBank(1), CalibrationBank(1), Table()
        row, limit, none = np.zeros(1, np.intp), np.full(1, LIMIT), np.full(1, np.nan)
        on, ruled, twice = False, False, 0
        for i, at in enumerate(each.times):
            if not bank.learn_many(row, np.array([at]), percent[i : i + 1])[0]:
                continue
            _, odds = foresee(bank, memory, table, row, limit, none)
            episodes += bool(odds.alarm[0]) and not on
            on = bool(odds.alarm[0])
            first = max(0, i - 72)
            left = hours_left(each.times[first : i + 1] / 3600, percent[first : i + 1], LIMIT, 6.0)
            twice = twice + 1 if left < 24 else 0
            linear += twice == 2 and not ruled
            ruled = twice >= 2
        weeks += (each.times[-1] - each.times[0]) / 604_800
    beside = {"predict_linear 6h": linear / weeks}
    return Figure("G3-real", episodes / weeks, beside, f"{len(rows)} series, {weeks:.0f} weeks")

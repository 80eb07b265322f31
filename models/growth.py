"""A bank of robust local linear trends with half-hour memory: what every growth forecast reads.

One row per series, values in **percent of the limit** that binds, time in Unix seconds. A row keeps

- two Kalman filters of the local linear trend that share one noise variance, a calm one and one
  that follows a runaway; innovations are winsorised at six standard deviations, and three in a row
  beyond that, over ten minutes or more, are a step: the level jumps, the slope stays;
- the sawtooth: peaks, and the last six drops with their ceiling and floor (image garbage
  collection, log rotation, a restart's cache);
- half-hour means of the last five days and two-hour means of the last sixteen, for everything that
  needs a day's or a week's rhythm (`models.experts`);
- the *generation*: a container's start clears level and memory, but the noise and the lifetimes of
  generations that ended at the limit, and what others reached without harm, stay known.

Every equation uses the real time between samples. NaN is skipped; a negative value is skipped and
counted in `skipped`; a repeated time is dropped; a late sample corrects the half-hour mean it
belongs to and never touches the filters. A changed limit is `rescale`, exact for the whole state,
so that a resize is no step. `models.growth_reference` is one row of the same, readable.

Arithmetic is in float64 whatever `dtype` the state is kept in; float32 keeps a row in 1.5 KiB.
Left to others: time left and its odds (`models.crossing`, `models.calibration`).

References
----------
[1] A. C. Harvey, Forecasting, Structural Time Series Models and the Kalman Filter (1989), 2.3.2:
    local linear trend; the process noise below is its continuous-time form, 9.2.
[2] P. J. Huber, Robust Estimation of a Location Parameter (1964): the winsorised innovation.
[3] T. Gasser, L. Sroka, C. Jennen-Steinmetz, Residual Variance and Residual Pattern in Nonlinear
    Regression, Biometrika 73 (1986), eq. 2: noise from pseudo-residuals of three neighbours.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.base import Bools, Floats, Rows, Schema, StructOfArrays
from models.growth_step import HOUR, NOISE_FLOOR, WIDTH, Columns, columns, places, step

SLOT: Final = 1800.0  # seconds of one slot
SLOTS: Final = 240  # half-hours kept: five days
BLOCK: Final = 4  # half-hours in one slot of the long memory
BLOCKS: Final = 192  # two-hour means kept: sixteen days, two weeks and what a median needs
DROPS: Final = 6  # drops of the sawtooth kept

DROP_MERGE: Final = 2700.0  # seconds: a second drop in this time belongs to the first
HEAD_RATE: Final = 0.05  # per slot
CHUNK: Final = 2048  # rows at once: their columns stay in the processor's cache
KNOWLEDGE: Final = frozenset(  # what outlives a generation
    {
        *("noise", "rough", "lives", "life_mean", "life_variance", "harmless", "skipped"),
        *("rhythm", "rhythm_count"),
    }
)
HOURS_A_DAY: Final = 24
RHYTHM_KEPT: Final = 66  # half hours that the mean growth of one hour of the day remembers
RHYTHM_AGE: Final = 2  # slots of a generation that say nothing of its rhythm: it is starting up
HIGHEST: Final = 1e4  # %: beyond a hundred times its limit a value says no more
AT_LIMIT: Final = 90.0  # %: a generation that ended above it was killed by its limit
LIVES_KEPT: Final = 6.0  # generations that the mean lifetime remembers


class GrowthBank(StructOfArrays):
    """Local linear trends, sawtooth, daily and weekly memory of many series.

    About 0.2 µs a sample in batches of thousands; see `nbytes` for memory.

    Parameters
    ----------
    capacity
        Rows to begin with.
    dtype
        Of levels, variances and memory; float32 for size, float64 to be compared with the
        reference. The two-hour memory is kept in half precision (0.05 % at 100 %) with float32.

    Examples
    --------
    >>> bank = GrowthBank(1)
    >>> row = np.zeros(1, dtype=np.intp)
    >>> for minute in range(0, 600, 5):
    ...     closed = bank.learn_many(row, np.array([minute * 60.0]), np.array([minute / 60.0]))
    >>> bool(abs(bank.arrays()["slope"][0, 0] - 1.0) < 0.01)  # %/h
    True
    """

    def __init__(self, capacity: int, dtype: DTypeLike = np.float32) -> None:
        real = np.dtype(dtype)
        coarse = np.dtype(np.float16) if real == np.dtype(np.float32) else real
        wide, count = np.dtype(np.float64), np.dtype(np.int32)
        schema: Schema = {
            # the sample before: time (s, NaN before any), and its two values for the median of 3
            "time": (wide, (), np.nan),
            "start": (wide, (), np.nan),  # of the generation, s
            "last": (real, (), np.nan),
            "last_but_one": (real, (), np.nan),
            "gap": (real, (), np.nan),  # hours between these two
            "rough": (real, (), 1.0),  # variance around the line through two neighbours, %²
            # two filters, calm and runaway: %, %/h and their covariance; noise in %²
            "level": (real, (2,), np.nan),
            "slope": (real, (2,), 0.0),
            "p00": (real, (2,), 10.0),
            "p01": (real, (2,), 0.0),
            "p11": (real, (2,), 1.44),
            "noise": (real, (), 1.0),
            "run": (real, (2,), 0),  # signed length of the run of outliers
            "run_start": (wide, (2,), np.nan),  # s
            # sawtooth: decaying and undecayed peak; the last drops, newest at (drops - 1) mod 6
            "peak": (real, (), np.nan),
            "crest": (real, (), np.nan),
            "drops": (count, (), 0),
            "drop_time": (wide, (DROPS,), np.nan),
            "drop_ceiling": (real, (DROPS,), np.nan),
            "drop_floor": (real, (DROPS,), np.nan),
            # memory: the open slot and its running mean; closed ones in rings at slot mod size
            "slot": (np.dtype(np.int64), (), -1),
            "slot_mean": (real, (), np.nan),
            "slot_max": (real, (), np.nan),
            "slot_count": (real, (), 0),
            "before_count": (count, (), 0),  # samples in the slot before the open one
            "head": (real, (), 0.0),  # how far a slot's maximum stands above its mean, %
            "half_hours": (real, (SLOTS,), np.nan),
            "two_hours": (coarse, (BLOCKS,), np.nan),
            # generations: how many ended at the limit, mean and variance of their log hours
            "lives": (real, (), 0.0),
            "life_mean": (real, (), 0.0),
            "life_variance": (real, (), 0.0),
            # growth per half hour by hour of the day, over all generations: the load's rhythm
            "rhythm": (real, (HOURS_A_DAY,), 0.0),
            "rhythm_count": (np.dtype(np.uint8), (HOURS_A_DAY,), 0),
            "harmless": (real, (), np.nan),  # highest mean that one reached and was not killed, %
            "skipped": (count, (), 0),  # negative values
        }
        self._real = real
        self._packed: NDArray[Any] = np.empty((0, WIDTH), real)
        self._clocks: Floats = np.empty((0, 3))  # time, run_start
        super().__init__(schema, capacity)

    def reserve(self, capacity: int) -> None:
        """Grow to at least `capacity` rows."""
        if capacity <= self._capacity:
            return
        self._packed = np.empty((capacity, WIDTH), self._real)
        self._clocks = np.empty((capacity, 3))
        # What every sample changes is packed row by row, and shown by name as views.
        views = {name: self._packed[:, place] for name, place in places().items()}
        views |= {"time": self._clocks[:, 0], "run_start": self._clocks[:, 1:]}
        self._grow(capacity, views)

    def rescale(self, rows: Rows, factors: Floats) -> None:
        """Express rows in percent of another limit: old limit / new limit.

        Parameters
        ----------
        rows : (n,)
            Distinct rows.
        factors : (n,)
            What a value is multiplied with; variances take its square.
        """
        for name in (
            *("last", "last_but_one", "level", "slope", "peak", "crest", "drop_ceiling"),
            *("drop_floor", "slot_mean", "slot_max", "head", "half_hours", "two_hours", "harmless"),
            "rhythm",
        ):
            state = self._arrays[name]
            scaled = state[rows] * _like(factors, state)
            state[rows] = np.clip(scaled, -HIGHEST, HIGHEST)
        for name in ("p00", "p01", "p11", "noise", "rough"):
            state = self._arrays[name]
            scaled = state[rows] * _like(factors * factors, state)
            state[rows] = np.clip(scaled, -HIGHEST * HIGHEST, HIGHEST * HIGHEST)
        for name in ("noise", "rough"):
            state = self._arrays[name]
            state[rows] = np.maximum(state[rows], NOISE_FLOOR)

    def restart(self, rows: Rows) -> Bools:
        """End the generation of rows: level and memory go, noise and lifetimes stay.

        Returns
        -------
        (n,) whether the generation ended at its limit (killed for memory, as far as samples tell)
        """
        state = self._arrays
        hours = (state["time"][rows] - state["start"][rows]) / HOUR
        killed: Bools = (state["peak"][rows] >= AT_LIMIT) & (hours > 0)
        ended = rows[killed]
        log_life = np.log(np.maximum(hours[killed], 1 / 60))
        lives = state["lives"][ended].astype(np.float64)
        mean = state["life_mean"][ended].astype(np.float64)
        rate = 1 / np.minimum(lives + 1, LIVES_KEPT)
        off = log_life - mean
        state["life_variance"][ended] = (1 - rate) * (
            state["life_variance"][ended] + rate * off * off
        )
        state["life_mean"][ended] = mean + rate * off
        state["lives"][ended] = lives + 1
        spared = rows[~killed]
        highest = np.fmax.reduce(state["half_hours"][spared], axis=1, initial=np.nan)
        highest = np.fmax(highest, state["slot_mean"][spared])
        state["harmless"][spared] = np.fmax(state["harmless"][spared], highest)
        for name, (_, _, empty) in self._schema.items():
            if name not in KNOWLEDGE:
                state[name][rows] = empty
        return killed

    def learn_many(self, rows: Rows, times: Floats, values: Floats) -> Bools:
        """Learn one sample of each row.

        Parameters
        ----------
        rows : (n,)
            Distinct rows.
        times : (n,)
            Event times in seconds.
        values : (n,)
            Percent of the limit, at most `HIGHEST` is believed; NaN where there is none.

        Returns
        -------
        (n,) whether the sample closed a half-hour slot of its row: the moment to forecast
        """
        times = np.asarray(times, np.float64)
        values = np.asarray(values, np.float64)
        usable = np.isfinite(values) & np.isfinite(times)
        values = np.minimum(values, HIGHEST)
        negative = usable & (values < 0)
        if negative.any():
            self._arrays["skipped"][rows[negative]] += 1
            usable &= ~negative
        before = self._arrays["time"][rows]
        first = usable & np.isnan(before)
        late = usable & (times < before)
        onward = usable & (times > before)
        closed = np.zeros(len(rows), np.bool_)
        if onward.all():
            for start in range(0, len(rows), CHUNK):
                part = slice(start, start + CHUNK)
                closed[part] = self._onward(rows[part], times[part], values[part])
            return closed
        if first.any():
            self._first(rows[first], times[first], values[first])
        if late.any():
            self._late(rows[late], times[late], values[late])
        if onward.any():
            closed[onward] = self._onward(rows[onward], times[onward], values[onward])
        return closed

    def _first(self, rows: Rows, times: Floats, values: Floats) -> None:
        state = self._arrays
        state["time"][rows] = state["start"][rows] = times
        for name in ("last", "last_but_one", "peak", "crest", "slot_mean", "slot_max"):
            state[name][rows] = values
        state["level"][rows] = values[:, None]
        state["slot"][rows] = np.floor(times / SLOT).astype(np.int64)
        state["slot_count"][rows] = 1

    def _onward(self, rows: Rows, times: Floats, values: Floats) -> Bools:
        """Step the packed records of rows, then drops and slots; each record is moved once."""
        records = np.ascontiguousarray(self._packed.take(rows, axis=0).T, np.float64)
        clocks = np.ascontiguousarray(self._clocks.take(rows, axis=0).T)
        c = columns(records)
        hours = (times - clocks[0]) / HOUR
        found = step(c, clocks[1:], times, values, hours)
        clocks[0] = times
        at = np.flatnonzero(found.dropped)
        if at.size:
            self._drop(rows[at], times[at], found.ceiling[at], found.middle[at])
        moved = self._remember(rows, times, found.middle, c)
        self._packed[rows] = records.T
        self._clocks[rows] = clocks.T
        return moved

    def _drop(self, rows: Rows, times: Floats, ceilings: Floats, floors: Floats) -> None:
        state = self._arrays
        count = state["drops"][rows]
        newest = (count - 1) % DROPS
        merges = (count > 0) & (times - state["drop_time"][rows, newest] <= DROP_MERGE)
        at, place = rows[merges], newest[merges]
        state["drop_floor"][at, place] = np.minimum(state["drop_floor"][at, place], floors[merges])
        at, place = rows[~merges], count[~merges] % DROPS
        state["drop_time"][at, place] = times[~merges]
        state["drop_ceiling"][at, place] = ceilings[~merges]
        state["drop_floor"][at, place] = floors[~merges]
        state["drops"][at] += 1

    def _remember(self, rows: Rows, times: Floats, middle: Floats, c: Columns) -> Bools:
        """Add to the open slot, closing it where time has left it."""
        slots = np.floor(times / SLOT).astype(np.int64)
        moved: Bools = slots > self._arrays["slot"][rows]
        at = np.flatnonzero(moved)
        if at.size:
            self._close(rows[at], slots[at])
            c.slot_count[at] = 0.0
            c.slot_mean[at] = c.slot_max[at] = middle[at]
        c.slot_count += 1
        c.slot_mean += (middle - c.slot_mean) / c.slot_count
        np.maximum(c.slot_max, middle, out=c.slot_max)
        return moved

    def _close(self, rows: Rows, slots: NDArray[np.int64]) -> None:
        """Write the open slot into the rings, blank what was skipped, open `slots`."""
        state = self._arrays
        old = state["slot"][rows]
        mean = state["slot_mean"][rows].astype(np.float64)
        self._beat(rows, old, mean)
        state["half_hours"][rows, old % SLOTS] = mean
        head = state["head"][rows].astype(np.float64)
        state["head"][rows] = head + HEAD_RATE * (state["slot_max"][rows] - mean - head)
        _blank(state["half_hours"], rows, old, slots)
        state["slot"][rows] = slots
        self._fold(rows, old)
        _blank(state["two_hours"], rows, old // BLOCK, slots // BLOCK)
        state["before_count"][rows] = np.where(slots == old + 1, state["slot_count"][rows], 0)

    def _beat(self, rows: Rows, slots: NDArray[np.int64], mean: Floats) -> None:
        """Learn how much the hour of the day makes the series grow, from two adjacent slots."""
        state = self._arrays
        first = np.floor(state["start"][rows] / SLOT)
        known = (state["before_count"][rows] > 0) & (slots - first >= RHYTHM_AGE)
        rows, slots, mean = rows[known], slots[known], mean[known]
        grown = mean - state["half_hours"][rows, (slots - 1) % SLOTS]
        hour = slots // 2 % HOURS_A_DAY
        count = np.minimum(state["rhythm_count"][rows, hour].astype(np.intp) + 1, RHYTHM_KEPT)
        before = state["rhythm"][rows, hour].astype(np.float64)
        state["rhythm"][rows, hour] = before + (grown - before) / count
        state["rhythm_count"][rows, hour] = count

    def _fold(self, rows: Rows, slots: NDArray[np.int64]) -> None:
        """Recompute the two-hour mean that `slots` belong to from its closed half-hours."""
        state = self._arrays
        members = (slots // BLOCK * BLOCK)[:, None] + np.arange(BLOCK)
        opened = state["slot"][rows][:, None]
        known = (members < opened) & (members > opened - SLOTS)
        values = state["half_hours"][rows[:, None], members % SLOTS].astype(np.float64)
        known &= ~np.isnan(values)
        total, count = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
        some = count > 0
        at, block = rows[some], (slots[some] // BLOCK) % BLOCKS
        state["two_hours"][at, block] = total[some] / count[some]

    def _late(self, rows: Rows, times: Floats, values: Floats) -> None:
        """Correct the half-hour mean that a late sample belongs to."""
        state = self._arrays
        in_life = times >= state["start"][rows]
        rows, times, values = rows[in_life], times[in_life], values[in_life]
        slots = np.floor(times / SLOT).astype(np.int64)
        behind = state["slot"][rows] - slots

        at, value = rows[behind == 0], values[behind == 0]
        count = state["slot_count"][at] + 1
        mean = state["slot_mean"][at].astype(np.float64)
        state["slot_mean"][at] = mean + (value - mean) / count
        state["slot_max"][at] = np.maximum(state["slot_max"][at], value)
        state["slot_count"][at] = count

        inside = (behind >= 1) & (behind < SLOTS)
        rows, values, slots, behind = rows[inside], values[inside], slots[inside], behind[inside]
        mean = state["half_hours"][rows, slots % SLOTS].astype(np.float64)
        before = state["before_count"][rows]
        joins = (behind == 1) & (before > 0)
        fills = np.isnan(mean) & ~joins
        mean = np.where(joins, mean + (values - mean) / (before + 1), values)
        state["before_count"][rows] = before + (joins | (fills & (behind == 1)))
        written = joins | fills
        state["half_hours"][rows[written], slots[written] % SLOTS] = mean[written]
        self._fold(rows[written], slots[written])


def _blank(ring: NDArray[Any], rows: Rows, old: NDArray[np.int64], new: NDArray[np.int64]) -> None:
    """Make the places after `old` up to `new` empty: what they held is a whole turn older."""
    size = ring.shape[1]
    near = new == old + 1
    ring[rows[near], new[near] % size] = np.nan
    far = new > old + 1
    if far.any():
        after = (np.arange(size) - old[far][:, None] - 1) % size
        skipped = after < (new - old)[far][:, None]
        ring[rows[far]] = np.where(skipped, np.nan, ring[rows[far]])


def _like(factors: Floats, state: NDArray[Any]) -> Floats:
    """Give `factors` (n,) the trailing axes of `state`."""
    return factors.reshape(factors.shape + (1,) * (state.ndim - 1))

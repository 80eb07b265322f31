"""One row of `models.growth`, written to be read: the oracle that the bank must equal.

The same recursions with plain numbers, sample by sample, in the order in which they happen. Nothing
in production uses it. `state` answers with the names and shapes of the bank's arrays, so a test
compares the two within 1e-9. Constant time per sample, about 15 µs.
"""

from __future__ import annotations

import math
from statistics import median

import numpy as np

from models.base import Arrays
from models.growth import (
    AT_LIMIT,
    BLOCK,
    BLOCKS,
    DROP_MERGE,
    DROPS,
    HEAD_RATE,
    HIGHEST,
    HOURS_A_DAY,
    LIVES_KEPT,
    RHYTHM_AGE,
    RHYTHM_KEPT,
    SLOT,
    SLOTS,
)
from models.growth_step import (
    HOUR,
    LEVEL_NOISE,
    NEIGHBOUR_HOURS,
    NOISE_FLOOR,
    NOISE_HOURS,
    OUTLIER,
    PEAK_HOURS,
    SAMPLE_HOURS,
    SLOPE_NOISE,
    STEP_COUNT,
    STEP_SECONDS,
    STEP_SLOPE_VARIANCE,
    WANDER,
    WINSOR,
)


class Trend:
    """One Kalman filter of the local linear trend, winsorised, with step reset.

    Parameters
    ----------
    slope_noise
        Process noise of the slope per hour³, in units of the measurement variance.
    step_variance
        Least variance of the slope after a step, %²/h².
    """

    def __init__(self, slope_noise: float, step_variance: float) -> None:
        self.slope_noise, self.step_variance = slope_noise, step_variance
        self.level, self.slope = math.nan, 0.0  # %, %/h
        self.p00, self.p01, self.p11 = 10.0, 0.0, 1.44
        self.run, self.run_start = 0, math.nan

    def learn_one(
        self, time: float, value: float, hours: float, noise: float
    ) -> tuple[float, bool]:
        """Update; return the squared error beyond the level's own variance, and if it stepped."""
        dt, r, q = hours, noise, self.slope_noise
        self.level += self.slope * dt
        self.p00 += 2 * dt * self.p01 + dt**2 * self.p11 + LEVEL_NOISE * r * dt + q * r * dt**3 / 3
        self.p01 += dt * self.p11 + q * r * dt**2 / 2
        self.p11 += q * r * dt
        predicted = self.p00

        error, variance = value - self.level, self.p00 + r
        bound = WINSOR * math.sqrt(variance)
        sign = 0 if abs(error) <= bound else 1 if error > 0 else -1
        if sign == 0 or sign * self.run <= 0:
            self.run, self.run_start = 0, time
        self.run = max(-100, min(100, self.run + sign))
        stepped = abs(self.run) >= STEP_COUNT and time - self.run_start >= STEP_SECONDS
        if stepped:
            self.level, self.run = value, 0
            self.p00, self.p01, self.p11 = r, 0.0, max(self.p11, self.step_variance)
        else:
            share = r * max(1.0, SAMPLE_HOURS / dt)
            k0, k1 = self.p00 / (self.p00 + share), self.p01 / (self.p00 + share)
            held = max(-bound, min(bound, error))
            self.level += k0 * held
            self.slope += k1 * held
            self.p11 -= k1 * self.p01
            self.p01 -= k0 * self.p01
            self.p00 -= k0 * self.p00
        return min(error**2, OUTLIER**2 * variance) - predicted, stepped


class GrowthReference:
    """One series: trends, sawtooth, memory and generations.

    Examples
    --------
    >>> series = GrowthReference()
    >>> for minute in range(0, 600, 5):
    ...     closed = series.learn_one(minute * 60.0, minute / 60.0)
    >>> round(series.trends[0].slope, 2)
    1.0
    """

    def __init__(self) -> None:
        self.lives, self.life_mean, self.life_variance = 0.0, 0.0, 0.0
        self.harmless = math.nan
        self.rhythm = [0.0] * HOURS_A_DAY  # growth per half hour by hour of the day
        self.rhythm_count = [0] * HOURS_A_DAY
        self.noise, self.rough, self.skipped = 1.0, 1.0, 0
        self._begin()

    def _begin(self) -> None:
        self.time = self.start = math.nan
        self.last = self.last_but_one = self.gap = self.peak = self.crest = math.nan
        noises = zip(SLOPE_NOISE, STEP_SLOPE_VARIANCE, strict=True)
        self.trends = [Trend(float(q), float(step)) for q, step in noises]
        self.drops: list[tuple[float, float, float]] = []  # time, ceiling, floor
        self.dropped = 0
        self.slot, self.slot_mean, self.slot_max = -1, math.nan, math.nan
        self.slot_count = self.before_count = 0
        self.head = 0.0
        self.half_hours: dict[int, float] = {}  # by slot number
        self.two_hours: dict[int, float] = {}  # by block number

    def restart(self) -> bool:
        """End the generation; return whether it ended at its limit."""
        hours = (self.time - self.start) / HOUR
        killed = self.peak >= AT_LIMIT and hours > 0
        if killed:
            off = math.log(max(hours, 1 / 60)) - self.life_mean
            rate = 1 / min(self.lives + 1, LIVES_KEPT)
            self.life_variance = (1 - rate) * (self.life_variance + rate * off**2)
            self.life_mean += rate * off
            self.lives += 1
        else:
            means = [self.harmless, self.slot_mean, *self.half_hours.values()]
            self.harmless = max((m for m in means if not math.isnan(m)), default=math.nan)
        self._begin()
        return killed

    def learn_one(self, time: float, value: float) -> bool:
        """Learn one sample; return whether it closed a half-hour slot."""
        if not (math.isfinite(time) and math.isfinite(value)):
            return False
        if value < 0:
            self.skipped += 1
            return False
        value = min(value, HIGHEST)
        if math.isnan(self.time):
            self.time = self.start = time
            self.last = self.last_but_one = self.peak = self.crest = value
            self.slot_mean = self.slot_max = value
            self.slot, self.slot_count = math.floor(time / SLOT), 1
            for trend in self.trends:
                trend.level = value
            return False
        if time == self.time:
            return False
        if time < self.time:
            self._late(time, value)
            return False
        return self._onward(time, value)

    def _onward(self, time: float, value: float) -> bool:
        hours = (time - self.time) / HOUR
        rate = 1 - math.exp(-min(hours, 0.5) / NOISE_HOURS)
        if self.gap <= NEIGHBOUR_HOURS and hours <= NEIGHBOUR_HOURS:
            weight = self.gap / (self.gap + hours)
            off = self.last - (self.last_but_one + (value - self.last_but_one) * weight)
            square = off**2 / (1 + weight**2 + (1 - weight) ** 2)
            believed = min(square, OUTLIER**2 * self.rough)
            self.rough = max(NOISE_FLOOR, self.rough + rate * (believed - self.rough))
        calm, runaway = self.trends
        one, calm_stepped = calm.learn_one(time, value, hours, self.noise)
        two, runaway_stepped = runaway.learn_one(time, value, hours, self.noise)
        if not (calm_stepped or runaway_stepped):
            surprise = min(one, two, WANDER * self.rough)
            self.noise = max(NOISE_FLOOR, self.noise + rate * (surprise - self.noise))

        if hours > NEIGHBOUR_HOURS:
            self.last = self.last_but_one = value
        middle = median([value, self.last, self.last_but_one])
        if middle >= self.peak:
            self.peak = self.crest = middle
        else:
            self.peak += (middle - self.peak) * (1 - math.exp(-min(hours, 1 / 6) / PEAK_HOURS))
        if self.peak - middle > max(2.0, 4 * math.sqrt(self.noise), -runaway.slope * 2 / 3):
            self._drop(time, middle)
            self.peak = self.crest = middle
        self.last_but_one, self.last, self.time, self.gap = self.last, value, time, hours

        slot = math.floor(time / SLOT)
        closed = slot > self.slot
        if closed:
            self._close(slot)
        self.slot_count += 1
        self.slot_mean += (middle - self.slot_mean) / self.slot_count
        self.slot_max = max(self.slot_max, middle)
        if closed:
            self.slot_mean = self.slot_max = middle
        return closed

    def _drop(self, time: float, floor: float) -> None:
        if self.drops and time - self.drops[-1][0] <= DROP_MERGE:
            at, ceiling, lowest = self.drops[-1]
            self.drops[-1] = (at, ceiling, min(lowest, floor))
            return
        self.drops = [*self.drops, (time, self.crest, floor)][-DROPS:]
        self.dropped += 1

    def _close(self, slot: int) -> None:
        old = self.slot
        self._beat(old)
        self.half_hours[old] = self.slot_mean
        self.head += HEAD_RATE * (self.slot_max - self.slot_mean - self.head)
        self.half_hours = {k: v for k, v in self.half_hours.items() if k > slot - SLOTS}
        self.slot = slot
        self._fold(old)
        self.two_hours = {k: v for k, v in self.two_hours.items() if k > slot // BLOCK - BLOCKS}
        self.before_count = self.slot_count if slot == old + 1 else 0
        self.slot_count = 0

    def _beat(self, slot: int) -> None:
        if self.before_count == 0 or slot - math.floor(self.start / SLOT) < RHYTHM_AGE:
            return
        grown = self.slot_mean - self.half_hours[slot - 1]
        hour = slot // 2 % HOURS_A_DAY
        count = min(self.rhythm_count[hour] + 1, RHYTHM_KEPT)
        self.rhythm[hour] += (grown - self.rhythm[hour]) / count
        self.rhythm_count[hour] = count

    def _fold(self, slot: int) -> None:
        block = slot // BLOCK
        members = range(block * BLOCK, block * BLOCK + BLOCK)
        known = [self.half_hours[k] for k in members if k in self.half_hours]
        if known:
            self.two_hours[block] = sum(known) / len(known)

    def _late(self, time: float, value: float) -> None:
        slot = math.floor(time / SLOT)
        behind = self.slot - slot
        if time < self.start or behind >= SLOTS:
            return
        if behind == 0:
            self.slot_count += 1
            self.slot_mean += (value - self.slot_mean) / self.slot_count
            self.slot_max = max(self.slot_max, value)
        elif behind == 1 and self.before_count > 0:
            self.before_count += 1
            self.half_hours[slot] += (value - self.half_hours[slot]) / self.before_count
            self._fold(slot)
        elif slot not in self.half_hours:
            self.half_hours[slot] = value
            self.before_count += behind == 1
            self._fold(slot)

    def state(self) -> Arrays:
        """Return the state by the bank's names, without the leading axis of rows."""
        half_hours, two_hours = np.full(SLOTS, np.nan), np.full(BLOCKS, np.nan)
        for k, value in self.half_hours.items():
            half_hours[k % SLOTS] = value
        for k, value in self.two_hours.items():
            two_hours[k % BLOCKS] = value
        drops = np.full((3, DROPS), np.nan)
        for age, drop in enumerate(reversed(self.drops), 1):
            drops[:, (self.dropped - age) % DROPS] = drop
        single = (
            *(
                "time",
                "start",
                "last",
                "last_but_one",
                "gap",
                "noise",
                "rough",
                "peak",
                "crest",
                "slot",
            ),
            *("slot_mean", "slot_max", "slot_count", "before_count", "head", "lives"),
            *("life_mean", "life_variance", "harmless", "skipped", "rhythm", "rhythm_count"),
        )
        of_trend = ("level", "slope", "p00", "p01", "p11", "run", "run_start")
        return {
            **{name: np.array(getattr(self, name)) for name in single},
            **{name: np.array([getattr(t, name) for t in self.trends]) for name in of_trend},
            "drops": np.array(self.dropped),
            "drop_time": drops[0],
            "drop_ceiling": drops[1],
            "drop_floor": drops[2],
            "half_hours": half_hours,
            "two_hours": two_hours,
        }

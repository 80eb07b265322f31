"""One sample of many robust local linear trends: the arithmetic of `models.growth`, on columns.

A row's quick state (filters, noise, peak, open slot) is one packed record of `WIDTH` numbers, so a
micro-batch reads and writes each row once, wherever it lies; here the records are turned into
columns, a quantity each, and stepped as whole arrays of float64. What the steps mean stands in
`models.growth`, and in `models.growth_reference` as one would write it for one row.

Pure; about 0.1 µs a row in batches of thousands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from models.base import Bools, Floats, Rows

HOUR: Final = 3600.0

# Process noise per hour, in units of the measurement variance: the level wanders a little; the
# slope hardly (calm) or within hours (runaway).
LEVEL_NOISE: Final = 3.6e-3
SLOPE_NOISE: Final = np.array([5.18e-5, 5.18e-3])
SAMPLE_HOURS: Final = 1 / 12  # denser samples share the weight of one five-minute sample
WINSOR: Final = 6.0  # standard deviations
OUTLIER: Final = 3.0  # standard deviations, as far as the noise variance believes in them
WANDER: Final = 9.0  # how much more than rough a series may be noisy: it wanders between samples
STEP_COUNT: Final = 3
STEP_SECONDS: Final = 600.0
# After a step the calm filter may learn its slope anew by 0.12 %/h, the runaway by 3 %/h: what
# looks like step after step to it is a steep ramp. %²/h²
STEP_SLOPE_VARIANCE: Final = np.array([0.0144, 9.0])
NOISE_HOURS: Final = 4.125  # time constant of the noise variance
NOISE_FLOOR: Final = 1e-3  # %²: rounding of a gauge
NEIGHBOUR_HOURS: Final = 0.5  # samples further apart say nothing of each other's noise
PEAK_HOURS: Final = 1 / 3  # time constant of the decaying peak

# A packed record: name → numbers.
LAYOUT: Final = {
    "level": 2,
    "slope": 2,
    "p00": 2,
    "p01": 2,
    "p11": 2,
    "run": 2,
    "noise": 1,
    "rough": 1,
    "last": 1,
    "last_but_one": 1,
    "gap": 1,
    "peak": 1,
    "crest": 1,
    "slot_mean": 1,
    "slot_max": 1,
    "slot_count": 1,
}
WIDTH: Final = sum(LAYOUT.values())


def places() -> dict[str, int | slice]:
    """Return where each quantity stands in a packed record."""
    out: dict[str, int | slice] = {}
    start = 0
    for name, width in LAYOUT.items():
        out[name] = start if width == 1 else slice(start, start + width)
        start += width
    return out


@dataclass(slots=True)
class Columns:
    """Views of unpacked records, changed in place; calm filter, then runaway, where there are two.

    Times of all are hours, values percent of the limit.
    """

    level: Floats  # (2, n) %
    slope: Floats  # (2, n) %/h
    p00: Floats
    p01: Floats
    p11: Floats
    run: Floats  # (2, n) signed length of the run of outliers
    noise: Floats  # (n,) %²
    rough: Floats
    last: Floats
    last_but_one: Floats
    gap: Floats  # hours
    peak: Floats
    crest: Floats
    slot_mean: Floats
    slot_max: Floats
    slot_count: Floats


def columns(records: Floats) -> Columns:
    """Return the views of (WIDTH, n) records."""
    return Columns(*(records[place] for place in places().values()))


class Stepped(NamedTuple):
    """What the rest of the memory needs to know of a sample."""

    middle: Floats  # (n,) median of the last three values
    dropped: Bools
    ceiling: Floats  # where the drop began


def step(c: Columns, run_start: Floats, times: Floats, values: Floats, hours: Floats) -> Stepped:
    """Learn a sample of each row into its columns, in place; all but the open slot.

    Parameters
    ----------
    c
        Columns of n rows.
    run_start : (2, n)
        Unix seconds; changed in place.
    times, values, hours : (n,)
        Of the samples; hours since the one before, above 0.
    """
    one, two = c.last, c.last_but_one
    rate = 1 - np.exp(np.minimum(hours, 0.5) / -NOISE_HOURS)
    _roughness(c, values, hours, rate)
    _filter(c, run_start, times, values, hours, rate)
    stale = hours > NEIGHBOUR_HOURS
    one, two = np.where(stale, values, one), np.where(stale, values, two)
    low, high = np.minimum(values, one), np.maximum(values, one)
    middle: Floats = np.maximum(low, np.minimum(high, two))  # median of three
    dropped, ceiling = _saw(c, middle, hours)
    c.last_but_one[:], c.last[:], c.gap[:] = one, values, hours
    return Stepped(middle, dropped, ceiling)


def _roughness(c: Columns, values: Floats, hours: Floats, rate: Floats) -> None:
    """Learn how far a sample stands off the line through its neighbours, %².

    With the weight w of the newer neighbour that distance has the variance 1 + w² + (1 − w)²
    times the noise, whatever the slope: a ramp does not look like noise [3].
    """
    known = (c.gap <= NEIGHBOUR_HOURS) & (hours <= NEIGHBOUR_HOURS)
    gap = np.where(known, c.gap, 1.0)
    weight = gap / (gap + hours)
    off = c.last - (c.last_but_one + (values - c.last_but_one) * weight)
    rest = 1 - weight
    square = off * off / (1 + weight * weight + rest * rest)
    learnt = c.rough + rate * (np.minimum(square, OUTLIER * OUTLIER * c.rough) - c.rough)
    c.rough[:] = np.where(known, np.maximum(NOISE_FLOOR, learnt), c.rough)


def _filter(
    c: Columns, run_start: Floats, times: Floats, values: Floats, hours: Floats, rate: Floats
) -> None:
    """Update both filters and the noise they share."""
    dt, noise = hours, c.noise.copy()
    q = _SLOPE_NOISE * noise
    q *= dt
    c.level += c.slope * dt
    c.p00 += (2 * c.p01 + dt * c.p11) * dt
    c.p00 += (LEVEL_NOISE * noise) * dt
    c.p00 += q * (dt * dt / 3)
    c.p01 += dt * c.p11
    c.p01 += q * (dt / 2)
    c.p11 += q

    error = values - c.level
    variance = c.p00 + noise
    bound = WINSOR * np.sqrt(variance)
    sign = np.sign(error) * (np.abs(error) > bound)
    goes_on = (sign != 0) & (np.sign(c.run) == sign)
    run_start[:] = np.where(goes_on, run_start, times)
    run = np.where(goes_on, c.run, 0.0) + sign
    steps = (np.abs(run) >= STEP_COUNT) & (times - run_start >= STEP_SECONDS)

    excess = np.minimum(error * error, OUTLIER * OUTLIER * variance) - c.p00
    # The better of both filters, within reason: a ramp that they cannot follow is no noise.
    surprise = np.minimum(np.minimum(excess[0], excess[1]), WANDER * c.rough)
    stepped = steps.any(axis=0)
    learnt = np.maximum(NOISE_FLOOR, noise + rate * (surprise - noise))
    c.noise[:] = np.where(stepped, noise, learnt)

    share = c.p00 + noise * np.maximum(1.0, SAMPLE_HOURS / dt)
    k0, k1 = c.p00 / share, c.p01 / share
    held = np.clip(error, -bound, bound, out=error)
    at = np.flatnonzero(stepped)
    before = None
    if at.size:
        before = (c.slope[:, at], c.p11[:, at], steps[:, at])
    c.level += k0 * held
    c.slope += k1 * held
    c.p11 -= k1 * c.p01
    c.p01 -= k0 * c.p01
    c.p00 -= k0 * c.p00
    c.run[:] = np.clip(run, -100, 100)
    if before is not None:
        _restep(c, at, values[at], noise[at], *before)


def _restep(
    c: Columns, at: Rows, values: Floats, noise: Floats, slope: Floats, p11: Floats, steps: Bools
) -> None:
    """Let the filters that stepped start anew at the value, with the slope that they had."""
    for part, new in (
        (c.level, np.broadcast_to(values, slope.shape)),
        (c.slope, slope),
        (c.p00, np.broadcast_to(noise, slope.shape)),
        (c.p01, np.zeros_like(slope)),
        (c.p11, np.maximum(p11, _STEP_SLOPE_VARIANCE)),
        (c.run, np.zeros_like(slope)),
    ):
        part[:, at] = np.where(steps, new, part[:, at])


def _saw(c: Columns, middle: Floats, hours: Floats) -> tuple[Bools, Floats]:
    """Follow the peak; return where a drop from it shows, and where it began."""
    above = middle >= c.peak
    crest = np.where(above, middle, c.crest)
    decay = 1 - np.exp(np.minimum(hours, 1 / 6) / -PEAK_HOURS)
    peak = np.where(above, middle, c.peak + (middle - c.peak) * decay)
    # The last term keeps a daily descent, which the slope knows of, from looking like a drop.
    depth = np.maximum(np.maximum(2.0, 4 * np.sqrt(c.noise)), c.slope[1] * (-2 / 3))
    dropped: Bools = peak - middle > depth
    c.peak[:] = np.where(dropped, middle, peak)
    c.crest[:] = np.where(dropped, middle, crest)
    return dropped, crest


_SLOPE_NOISE: Final = SLOPE_NOISE[:, None]
_STEP_SLOPE_VARIANCE: Final = STEP_SLOPE_VARIANCE[:, None]

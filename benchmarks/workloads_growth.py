"""Seeded series that run full, and series that look as if: what growth is calibrated and scored on.

A family makes one noise-free series from a random generator: percent of a disk, a memory, a leak.
These families are those of the prior (`models.growth_prior`); `benchmarks.workloads_growth_unseen`
holds families that no choice was made on. ``onset`` says from when on the growth that fills the
series is there: before that nobody can foresee it, and no forecast is scored.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from models.growth import SLOT

LIMIT = 90.0
EVERY = 600.0  # seconds
DAYS = 14
STEPS = int(DAYS * 86_400 / EVERY)
HOURS = np.arange(STEPS) * EVERY / 3600
PER_FAMILY = 24
START = 1_760_000_000.0 // SLOT * SLOT
Rng = np.random.Generator


class Made(NamedTuple):
    """One series.

    Attributes
    ----------
    truth : (t,)
        Noise-free percent.
    begins : (t,) or None
        Where a generation begins.
    onset
        Hour from which the growth that matters is there.
    scale : (t,) or None
        Size of what is filled, in units of its first size; changes with a resize.
    """

    truth: Any
    begins: Any = None
    onset: float = 0.0
    scale: Any = None


def _rhythm(rng: Rng, amplitude: float) -> Any:
    phase = rng.uniform(0, 24)
    return amplitude * np.sin((HOURS + phase) * 2 * np.pi / 24)


def _linear(rng: Rng) -> Any:
    base = rng.uniform(5, 50)
    return base + (LIMIT - base) * HOURS / rng.uniform(60, 330)


def _seasonal(rng: Rng) -> Any:
    return _linear(rng) + _rhythm(rng, rng.uniform(2, 9))


def _workday(rng: Rng) -> Any:
    awake = np.maximum(np.sin((HOURS + rng.uniform(0, 24)) * 2 * np.pi / 24), 0)
    base = rng.uniform(5, 50)
    grown = np.cumsum(awake) / awake.sum()
    return base + (LIMIT - base) * grown * rng.uniform(1.0, 3.0)


def _accelerating(rng: Rng) -> Any:
    base = rng.uniform(5, 50)
    return base + (LIMIT - base) * (HOURS / rng.uniform(100, 330)) ** rng.uniform(1.6, 3)


def _jumps(rng: Rng) -> Any:
    jumps = (rng.random(STEPS) < 1 / (6 * rng.uniform(3, 20))) * rng.exponential(4, STEPS)
    return rng.uniform(10, 40) + np.cumsum(jumps)


def _rate_change(rng: Rng) -> Made:
    turn = rng.uniform(48, 200)
    slow, fast = rng.uniform(0, 0.1), rng.uniform(0.3, 1.5)
    truth = rng.uniform(10, 40) + slow * HOURS + fast * np.maximum(HOURS - turn, 0)
    return Made(truth, onset=turn)


def _runaway(rng: Rng) -> Made:
    base, onset = rng.uniform(10, 60), rng.uniform(30, 300)
    rise = (LIMIT + 5 - base) * np.clip((HOURS - onset) / rng.uniform(3, 36), 0, 1)
    return Made(base + rise + _rhythm(rng, rng.uniform(0, 4)), onset=onset)


def _saw_leak(rng: Rng) -> Any:
    every, depth = rng.uniform(6, 40), rng.uniform(4, 15)
    tooth = (HOURS / every % 1) * depth
    return rng.uniform(10, 40) + tooth + HOURS * rng.uniform(0.1, 0.5)


def _season(rng: Rng) -> Any:
    return rng.uniform(15, 60) + _rhythm(rng, rng.uniform(2, 14)) + rng.uniform(0, 6)


def _plateau(rng: Rng) -> Any:
    base, onset = rng.uniform(10, 40), rng.uniform(20, 300)
    rise = rng.uniform(8, 40) * np.clip((HOURS - onset) / rng.uniform(1, 12), 0, 1)
    return base + rise + _rhythm(rng, rng.uniform(0, 4))


def _rotation(rng: Rng) -> Any:
    every, depth = rng.uniform(5, 60), rng.uniform(5, 40)
    return rng.uniform(10, 40) + (HOURS / every % 1) * depth


def _image_gc(rng: Rng) -> Any:
    level, out, rate = rng.uniform(50, 80), np.empty(STEPS), rng.uniform(0.1, 1.5)
    for i in range(STEPS):
        level += max(0.0, rng.normal(rate, rate)) * EVERY / 3600
        level = rng.uniform(76, 81) if level > 85 else level
        out[i] = level
    return out


def _wander(rng: Rng) -> Any:
    level, out, home = 0.0, np.empty(STEPS), rng.uniform(25, 55)
    pull, step = 1 / rng.uniform(60, 600), rng.uniform(0.1, 0.7)
    for i in range(STEPS):
        level += rng.normal(0, step) - pull * level
        out[i] = level
    return np.clip(home + out, 2, 84)


def _batches(rng: Rng) -> Any:
    out, level, on, high = np.empty(STEPS), 20.0, False, rng.uniform(20, 45)
    low = rng.uniform(10, 35)
    for i in range(STEPS):
        if rng.random() < EVERY / 3600 / (5 if on else 9):
            on = not on
        level += ((low + high * on) - level) * 0.25
        out[i] = level
    return out


def _saturating(rng: Rng) -> Any:
    base, room, onset = rng.uniform(10, 40), rng.uniform(10, 42), rng.uniform(0, 150)
    return base + room * (1 - np.exp(-np.maximum(HOURS - onset, 0) / rng.uniform(6, 60)))


def _stops(rng: Rng) -> Any:
    base, onset, span = rng.uniform(10, 35), rng.uniform(0, 60), rng.uniform(30, 150)
    return base + rng.uniform(10, 40) * np.clip((HOURS - onset) / span, 0, 1)


def _flat(rng: Rng) -> Any:
    return np.full(STEPS, rng.uniform(5, 80))


def _leak(rng: Rng) -> Made:
    """A container whose memory leaks until it is killed, again and again."""
    out, begins, base = np.empty(STEPS), np.zeros(STEPS, bool), rng.uniform(5, 35)
    level, life = base, rng.uniform(5, 60)
    for i in range(STEPS):
        if level >= 100:
            level, begins[i] = base, True
        level += (100 - base) / life * EVERY / 3600 * rng.uniform(0.5, 1.5)
        out[i] = level
    return Made(np.minimum(out, 100), begins)


def _warm_up(rng: Rng) -> Made:
    """A container that fills its caches after each release and then stays."""
    out, begins = np.empty(STEPS), np.zeros(STEPS, bool)
    base, room, scale = rng.uniform(10, 30), rng.uniform(10, 55), rng.uniform(0.5, 10)
    age, every = 0.0, rng.uniform(20, 150)
    for i in range(STEPS):
        if rng.random() < EVERY / 3600 / every:
            age, begins[i] = 0.0, True
        out[i] = base + room * (1 - np.exp(-age / scale))
        age += EVERY / 3600
    return Made(out + _rhythm(rng, 3), begins)


GROWING: dict[str, Callable[[Rng], Any]] = {
    "linear": _linear,
    "seasonal": _seasonal,
    "workday": _workday,
    "accelerating": _accelerating,
    "jumps": _jumps,
    "rate-change": _rate_change,
    "runaway": _runaway,
    "saw-leak": _saw_leak,
    "leak": _leak,
}
BENIGN: dict[str, Callable[[Rng], Any]] = {
    "season": _season,
    "plateau": _plateau,
    "rotation": _rotation,
    "image-gc": _image_gc,
    "wander": _wander,
    "batches": _batches,
    "saturating": _saturating,
    "stops": _stops,
    "flat": _flat,
    "warm-up": _warm_up,
}


def _leak_varied(rng: Rng) -> Made:
    """A leak that depends on what comes in: no two generations alike, fast and slow for hours."""
    life, base = np.exp(rng.uniform(np.log(4), np.log(96))), rng.uniform(8, 45)
    between, within = rng.uniform(0, 0.45), rng.uniform(0, 0.6)
    keep = np.exp(-EVERY / 3600 / rng.uniform(0.5, 8))
    load = 1 + _rhythm(rng, rng.uniform(0, 0.8) * (rng.random() < 0.6))
    release = EVERY / 3600 / rng.uniform(60, 600)
    out, begins = np.empty(STEPS), np.zeros(STEPS, bool)
    rate = (100 - base) / life
    level, mine, mood = base + rng.uniform(0, 0.8) * (100 - base), rate, 0.0
    for i in range(STEPS):
        if level >= 100 or rng.random() < release:
            level, begins[i] = base * rng.uniform(0.9, 1.1), True
            mine = rate * np.exp(rng.normal(0, between))
        mood = keep * mood + np.sqrt(1 - keep * keep) * rng.normal()
        level += mine * load[i] * np.exp(within * mood - within**2 / 2) * EVERY / 3600
        out[i] = min(level, 100.0)
    return Made(out, begins)


def _leak_busy(rng: Rng) -> Made:
    """A leak by requests, under a garbage collector's teeth."""
    life, base = np.exp(rng.uniform(np.log(5), np.log(60))), rng.uniform(10, 40)
    between, depth, every = rng.uniform(0.02, 0.25), rng.uniform(0, 5), rng.integers(2, 12)
    load = 1 + _rhythm(rng, rng.uniform(0, 0.95))
    out, begins = np.empty(STEPS), np.zeros(STEPS, bool)
    rate = (100 - base) / life
    level, mine = base, rate
    for i in range(STEPS):
        if level + depth >= 100:
            level, begins[i] = base, True
            mine = rate * np.exp(rng.normal(0, between))
        level += mine * max(0.0, load[i] + rng.normal(0, 0.4)) * EVERY / 3600
        out[i] = min(level + depth * (i % every) / every, 100.0)
    return Made(out, begins)


# Leaks whose generations differ: what the leak clock's band is calibrated on.
LEAKS: dict[str, Callable[[Rng], Any]] = {"leak-varied": _leak_varied, "leak-busy": _leak_busy}

KILLED = ("leak", *LEAKS, "leak-rhythm")  # their limit, 100 %, ends a generation;
CONTAINERS = (*KILLED, "warm-up", "cache")  # theirs would, if it were met
COLLECTED = ("image-gc", "image-gc-mixed")  # every second declares its ceiling


class Fleet(NamedTuple):
    """Series of all families.

    Attributes
    ----------
    family : n names
    truth, seen : (n, t)
        Percent without and with noise and losses.
    begins : (n, t)
        Where a generation begins.
    limits, declared, onsets : (n,)
    scale : (n, t)
        What 100 % is, in units of what it was at first.
    """

    family: list[str]
    truth: Any
    seen: Any
    begins: Any
    limits: Any
    declared: Any
    onsets: Any
    scale: Any


def fleet(
    seed: int,
    per_family: int = PER_FAMILY,
    families: Mapping[str, Callable[[Rng], Any]] | None = None,
) -> Fleet:
    """Return the seeded fleet: of the families of the prior, or of others."""
    names, made, noises = [], [], []
    chosen = {**GROWING, **BENIGN} if families is None else families
    for number, (name, family) in enumerate(chosen.items()):
        for i in range(per_family):
            rng = np.random.default_rng([seed, number, i])
            one = family(rng)
            made.append(one if isinstance(one, Made) else Made(one))
            names.append(name)
            noises.append(rng.normal(0, rng.uniform(0.05, 0.9), STEPS))
    truth = np.clip(np.array([one.truth for one in made]), 0.5, 110)
    none = np.zeros(STEPS, bool)
    begins = np.array([none if one.begins is None else one.begins for one in made])
    whole = np.ones(STEPS)
    scale = np.array([whole if one.scale is None else one.scale for one in made])
    seen = np.maximum(truth + np.array(noises), 0.0)
    rng = np.random.default_rng([seed, 999])
    seen[rng.random(seen.shape) < 0.02] = np.nan
    family_of = np.array(names)
    contained = np.isin(family_of, CONTAINERS)
    limits = np.where(contained, 100.0, LIMIT)
    half = np.arange(len(names)) % 2 == 0
    declared = np.where(np.isin(family_of, COLLECTED) & half, 85.0, np.nan)
    onsets = np.array([one.onset for one in made])
    return Fleet(names, truth, seen, begins, limits, declared, onsets, scale)

"""Families of series that no model, threshold or table was chosen on: kept aside for scoring.

They were written before the tuning that they judge, after what operators report of disks
and memory: growth in stairs, on weekdays only, under backups and batches; and, harmless, logs
rotated by size or by week, machines that reboot, fill and clean up, grow and stop, or are resized.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workloads_growth import EVERY, HOURS, LIMIT, STEPS, Made, Rng

_DAY = HOURS // 24
_WEEKEND = _DAY % 7 >= 5


def _noise_rhythm(rng: Rng, most: float) -> Any:
    return rng.uniform(0, most) * np.sin((HOURS + rng.uniform(0, 24)) * 2 * np.pi / 24)


def _exponential(rng: Rng) -> Any:
    base = rng.uniform(3, 20)
    return base * np.exp(HOURS * np.log(LIMIT / base) / rng.uniform(120, 330))


def _staircase(rng: Rng) -> Any:
    every, step = rng.choice([6.0, 12.0, 24.0]), rng.uniform(1, 6)
    return rng.uniform(10, 50) + step * np.floor((HOURS + rng.uniform(0, every)) / every)


def _scale_up(rng: Rng) -> Made:
    turn, rate = rng.uniform(72, 200), rng.uniform(0.08, 0.25)
    more = rng.uniform(1.5, 4)
    return Made(
        rng.uniform(10, 40)
        + rate * HOURS
        + rate * (more - 1) * np.maximum(HOURS - turn, 0)
        + _noise_rhythm(rng, 3),
        onset=turn,
    )


def _quantised(rng: Rng) -> Any:
    base = rng.uniform(10, 50)
    line = base + (LIMIT - base) * HOURS / rng.uniform(80, 320)
    grain = rng.choice([1.0, 2.0, 5.0])
    return np.floor(line / grain) * grain


def _reboot_leak(rng: Rng) -> Any:
    """Leaks for days, is rebooted by hand twice, and leaks on."""
    rate, level, out = rng.uniform(0.25, 0.9), rng.uniform(10, 30), np.empty(STEPS)
    floor, reboots = level, sorted(rng.uniform(40, 200, 2) / EVERY * 3600)
    for i in range(STEPS):
        level += rate * EVERY / 3600
        if reboots and i >= reboots[0]:
            level = floor
            reboots.pop(0)
        out[i] = level
    return out


def _weekly_growth(rng: Rng) -> Any:
    working = np.where(_WEEKEND, rng.uniform(0, 0.2), 1.0)
    return rng.uniform(10, 40) + rng.uniform(0.15, 0.5) * np.cumsum(working) * EVERY / 3600


def _weekend_lull(rng: Rng) -> Any:
    level = np.where(_WEEKEND, rng.uniform(0.4, 0.8), 1.0)
    height = rng.uniform(3, 10) * (1 + np.sin(HOURS * 2 * np.pi / 24)) * level
    return rng.uniform(10, 40) + height + rng.uniform(0.1, 0.3) * HOURS


def _backup_growth(rng: Rng) -> Any:
    hour, height = rng.uniform(0, 22), rng.uniform(5, 20)
    window = ((HOURS - hour) % 24 < rng.uniform(1, 4)) * height
    return rng.uniform(10, 40) + rng.uniform(0.1, 0.4) * HOURS + window


def _batch_growth(rng: Rng) -> Any:
    out, on, extra = np.empty(STEPS), False, 0.0
    high, rate = rng.uniform(4, 15), rng.uniform(0.1, 0.4)
    for i in range(STEPS):
        if rng.random() < EVERY / 3600 / (4 if on else 8):
            on = not on
        extra += (high * on - extra) * 0.3
        out[i] = extra
    return rng.uniform(10, 40) + rate * HOURS + out


def _floor_rises(rng: Rng) -> Any:
    """Images are collected from 85 to about 75 %, but what cannot be collected grows."""
    level, out, rate = rng.uniform(50, 75), np.empty(STEPS), rng.uniform(0.4, 1.5)
    kept = rng.uniform(0.02, 0.08)
    floor = 70.0
    for i in range(STEPS):
        floor += kept * EVERY / 3600
        level += rate * EVERY / 3600
        if level > 85 and floor < 84:
            level = floor
        out[i] = level
    return out


def _bimodal(rng: Rng) -> Any:
    """A batch machine between two levels, for hours at a time."""
    out, level, on = np.empty(STEPS), 0.0, False
    low, high = rng.uniform(8, 30), rng.uniform(25, 50)
    mean_on, mean_off, speed = rng.uniform(3, 14), rng.uniform(4, 24), rng.uniform(0.03, 0.4)
    for i in range(STEPS):
        if rng.random() < EVERY / 3600 / (mean_on if on else mean_off):
            on = not on
        level += (high * on - level) * speed
        out[i] = level
    return low + out


def _log_by_time(rng: Rng) -> Any:
    every = rng.choice([24.0, 48.0, 84.0, 168.0])
    most = rng.uniform(15, 55)
    return rng.uniform(8, 28) + most * ((HOURS + rng.uniform(0, every)) % every) / every


def _log_by_size(rng: Rng) -> Any:
    out, level, size = np.empty(STEPS), 0.0, rng.uniform(10, 45)
    rate = rng.uniform(0.2, 3)
    for i in range(STEPS):
        busy = 1 + 0.8 * np.sin(i * EVERY / 86_400 * 2 * np.pi)
        level += max(0.0, rng.normal(rate * busy, rate / 2)) * EVERY / 3600
        if level > size:
            level = 0.0
        out[i] = level
    return rng.uniform(10, 35) + out


def _stops(rng: Rng) -> Any:
    """Grows at a rate that would fill it in days, and stops."""
    onset, hours, rate = rng.uniform(10, 150), rng.uniform(20, 90), rng.uniform(0.2, 0.9)
    top = rng.uniform(45, 84)
    rise = np.minimum(rate * np.clip(HOURS - onset, 0, hours), 50)
    return np.minimum(rng.uniform(10, 35) + rise, top) + _noise_rhythm(rng, 2)


def _image_gc_mixed(rng: Rng) -> Any:
    level, out = rng.uniform(50, 80), np.empty(STEPS)
    for i in range(STEPS):
        if rng.random() < EVERY / 3600 / 3:  # a pull
            level += rng.exponential(2.0)
        if level > 85:
            level -= rng.uniform(3, 12)
        out[i] = min(level, 87.5)
    return out


def _weekly_flat(rng: Rng) -> Any:
    height = np.where(_WEEKEND, rng.uniform(0, 0.5), 1.0) * rng.uniform(8, 30)
    return rng.uniform(10, 40) + height * np.maximum(np.sin(HOURS * 2 * np.pi / 24), 0)


def _reboots(rng: Rng) -> Any:
    out, age, room = np.empty(STEPS), rng.uniform(0, 60), rng.uniform(10, 40)
    scale, every = rng.uniform(2, 40), rng.uniform(40, 150)
    for i in range(STEPS):
        age = 0.0 if rng.random() < EVERY / 3600 / every else age + EVERY / 3600
        out[i] = 1 - np.exp(-age / scale)
    return rng.uniform(8, 35) + room * out


def _backup(rng: Rng) -> Any:
    hour, hours = rng.uniform(0, 20), rng.uniform(1, 5)
    share = np.clip(((HOURS - hour) % 24) / hours, 0, 1) * (((HOURS - hour) % 24) < hours)
    return rng.uniform(10, 40) + rng.uniform(10, 42) * share


def _fill_and_clean(rng: Rng) -> Any:
    out, level, filling = np.empty(STEPS), 0.0, False
    for i in range(STEPS):
        if not filling and rng.random() < EVERY / 3600 / 40:
            filling, rate, top = True, rng.uniform(3, 25), rng.uniform(20, 55)
        if filling:
            level += rate * EVERY / 3600
            if level > top:
                filling = False
        else:
            level = max(0.0, level - 30 * EVERY / 3600)
        out[i] = level
    return rng.uniform(8, 28) + out


def _resized(rng: Rng) -> Made:
    """A flat series whose volume is made smaller or larger: percent jumps, bytes do not."""
    turn, size = rng.uniform(80, 250), rng.choice([0.6, 0.75, 1.5, 2.0])
    scale = np.where(turn < HOURS, size, 1.0)
    used = rng.uniform(15, 45) + _noise_rhythm(rng, 3)
    return Made(used / scale, scale=scale)


GROWING: dict[str, Callable[[Rng], Any]] = {
    "exponential": _exponential,
    "staircase": _staircase,
    "scale-up": _scale_up,
    "quantised": _quantised,
    "reboot-leak": _reboot_leak,
    "weekly-growth": _weekly_growth,
    "weekend-lull": _weekend_lull,
    "backup-growth": _backup_growth,
    "batch-growth": _batch_growth,
    "floor-rises": _floor_rises,
}
BENIGN: dict[str, Callable[[Rng], Any]] = {
    "bimodal": _bimodal,
    "log-by-time": _log_by_time,
    "log-by-size": _log_by_size,
    "stops-late": _stops,
    "image-gc-mixed": _image_gc_mixed,
    "weekly-flat": _weekly_flat,
    "reboots": _reboots,
    "backup": _backup,
    "fill-and-clean": _fill_and_clean,
    "resized": _resized,
}


def _leak_rhythm(rng: Rng) -> Made:
    """A container that leaks with its load, generation after generation, now and then released."""
    life = np.exp(rng.uniform(np.log(6), np.log(80)))
    swing, tooth = rng.uniform(0, 0.9), rng.uniform(0, 4)
    phase, base, spread = rng.uniform(0, 24), rng.uniform(10, 40), rng.uniform(0.02, 0.35)
    out, begins = np.empty(STEPS), np.zeros(STEPS, bool)
    level, rate = base, (100 - base) / life
    mine = rate
    for i in range(STEPS):
        if level >= 100 or rng.random() < EVERY / 3600 / 400:  # killed, or a release
            level, begins[i] = base, True
            mine = rate * np.exp(rng.normal(0, spread))
        load = 1 + swing * np.sin((HOURS[i] + phase) * 2 * np.pi / 24)
        level += mine * load * EVERY / 3600
        out[i] = min(level + tooth * ((i // 3) % 2) * (level < 96), 100.0)
    return Made(out, begins)


LEAKS: dict[str, Callable[[Rng], Any]] = {"leak-rhythm": _leak_rhythm}

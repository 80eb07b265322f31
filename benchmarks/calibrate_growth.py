"""Writes the growth model's prior from seeded synthetic series, and says how good it is on others.

``python -m benchmarks.calibrate_growth`` simulates the families below with the design seeds, lets
the model count its own forecasts from an empty table and writes `models/growth_prior.py`.
``python -m benchmarks.calibrate_growth --evaluate`` runs one held-out seed, never used for a
choice, with the committed prior frozen, and prints accuracy beside `predict_linear` over six hours
**in the same run**, alarms of benign series, and lead times.

One core: 90 s to write the prior, 30 s to evaluate it.

What it cannot tell: the families and the model share an author; ratios are safer than figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.calibration import CalibrationBank, Table
from models.forecast import foresee
from models.growth import SLOT, GrowthBank

DESIGN_SEEDS = (11, 12, 13)
HELD_OUT_SEED = 905
LIMIT = 90.0
EVERY = 600.0  # seconds
DAYS = 14
STEPS = int(DAYS * 86_400 / EVERY)
HOURS = np.arange(STEPS) * EVERY / 3600
PER_FAMILY = 24
START = 1_760_000_000.0 // SLOT * SLOT
Rng = np.random.Generator
Series = tuple[Any, Any]  # (t,) noise-free percent, (t,) bool: a new generation begins here


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


def _rate_change(rng: Rng) -> Any:
    turn = rng.uniform(48, 200)
    slow, fast = rng.uniform(0, 0.1), rng.uniform(0.3, 1.5)
    return rng.uniform(10, 40) + slow * HOURS + fast * np.maximum(HOURS - turn, 0)


def _runaway(rng: Rng) -> Any:
    base, onset = rng.uniform(10, 60), rng.uniform(30, 300)
    rise = (LIMIT + 5 - base) * np.clip((HOURS - onset) / rng.uniform(3, 36), 0, 1)
    return base + rise + _rhythm(rng, rng.uniform(0, 4))


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


def _leak(rng: Rng) -> Series:
    """A container whose memory leaks until it is killed, again and again."""
    out, begins, base = np.empty(STEPS), np.zeros(STEPS, bool), rng.uniform(5, 35)
    level, life = base, rng.uniform(5, 60)
    for i in range(STEPS):
        if level >= 100:
            level, begins[i] = base, True
        level += (100 - base) / life * EVERY / 3600 * rng.uniform(0.5, 1.5)
        out[i] = level
    return np.minimum(out, 100), begins


def _warm_up(rng: Rng) -> Series:
    """A container that fills its caches after each release and then stays."""
    out, begins = np.empty(STEPS), np.zeros(STEPS, bool)
    base, room, scale = rng.uniform(10, 30), rng.uniform(10, 55), rng.uniform(0.5, 10)
    age, every = 0.0, rng.uniform(20, 150)
    for i in range(STEPS):
        if rng.random() < EVERY / 3600 / every:
            age, begins[i] = 0.0, True
        out[i] = base + room * (1 - np.exp(-age / scale))
        age += EVERY / 3600
    return out + _rhythm(rng, 3), begins


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


class Fleet(NamedTuple):
    """Series of all families.

    Attributes
    ----------
    family : n names
    truth, seen : (n, t)
        Percent without and with noise and losses.
    begins : (n, t)
        Where a generation begins.
    limits, declared : (n,)
    """

    family: list[str]
    truth: Any
    seen: Any
    begins: Any
    limits: Any
    declared: Any


def fleet(seed: int, per_family: int = PER_FAMILY) -> Fleet:
    """Return the seeded fleet."""
    names, truths, starts, noises = [], [], [], []
    for number, (name, family) in enumerate({**GROWING, **BENIGN}.items()):
        for i in range(per_family):
            rng = np.random.default_rng([seed, number, i])
            made = family(rng)
            truth, begins = made if isinstance(made, tuple) else (made, np.zeros(STEPS, bool))
            names.append(name)
            truths.append(truth)
            starts.append(begins)
            noises.append(rng.normal(0, rng.uniform(0.05, 0.9), STEPS))
    truth = np.clip(np.array(truths), 0.5, 110)
    seen = np.maximum(truth + np.array(noises), 0.0)
    rng = np.random.default_rng([seed, 999])
    seen[rng.random(seen.shape) < 0.02] = np.nan
    family_of = np.array(names)
    limits = np.where((family_of == "leak") | (family_of == "warm-up"), 100.0, LIMIT)
    half = np.arange(len(names)) % 2 == 0
    declared = np.where((family_of == "image-gc") & half, 85.0, np.nan)
    return Fleet(names, truth, seen, np.array(starts), limits, declared)


class Run(NamedTuple):
    """What was said at the end of every slot; NaN after a series has ended. Shapes (n, slots)."""

    hours: Any  # median time left, as calibrated
    low: Any  # P10
    high: Any  # P90
    within24: Any
    alarm: Any
    linear: Any  # predict_linear over six hours


def run(world: Fleet, table: Table) -> Run:
    """Feed the fleet through the model; a series ends where its truth meets its limit."""
    n = len(world.family)
    bank, memory = GrowthBank(n), CalibrationBank(n)
    slots = int(STEPS * EVERY / SLOT)
    out = [np.full((n, slots), np.nan) for _ in range(6)]
    rows = np.arange(n)
    killed_at_limit = np.array([name == "leak" for name in world.family])
    met = world.truth >= world.limits[:, None]
    met &= ~killed_at_limit[:, None]
    end = np.where(met.any(axis=1), met.argmax(axis=1), STEPS)
    window = int(6 * 3600 / EVERY)
    for step in range(STEPS):
        at = START + step * EVERY + 1.0
        begin = rows[world.begins[:, step] & (end > step - 3)]
        if begin.size:
            killed = bank.restart(begin)
            slot = np.full(begin.size, int(at // SLOT), np.int64)
            memory.restart(begin, slot, killed, table)
        live = rows[end > step - 6]  # an hour at the limit, so that forecasts resolve
        closed = live[bank.learn_many(live, np.full(live.size, at), world.seen[live, step])]
        if not closed.size:
            continue
        limits, declared = world.limits[closed], world.declared[closed]
        _, odds = foresee(bank, memory, table, closed, limits, declared)
        if int(at // SLOT) % 48 == 0:
            table.fold()
        place = int((at - START) // SLOT) - 1
        before = end[closed] > step
        told, tell = closed[before], before
        for target, value in zip(
            out,
            (
                *(odds.hours[:, i] for i in (1, 0, 2)),
                odds.crossing[:, 0],
                odds.alarm,
            ),
            strict=False,
        ):
            target[told, place] = value[tell]
        out[5][told, place] = _linear_left(world, told, step, window)
    return Run(*out)


def _linear_left(world: Fleet, rows: Any, step: int, window: int) -> Any:
    part = world.seen[rows, max(0, step - window) : step + 1]
    known = ~np.isnan(part)
    count = np.maximum(known.sum(axis=1), 1)
    x = (np.arange(part.shape[1]) - part.shape[1] + 1) * EVERY / 3600
    y = np.where(known, part, 0.0)
    mean_x, mean_y = (known * x).sum(axis=1) / count, y.sum(axis=1) / count
    off = np.where(known, x - mean_x[:, None], 0.0)
    slope = (off * (y - mean_y[:, None])).sum(axis=1) / np.maximum((off**2).sum(axis=1), 1e-9)
    room = world.limits[rows] - (mean_y - slope * mean_x)
    return np.where(slope > 1e-9, np.maximum(room / np.where(slope > 0, slope, 1), 0), np.inf)


def crossings(world: Fleet) -> list[list[float]]:
    """Return the true crossings of each series in slots: one, or one per generation."""
    out = []
    for i, name in enumerate(world.family):
        if name == "leak":
            steps = np.flatnonzero(world.begins[i]).tolist()
        else:
            met = world.truth[i] >= world.limits[i]
            steps = [int(met.argmax())] if met.any() else []
        out.append([step * EVERY / SLOT for step in steps])
    return out


def report(world: Fleet, said: Run) -> None:
    """Print accuracy, false alarms and leads."""
    truth = crossings(world)
    print("MdAPE % at 6/24/72 h before the crossing: ours | predict_linear 6h | n")
    for name in [*GROWING, "all"]:
        cells = []
        for lead in (6, 24, 72):
            ours, linear = [], []
            for i, family in enumerate(world.family):
                if name not in (family, "all"):
                    continue
                for j, cross in enumerate(truth[i]):
                    place = int(cross - 2 * lead) - 1
                    begin = truth[i][j - 1] if j else 0
                    if place - begin < lead / 2 or place < 4:  # not identifiable
                        continue
                    left = (cross - place - 1) / 2
                    ours.append(abs(said.hours[i, place] / left - 1))
                    linear.append(abs(said.linear[i, place] / left - 1))
            mids = [100 * min(float(np.median(e)), 10) if e else np.nan for e in (ours, linear)]
            cells.append((*mids, len(ours)))
        print(
            f"  {name:13s}",
            "/".join(f"{c[0]:.0f}" for c in cells),
            "|",
            "/".join(f"{c[1]:.0f}" for c in cells),
            "|",
            "/".join(str(c[2]) for c in cells),
        )
    print("alarms of benign series: episodes per series-week, ours | predict_linear 6h < 24 h")
    total: list[Any] = []
    for name in BENIGN:
        mine = [i for i, family in enumerate(world.family) if family == name]
        weeks = len(mine) * DAYS / 7
        ours = _episodes(said.alarm[mine] == 1) / weeks
        with np.errstate(invalid="ignore"):
            short = said.linear[mine] < 24
        linear = _episodes(short[:, 1:] & short[:, :-1]) / weeks
        total.append((ours, linear))
        print(f"  {name:13s} {ours:.3f} | {linear:.3f}")
    print("  all           {:.3f} | {:.3f}".format(*np.mean(total, axis=0)))
    print("recall of the alarm at 1/4/24 h before the crossing, median lead h")
    for name in [*GROWING, "all"]:
        leads = []
        for i, family in enumerate(world.family):
            if name not in (family, "all"):
                continue
            for j, cross in enumerate(truth[i]):
                begin = int(truth[i][j - 1]) if j else 0
                on = np.flatnonzero(said.alarm[i, begin : int(cross)] == 1)
                if cross - begin > 8:
                    leads.append((cross - begin - on[0]) / 2 if on.size else 0.0)
        if leads:
            shares = [np.mean(np.array(leads) >= hours) for hours in (1, 4, 24)]
            print(
                f"  {name:13s}",
                "/".join(f"{s:.2f}" for s in shares),
                f"{np.median(leads):.1f} h  n={len(leads)}",
            )
    inside, hits = 0, []
    stated = []
    for i, cross_list in enumerate(truth):
        for place in range(4, said.hours.shape[1], 12):
            ahead = [c for c in cross_list if c > place + 1]
            left = (ahead[0] - place - 1) / 2 if ahead else np.inf
            middle = said.hours[i, place]
            if np.isnan(middle):
                continue
            stated.append((said.within24[i, place], left <= 24))
            if np.isfinite(middle) and middle > 0 and left < 190:
                inside += 1
                hits.append(said.low[i, place] <= left <= said.high[i, place])
    print(f"80 % interval covers {np.mean(hits):.3f} of {inside} forecasts that crossed")
    odds = np.array(stated, np.float64)
    brier = np.mean((odds[:, 0] - odds[:, 1]) ** 2)
    rate = odds[:, 1].mean()
    print(f"P24: Brier {brier:.4f} (base rate {rate * (1 - rate):.4f})")
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        of = odds[(odds[:, 0] >= low) & (odds[:, 0] < high)]
        if len(of):
            print(f"  stated {of[:, 0].mean():.2f} observed {of[:, 1].mean():.2f} n={len(of)}")


def _episodes(on: Any) -> int:
    return int((on[:, 1:] & ~on[:, :-1]).sum() + on[:, 0].sum())


def write(table: Table, path: Path) -> None:
    """Write the prior as a module."""
    head = path.read_text().split('"""')[1]
    counts = table.arrays()["counts"]
    kinds = "tuple[tuple[int, float, float, float, float], ...]"
    rows = [
        f"    ({cell}, {', '.join(f'{value:.1f}' for value in counts[cell])}),"
        for cell in np.flatnonzero(counts[:, 0] > 0)
    ]
    tracked = [
        f"    ({', '.join(f'{value:.3f}' for value in row)}),"
        for row in table.arrays()["quantiles"]
    ]
    lines = [f'"""{head}"""', "", f"COUNTS: {kinds} = (", *rows, ")"]
    lines += ["QUANTILES: tuple[tuple[float, float], ...] = (", *tracked]
    path.write_text("\n".join([*lines, ")", ""]))


def main() -> None:
    """Write the prior, or evaluate the one that is there."""
    if "--evaluate" in sys.argv:
        world = fleet(HELD_OUT_SEED)
        report(world, run(world, Table()))
        return
    table = Table(prior=False)
    for seed in DESIGN_SEEDS:
        world = fleet(seed)
        said = run(world, table)
        table.fold()
    report(world, said)
    from models import growth_prior

    write(table, Path(growth_prior.__file__))


if __name__ == "__main__":
    main()

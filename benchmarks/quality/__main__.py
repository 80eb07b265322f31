"""Measures every model on data that it was not made on, beside what others use; one table.

    python -m benchmarks.quality [--only G R E A N L S] [--quick] [--slow] [--json FILE]

Seeds below were not used for any choice; the families of `benchmarks.workloads_growth_unseen` were
written before the choices that they judge. ``NAB_DATA`` names a checkout of the Numenta Anomaly
Benchmark; without it its figures are left out, and said to be. Ends with 1 when a figure is worse
than its bound. About eight minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks import workloads_growth as like
from benchmarks import workloads_growth_unseen as unseen
from benchmarks.quality import anomaly, events, growth, nab, restarts, speed
from benchmarks.quality.figures import AIMS, JUDGED, Figure
from models import BANKS
from models.calibration import Table

GROWTH_SEED, UNSEEN_SEED, LEAK_SEED = 921, 2021, 3021
RESTART_SEEDS, EVENT_SEEDS, SHARE_SEED = (31, 32, 33), (22, 23, 24), 41
PER_FAMILY = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(SCENARIOS), default=sorted(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="one seed, fewer series")
    parser.add_argument("--slow", action="store_true", help="river's trees on NAB as well")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    audit()
    figures: list[Figure] = []
    for name in options.only:
        figures += SCENARIOS[name](options)
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps([figure._asdict() for figure in figures], indent=1))
    worse = [f.id for f in figures if not AIMS[f.id].holds(f.value)]
    if worse:
        sys.exit(f"worse than their bounds: {', '.join(worse)}")


def audit() -> None:
    """Refuse to run when a bank is judged by no figure, or a figure has no aim."""
    if set(JUDGED) != set(BANKS):
        sys.exit(f"banks without figures, or figures without banks: {set(JUDGED) ^ set(BANKS)}")
    nameless = {name for names in JUDGED.values() for name in names} - set(AIMS)
    if nameless:
        sys.exit(f"figures without an aim: {nameless}")


def _growth(options: argparse.Namespace) -> list[Figure]:
    per = 8 if options.quick else PER_FAMILY
    out = []
    world, said = _fleet(GROWTH_SEED, per, {**like.GROWING, **like.BENIGN})
    growing, benign = _disks(like.GROWING), _disks(like.BENIGN)
    out += _accuracy("G1", world, said, growing)
    out.append(_false("G3-like", world, said, benign))
    hidden = growth.episodes(world, said.alarm, ["image-gc"], undeclared=True)
    note = "a first fill looks like any other; after it, it is known"
    out.append(Figure("G3-undeclared", hidden, {}, note))
    leads = growth.leads(world, said.alarm, growing)
    rules = {n: growth.leads(world, growth.short(h), growing) for n, h in said.baselines.items()}
    recalls = {name: float(np.mean(np.array(found) >= 4)) for name, found in rules.items()}
    medians = {name: float(np.median(found)) for name, found in rules.items()}
    out.append(Figure("G4-recall", float(np.mean(np.array(leads) >= 4)), recalls))
    out.append(Figure("G4-lead", float(np.median(leads)), medians))
    out += _cover("G5-like", world, said, growing + benign)
    world, said = _fleet(UNSEEN_SEED, per, {**unseen.GROWING, **unseen.BENIGN})
    growing, benign = _disks(unseen.GROWING), _disks(unseen.BENIGN)
    out += _accuracy("G2", world, said, growing)
    out.append(_false("G3-unseen", world, said, benign))
    out += _cover("G5-unseen", world, said, growing + benign)
    return out


def _fleet(
    seed: int, per: int, families: Mapping[str, Callable[..., object]]
) -> tuple[like.Fleet, growth.Said]:
    chosen = {name: make for name, make in families.items() if name not in like.CONTAINERS}
    world = like.fleet(seed, per, chosen)
    return world, growth.simulate(world, Table())


def _disks(families: Mapping[str, object]) -> list[str]:
    return [name for name in families if name not in like.CONTAINERS]


def _accuracy(name: str, world: like.Fleet, said: growth.Said, names: list[str]) -> list[Figure]:
    mine, counts = growth.accuracy(world, said.hours, names)
    others = {n: growth.accuracy(world, h, names)[0] for n, h in said.baselines.items()}
    return [
        Figure(f"{name}-{lead}", mine[i], {n: v[i] for n, v in others.items()}, f"n={counts[i]}")
        for i, lead in enumerate(growth.LEADS)
    ]


def _false(name: str, world: like.Fleet, said: growth.Said, names: list[str]) -> Figure:
    rules = {n: growth.episodes(world, growth.short(h), names) for n, h in said.baselines.items()}
    each = {n: growth.episodes(world, said.alarm, [n]) for n in names}
    worst = max(each, key=lambda n: each[n])
    note = f"worst: {worst} {each[worst]:.2f}"
    return Figure(name, growth.episodes(world, said.alarm, names), rules, note)


def _cover(name: str, world: like.Fleet, said: growth.Said, names: list[str]) -> list[Figure]:
    found = growth.coverage(world, said, names)
    every = (
        f"n={found.count}, {found.censored:.0%} never came; open ones that came {found.came:.2f}"
    )
    closed = (
        f"n={found.closed_count}, {found.early:.0%} came before, {found.late:.0%} after; "
        f"P90/P10 {found.width:.2f}, interval score {found.score:.2f}"
    )
    return [Figure(name, found.held, {}, every), Figure(f"{name}-closed", found.closed, {}, closed)]


def _leaks(options: argparse.Namespace) -> list[Figure]:
    world = like.fleet(LEAK_SEED, 30 if options.quick else 100, unseen.LEAKS)
    said = growth.simulate(world, Table())
    mine = growth.of_lives(world, said.hours)
    line = growth.of_lives(world, said.baselines["predict_linear 6h"])
    out = [Figure(f"L1-{p}", mine[p], {"predict_linear 6h": line[p]}) for p in (25, 50, 75)]
    return [*out, *_cover("L2", world, said, list(unseen.LEAKS))[1:]]


def _restarts(options: argparse.Namespace) -> list[Figure]:
    return restarts.bursts(RESTART_SEEDS[:1] if options.quick else RESTART_SEEDS)


def _namespaces(options: argparse.Namespace) -> list[Figure]:
    return restarts.shares(SHARE_SEED)


def _events(options: argparse.Namespace) -> list[Figure]:
    return events.measure(EVENT_SEEDS[:1] if options.quick else EVENT_SEEDS)


def _anomaly(options: argparse.Namespace) -> list[Figure]:
    place = nab.folder()
    if place is None:
        print("NAB_DATA names no checkout of NAB: A1 and G3-real are left out", file=sys.stderr)
        return []
    series = nab.load(place)
    return [*anomaly.measure(series, slow=options.slow), growth.on_real(series)]


def _speed(options: argparse.Namespace) -> list[Figure]:
    return speed.measure()


SCENARIOS: Mapping[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "A": _anomaly,
    "E": _events,
    "G": _growth,
    "L": _leaks,
    "N": _namespaces,
    "R": _restarts,
    "S": _speed,
}


def table(figures: list[Figure]) -> str:
    """Return the table as Markdown."""
    lines = ["| id | what | measured | aim | met | beside, same data | note |", "|---" * 7 + "|"]
    for figure in figures:
        aim = AIMS[figure.id]
        beside = "; ".join(f"{n} {aim.form.format(v)}" for n, v in figure.beside.items())
        met = "yes" if aim.meets(figure.value) else "**no**"
        lines.append(
            f"| {figure.id} | {aim.what} | {aim.form.format(figure.value)} "
            f"| {aim.wanted} | {met} | {beside} | {figure.note} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Restart bursts and namespace shares under test, beside the rules that people use."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.quality.figures import Figure
from benchmarks.score_restarts import kleinberg, ours, score, three_in_ten_minutes
from benchmarks.workloads_restarts import World, weeks
from models.share import ShareBank

Delays = dict[str, list[float | None]]


def bursts(seeds: Sequence[int]) -> list[Figure]:
    """Score weeks of restarts; seeds 11 to 16 were looked at while the model was made."""
    f1, false, delay = _compared([weeks(seed) for seed in seeds])
    hard_f1, hard_false, hard_delay = _compared([weeks(seed, hard=True) for seed in seeds])
    note = "cycles of 50 to 120 min: two kills cannot be seen sooner"
    return [
        _figure("R1-f1", f1),
        _figure("R1-false", false),
        _figure("R1-loop", {name: delay[name]["crash-loop"] for name in delay}),
        _figure("R1-oom", {name: delay[name]["slow-oom"] for name in delay}, "with oom-kill", note),
        _figure("R2-f1", hard_f1),
        _figure("R2-false", hard_false),
        _figure("R2-release", {name: hard_delay[name]["bad-release"] for name in hard_delay}),
    ]


_OTHERS = ("CrashLoopBackOff 15 min", "k=3 in 10 min", "Kleinberg")


def _figure(name: str, of: Mapping[str, float], mine: str = "ours", note: str = "") -> Figure:
    return Figure(name, of[mine], {other: of[other] for other in _OTHERS}, note)


def _compared(
    worlds: Sequence[World],
) -> tuple[dict[str, float], dict[str, float], dict[str, dict[str, float]]]:
    """Return F1, false alarms and delays by kind of each method."""
    rows: dict[str, list[tuple[int, int, Delays]]] = defaultdict(list)
    weeks_seen = 0.0
    for world in worlds:
        weeks_seen += 400 * world.days / 7
        mine, _ = ours(world)
        for name, alerts in {
            "ours": mine["restart-burst"],
            "with oom-kill": mine["restart-burst"] + mine["oom-kill"],
            "CrashLoopBackOff 15 min": mine["crash-loop"],
            "k=3 in 10 min": three_in_ten_minutes(world),
            "Kleinberg": kleinberg(world),
        }.items():
            rows[name].append(score(alerts, world.incidents))
    f1, false, delay = {}, {}, {}
    for name, scored in rows.items():
        true, said = sum(r[0] for r in scored), sum(r[1] for r in scored)
        delays: Delays = defaultdict(list)
        for row in scored:
            for kind, values in row[2].items():
                delays[kind] += values
        every = [d for values in delays.values() for d in values]
        recall = sum(d is not None for d in every) / len(every)
        precision = true / max(said, 1)
        f1[name] = 2 * precision * recall / max(precision + recall, 1e-9)
        false[name] = 100 * (said - true) / weeks_seen
        delay[name] = {k: _median(v) for k, v in delays.items()}
    return f1, false, delay


def _median(delays: Sequence[float | None]) -> float:
    found = [d / 60 for d in delays if d is not None]
    return statistics.median(found) if found else float("nan")


def shares(seed: int, spaces: int = 200, steps: int = 1344) -> list[Figure]:
    """Let namespaces live for four weeks of half hours, and some rise to a third of their pods."""
    rng = np.random.default_rng(seed)
    bank, rows = ShareBank(spaces), np.arange(spaces)
    pods = rng.integers(8, 80, spaces).astype(float)
    usual = rng.beta(0.6, 40, spaces)
    rises = {int(row): int(rng.integers(steps // 2, steps - 2)) for row in rows[: spaces // 4]}
    found, false = 0, 0
    for step in range(steps):
        k = rng.binomial(pods.astype(int), usual).astype(float)
        for row, when in rises.items():
            if step == when:
                k[row] = max(3.0, np.ceil(pods[row] / 3))
        scores = bank.score_many(rows, k, pods)
        said = (scores >= 4.0) & (k >= 3)
        for row in np.flatnonzero(said).tolist():
            if rises.get(row) == step:
                found += 1
            elif step > 48:
                false += 1
        bank.learn_many(rows, k, pods, np.where(said, 0.1, 1.0))
    weeks_seen = spaces * (steps - 48) / 336
    return [
        Figure("N1-recall", found / len(rises)),
        Figure("N1-false", 100 * false / weeks_seen),
    ]

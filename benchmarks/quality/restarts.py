"""Restart bursts and namespace shares under test, beside the rules that people use."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmarks.quality.figures import Figure
from benchmarks.score_restarts import ours, score, three_in_ten_minutes
from benchmarks.workloads_restarts import weeks
from models.share import ShareBank

Delays = dict[str, list[float | None]]


def bursts(seeds: Sequence[int]) -> list[Figure]:
    """Score weeks of restarts; seeds 11 and 12 were looked at while the model was made."""
    rows: dict[str, list[tuple[int, int, Delays]]] = defaultdict(list)
    weeks_seen = 0.0
    for seed in seeds:
        world = weeks(seed)
        weeks_seen += 400 * world.days / 7
        mine, _ = ours(world)
        for name, alerts in {
            "ours": mine["restart-burst"],
            "with oom-kill": mine["restart-burst"] + mine["oom-kill"],
            "CrashLoopBackOff 15 min": mine["crash-loop"],
            "k=3 in 10 min": three_in_ten_minutes(world),
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
    others = ("CrashLoopBackOff 15 min", "k=3 in 10 min")
    return [
        Figure("R1-f1", f1["ours"], {n: f1[n] for n in others}),
        Figure("R1-false", false["ours"], {n: false[n] for n in others}),
        Figure("R1-loop", delay["ours"]["crash-loop"],
               {n: delay[n]["crash-loop"] for n in others}),
        Figure("R1-oom", delay["with oom-kill"]["slow-oom"],
               {n: delay[n]["slow-oom"] for n in others},
               "cycles of 50 to 120 min: two kills cannot be seen sooner"),
    ]  # fmt: skip


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

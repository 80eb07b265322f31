"""Oddity under test on NAB: the live bank at its fixed threshold, beside three usual detectors.

The baselines take the best threshold that there is for them on this very corpus; ours takes none.
All say again only after 100 points (the record rule is ours alone).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.quality import nab
from benchmarks.quality.figures import Figure
from models.anomaly import THRESHOLD, AnomalyBank

REFRACTORY = 100  # points
HALVES = 40


def scores(series: Sequence[nab.Series]) -> list[Any]:
    """Return what the live bank says of every point, all series side by side."""
    n, longest = len(series), max(len(s.times) for s in series)
    times, values = np.full((longest, n), np.nan), np.full((longest, n), np.nan)
    for i, each in enumerate(series):
        times[: len(each.times), i], values[: len(each.times), i] = each.times, each.values
    bank, out = AnomalyBank(n, np.float64), np.zeros((longest, n))
    for step in range(longest):
        rows = np.flatnonzero(~np.isnan(times[step]))
        out[step, rows] = bank.learn_many(rows, times[step, rows], values[step, rows]).score
    return [out[: len(each.times), i] for i, each in enumerate(series)]


def quiet(scores: Any) -> Any:
    """Return scores that beat all that was said within the last `REFRACTORY` points."""
    out, last, since = np.zeros_like(scores), 0.0, REFRACTORY
    for i, score in enumerate(scores):
        since += 1
        if since > REFRACTORY:
            last = 0.0
        if score > last:
            out[i], last, since = score, score, 0
    return out


def gaussian(values: Any, window: int = 500) -> Any:
    """Return |z| against the mean and deviation of the points before."""
    total, square = np.cumsum(np.insert(values, 0, 0.0)), np.cumsum(np.insert(values**2, 0, 0.0))
    last = np.arange(len(values))
    first = np.maximum(last - window, 0)
    count = np.maximum(last - first, 1)
    mean = (total[last] - total[first]) / count
    variance = np.maximum((square[last] - square[first]) / count - mean**2, 1e-12)
    z = np.abs(values - mean) / np.sqrt(variance)
    return np.where(count >= 50, np.minimum(z, 30.0), 0.0)


def ewma(values: Any, rate: float = 0.01) -> Any:
    """Return |z| against exponentially weighted mean and variance."""
    mean, variance, out = values[0], 0.0, np.zeros(len(values))
    for i, value in enumerate(values):
        off = value - mean
        if i >= 50:
            out[i] = min(abs(off) / max(np.sqrt(variance), 1e-9), 30.0)
        mean += rate * off
        variance += rate * (off * off - variance)
    return out


def half_space_trees(values: Any) -> Any:
    """Return river's half-space trees on the value scaled to its first fifth."""
    from river.anomaly import HalfSpaceTrees

    early = values[: max(50, len(values) // 5)]
    low, high = float(early.min()), float(early.max())
    model = HalfSpaceTrees(n_trees=10, height=6, window_size=100, seed=1)
    out = np.zeros(len(values))
    for i, value in enumerate(values.tolist()):
        x = {"x": min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0)}
        out[i] = model.score_one(x)
        model.learn_one(x)
    return out


def measure(series: Sequence[nab.Series], *, slow: bool) -> list[Figure]:
    """Score NAB; with `slow`, river's trees as well (two minutes)."""
    tallies = [nab.tally(s, said) for s, said in zip(series, scores(series), strict=True)]
    beside = {}
    methods = {"EWMA z": ewma, "windowed Gaussian": gaussian}
    if slow:
        methods["river HalfSpaceTrees"] = half_space_trees
    for name, method in methods.items():
        other = [nab.tally(s, quiet(method(s.values))) for s in series]
        beside[name] = nab.score(other, nab.best_threshold(other))
    rng = np.random.default_rng(1)
    halves = []
    for _ in range(HALVES):
        half = rng.permutation(len(tallies))[: len(tallies) // 2]
        halves.append(nab.score([tallies[i] for i in half], THRESHOLD))
    note = f"random halves {np.mean(halves):.1f} ± {np.std(halves):.1f}"
    return [Figure("A1-nab", nab.score(tallies, THRESHOLD), beside, note)]

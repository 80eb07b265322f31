"""The Numenta Anomaly Benchmark by its own scoring rule, written anew from its paper.

A window is worth a sigmoid of the earliest detection in it; a detection outside costs by its
distance to the window before; a missed window costs 1. Profile "standard": a true positive 1, a
false positive 0.11, a missed window 1. The score is (sum − null) / (perfect − null) in percent,
where null says nothing. The first 15 % of a series (750 rows at most) are not scored.

The data are not part of the project: ``NAB_DATA`` names a checkout with ``data/`` and ``labels/``.

Reference: A. Lavin, S. Ahmad (2015), III-C, with the weights of its configuration file.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TRUE, FALSE, MISSED = 1.0, 0.11, 1.0  # weights of the standard profile
PROBATION, PROBATION_ROWS = 0.15, 750


class Series(NamedTuple):
    name: str
    times: Any  # (n,) Unix seconds
    values: Any
    windows: list[tuple[int, int]]  # first and last row of each


def folder() -> Path | None:
    """Return where the data are, if they are there."""
    given = os.environ.get("NAB_DATA")
    return Path(given) if given and (Path(given) / "labels").is_dir() else None


def load(place: Path) -> list[Series]:
    windows = json.loads((place / "labels" / "combined_windows.json").read_text())
    out = []
    for name, spans in sorted(windows.items()):
        rows = (place / "data" / name).read_text().splitlines()[1:]
        cells = [row.split(",") for row in rows]
        times = np.array([_seconds(cell[0]) for cell in cells])
        values = np.array([float(cell[1]) for cell in cells])
        found = []
        for since, until in spans:
            first = int(np.searchsorted(times, _seconds(since), "left"))
            last = int(np.searchsorted(times, _seconds(until), "right")) - 1
            found.append((first, last))
        out.append(Series(name, times, values, found))
    return out


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _sigmoid(place: float) -> float:
    """Return the worth of a detection: 1 long before a window's end, -1 long after; 0 at it."""
    return -1.0 if place > 3 else 2 / (1 + math.exp(5 * place)) - 1


class Tally(NamedTuple):
    """What a series is worth at any threshold: windows and false positives with their scores."""

    windows: int
    hits: list[list[tuple[float, float]]]  # of each window: (score, worth) of its rows
    false: list[tuple[float, float]]  # (score, cost)


def tally(series: Series, scores: Sequence[float]) -> Tally:
    rows = len(series.times)
    probation = min(int(PROBATION * rows), int(PROBATION * 5000))
    hits: list[list[tuple[float, float]]] = []
    inside = np.zeros(rows, bool)
    best = 2 / (1 + math.exp(-5.0)) - 1
    for first, last in series.windows:
        inside[first : last + 1] = True
        width = last - first + 1
        span = [
            (float(scores[i]), _sigmoid(-(last - i + 1) / width) / best)
            for i in range(max(first, probation), last + 1)
            if scores[i] > 0
        ]
        hits.append(span)
    false = []
    for i in np.flatnonzero(np.asarray(scores) > 0):
        if i < probation or inside[i]:
            continue
        before = [w for w in series.windows if w[1] < i]
        if not before:
            cost = -1.0
        else:
            first, last = before[-1]
            cost = _sigmoid((i - last) / max(last - first, 1))
        false.append((float(scores[i]), cost))
    return Tally(len(series.windows), hits, false)


def score(tallies: Sequence[Tally], threshold: float) -> float:
    """Return the standard score in percent of what is said at or above `threshold`."""
    total, windows = 0.0, 0
    for each in tallies:
        windows += each.windows
        for span in each.hits:
            worth = [w for s, w in span if s >= threshold]
            total += TRUE * max(worth) if worth else -MISSED
        total += FALSE * sum(cost for s, cost in each.false if s >= threshold)
    null, perfect = -MISSED * windows, TRUE * windows
    return 100 * (total - null) / (perfect - null)


def best_threshold(tallies: Sequence[Tally]) -> float:
    levels = {s for t in tallies for span in t.hits for s, _ in span}
    levels |= {s for t in tallies for s, _ in t.false}
    grid = np.quantile(sorted(levels), np.linspace(0, 1, 200)) if levels else [1.0]
    return max((float(level) for level in grid), key=lambda level: score(tallies, level))

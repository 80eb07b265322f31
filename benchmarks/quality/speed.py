"""How fast and how small: CPU time of one process, so that a busy machine does not count."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.quality.figures import Figure
from models.anomaly import AnomalyBank
from models.calibration import CalibrationBank
from models.crossing import look
from models.growth import SLOT, GrowthBank

SERIES, BATCH, BATCHES = 100_000, 8_192, 100
START = 1_760_000_400.0
SLOTS = 60  # half hours of history before the measurement


def _cpu(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def measure() -> list[Figure]:
    """Measure updates, state and forecasts; about a minute."""
    rng = np.random.default_rng(0)
    level, slope = rng.uniform(10, 60, SERIES), rng.uniform(0, 1, SERIES)
    bank, every = GrowthBank(SERIES), np.arange(SERIES)
    at = np.full(SERIES, START)
    for slot in range(SLOTS):
        at[:] = START + slot * SLOT
        bank.learn_many(every, at, level + slope * slot / 2 + rng.normal(0, 0.2, SERIES))
    batches = [rng.permutation(SERIES)[:BATCH] for _ in range(BATCHES)]

    def feed(learn: Callable[[Any, Any, Any], object]) -> float:
        """Return CPU seconds of `learn` alone, for one sample more of each batch's rows."""
        total = 0.0
        for rows in batches:
            at[rows] += 15.0
            times, values = at[rows], level[rows] + slope[rows] * SLOTS / 2
            began = time.process_time()
            learn(rows, times, values)
            total += time.process_time() - began
        return total / (len(batches) * BATCH)

    growth = min(feed(bank.learn_many) for _ in range(3))
    some = 8_192
    full, none = np.full(some, 100.0), np.full(some, np.nan)
    sweep = min(_cpu(lambda: look(bank.arrays(), every[:some], full, none)) for _ in range(3))
    memory = CalibrationBank(1).arrays()
    size = sum(a.itemsize * int(np.prod(a.shape[1:], dtype=int)) for a in memory.values())
    odd = AnomalyBank(SERIES)
    odd.learn_many(every, at, level)
    anomaly = min(feed(odd.learn_many) for _ in range(2))
    return [
        Figure("S1", 1e-6 / growth),
        Figure("S2", float(bank.nbytes + size)),
        Figure("S3", sweep / some * SERIES),
        Figure("S4", 1e-6 / anomaly),
    ]

"""Backtest of growth: at every half hour, how much time was said to be left, and was it a warning.

The samples go through the banks and the decision that the live operator uses (`models.forecast`),
a row per series, in the order of the file. A forecast is made when a sample closes a half hour;
its origin is the time of that sample, so nothing at an origin knows anything later. Where a half
hour has no sample, nothing is said. Each series has a calibration of its own, which goes on
learning from its own resolved forecasts: a series' result does not depend on which others are
backtested beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from forewarn.backtest.reading import Samples
from models.base import Rows
from models.calibration import CalibrationBank, Table
from models.forecast import foresee_apart
from models.growth import SLOT, GrowthBank
from stream.operators.growth import MARK
from stream.operators.growth_words import Said

_FULL: Final = 100.0  # percent of the limit, the banks' scale
_MOST: Final = 1e9  # percent; the bank believes far less

Line = dict[str, Any]


def run(
    series: Sequence[Samples], limit: float, advance: Callable[[float], None]
) -> list[list[Line]]:
    """Return the forecasts of each series.

    Alone about 0.2 ms a sample and 3 ms a half hour; a tenth of that beside others.
    """
    n = len(series)
    bank, memory = GrowthBank(n, np.float64), CalibrationBank(n)
    tables = [Table() for _ in range(n)]
    marks = np.full(n, math.inf)
    out: list[list[Line]] = [[] for _ in range(n)]
    longest = max(len(each.times) for each in series)
    for step in range(longest):
        rows = np.array([i for i in range(n) if step < len(series[i].times)], dtype=np.intp)
        at = np.array([series[i].times[step] for i in rows])
        values = np.array([series[i].values[step] for i in rows])
        mark = at // MARK
        for i in rows[mark > marks[rows]]:
            tables[i].fold()
        marks[rows] = np.fmax(np.where(np.isinf(marks[rows]), -1.0, marks[rows]), mark)
        with np.errstate(over="ignore"):  # beyond all measure is beyond the limit
            percent = _FULL * (values / limit)
        closed = bank.learn_many(rows, at, np.clip(percent, -_MOST, _MOST))
        if closed.any():
            _forecast(bank, memory, tables, rows[closed], at[closed].tolist(), out)
        if step % 256 == 0:
            advance(step / longest)
    return out


def _forecast(
    bank: GrowthBank,
    memory: CalibrationBank,
    tables: Sequence[Table],
    rows: Rows,
    at: Sequence[float],
    out: list[list[Line]],
) -> None:
    full, none = np.full(len(rows), _FULL), np.full(len(rows), math.nan)
    outlook, odds = foresee_apart(bank, memory, tables, rows, full, none)
    opened = bank.arrays()["slot"][rows] * SLOT
    for i, (row, origin) in enumerate(zip(rows.tolist(), at, strict=True)):
        said = Said(outlook, odds, i, origin - float(opened[i]))
        within24, within72 = said.within
        left = zip(("p10", "p50", "p90"), said.left, strict=True)
        out[row].append(
            {
                "origin": origin,
                "p_cross_24h": round(within24, 4),
                "p_cross_72h": round(within72, 4),
                "time_left": {k: round(s, 1) if math.isfinite(s) else None for k, s in left},
                "warn": bool(odds.alarm[i]),
            }
        )

"""What is foreseen for rows whose half-hour has just closed: outlook and odds, in one step.

The one place where trend, experts, crossing and calibration are put together, so that the live
operator, the backtest and the benchmarks cannot forecast differently. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.base import Floats, Rows
from models.calibration import CalibrationBank, Odds, Table
from models.crossing import Outlook, look
from models.growth import GrowthBank


def foresee(
    bank: GrowthBank,
    memory: CalibrationBank,
    table: Table,
    rows: Rows,
    limits: Floats,
    declared: Floats,
) -> tuple[Outlook, Odds]:
    """Return outlook and odds of rows for which `GrowthBank.learn_many` said that a slot closed.

    Parameters
    ----------
    rows : (n,)
        Distinct rows of both banks.
    limits, declared : (n,)
        See `models.crossing.look`; percent.
    """
    state = bank.arrays()
    outlook = look(state, rows, limits, declared)
    return outlook, memory.follow(rows, state["slot"][rows] - 1, outlook, table)


def foresee_apart(
    bank: GrowthBank,
    memory: CalibrationBank,
    tables: Sequence[Table],
    rows: Rows,
    limits: Floats,
    declared: Floats,
) -> tuple[Outlook, Odds]:
    """Do the same for rows that share nothing: ``tables[row]`` is a row's own calibration."""
    state = bank.arrays()
    outlook = look(state, rows, limits, declared)
    slots = state["slot"][rows] - 1
    apart = [
        memory.follow(
            rows[i : i + 1],
            slots[i : i + 1],
            Outlook._make(column[i : i + 1] for column in outlook),
            tables[row],
        )
        for i, row in enumerate(rows.tolist())
    ]
    return outlook, Odds(*(np.concatenate(column) for column in zip(*apart, strict=True)))

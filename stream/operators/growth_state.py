"""What the growth operator remembers of a row beside the models, and how the models are paged.

The models' memory of half-hours changes twice an hour, their filters with every sample; `Share`
lets the two be written as pages of their own. Left to others: what any of it means
(`stream.operators.growth`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.base import Arrays, Rows
from models.growth import GrowthBank
from stream.records import ObjectRef


class Series:
    """The bank of what the operator itself remembers of a row.

    Attributes
    ----------
    size, started, told : (capacity,)
        What 100 % is; start of the generation; Unix seconds of the newest forecast. NaN: none.
    over : (capacity, 2)
        Since when the value is above the fixed warning and critical threshold, NaN: it is not.
    high : (capacity,)
        0: below, 1: warning, 2: critical.
    """

    def __init__(self, capacity: int) -> None:
        self._arrays: dict[str, NDArray[Any]] = {
            "size": np.full(capacity, np.nan),
            "started": np.full(capacity, np.nan),
            "told": np.full(capacity, np.nan),
            "over": np.full((capacity, 2), np.nan),
            "high": np.zeros(capacity, np.int8),
        }

    @property
    def capacity(self) -> int:
        """Rows that the arrays have room for."""
        return len(self._arrays["size"])

    def arrays(self) -> Arrays:
        """Return the live arrays."""
        return self._arrays

    def reserve(self, capacity: int) -> None:
        """Grow to at least `capacity` rows."""
        if capacity > self.capacity:
            fresh = Series(capacity - self.capacity).arrays()
            self._arrays = {n: np.concatenate([a, fresh[n]]) for n, a in self._arrays.items()}

    def forget(self, rows: Rows) -> None:
        """Make rows as new."""
        for name, array in self._arrays.items():
            array[rows] = 0 if name == "high" else np.nan


class Share(NamedTuple):
    """Some arrays of a bank, to be paged apart from the others."""

    bank: GrowthBank
    names: tuple[str, ...]

    @property
    def capacity(self) -> int:
        """Rows of the whole bank."""
        return self.bank.capacity

    def arrays(self) -> Arrays:
        """Return these arrays."""
        arrays = self.bank.arrays()
        return {name: arrays[name] for name in self.names}

    def reserve(self, capacity: int) -> None:
        """Grow the whole bank."""
        self.bank.reserve(capacity)

    def forget(self, rows: Rows) -> None:
        """Make these arrays' rows as new."""
        fresh = GrowthBank(1).arrays()
        for name, array in self.arrays().items():
            array[rows] = fresh[name][0]


class Standing(msgspec.Struct, gc=False, array_like=True):
    """A series whose finding is firing."""

    rule: str
    cluster: str
    ref: ObjectRef
    labels: dict[str, str]
    since: float
    severity: str
    told: float
    summary: str

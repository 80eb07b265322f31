"""What a model is here: an online learner of many objects at once, a row of arrays for each.

A *bank* holds the state of many models of one kind as a struct of arrays with the row first, so a
micro-batch is a handful of numpy calls. Beside every bank stands a readable *scalar reference* of
one row; the conformance suite (`tests/conformance/test_models.py`) holds the two within 1e-9 of
each other, and checks purity, gaps, NaN, order of rows and snapshot → restore on every bank of the
table `models.BANKS`.

Models are pure: no I/O, no clock, no asyncio, no randomness without a seed. Times are Unix seconds
as float64 (float32 cannot hold them), every equation uses the real time between samples. Which row
belongs to which object, and when a row is given back, is `stream.columns`' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.intp]  # (n,) distinct row numbers
Floats: TypeAlias = NDArray[np.floating[Any]]
Bools: TypeAlias = NDArray[np.bool_]
Arrays: TypeAlias = Mapping[str, NDArray[Any]]


class Bank(Protocol):
    """What every bank can do, whatever it learns; a restart or event bank adds its own verbs."""

    @property
    def capacity(self) -> int:
        """Rows that the arrays have room for."""
        ...

    def reserve(self, capacity: int) -> None:
        """Grow to at least `capacity` rows, new rows as `forget` leaves them; never shrinks."""
        ...

    def forget(self, rows: Rows) -> None:
        """Make rows as new."""
        ...

    def arrays(self) -> Arrays:
        """Return the live arrays by name, each of shape (capacity, …): the whole state.

        Writing into them is how a snapshot is restored; names, dtypes and trailing shapes are
        the state's schema.
        """
        ...

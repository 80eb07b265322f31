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
from numpy.typing import DTypeLike, NDArray

Rows: TypeAlias = NDArray[np.intp]  # (n,) distinct row numbers
Floats: TypeAlias = NDArray[np.floating[Any]]
Bools: TypeAlias = NDArray[np.bool_]
Arrays: TypeAlias = Mapping[str, NDArray[Any]]
# name → type, trailing shape, and the value of an empty row
Schema: TypeAlias = Mapping[str, tuple[DTypeLike, tuple[int, ...], float]]


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


class StructOfArrays:
    """The state of a bank whose arrays are what a schema says: what `Bank` asks for, but learning.

    Parameters
    ----------
    schema
        All arrays.
    capacity
        Rows to begin with.
    """

    def __init__(self, schema: Schema, capacity: int) -> None:
        self._schema = schema
        self._capacity = 0
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.empty((0, *shape), kind) for name, (kind, shape, _) in schema.items()
        }
        self.reserve(capacity)

    @property
    def capacity(self) -> int:
        """Rows that the arrays have room for."""
        return self._capacity

    @property
    def nbytes(self) -> int:
        """Bytes of one row."""
        return sum(
            np.dtype(kind).itemsize * int(np.prod(shape, dtype=int))
            for kind, shape, _ in self._schema.values()
        )

    def arrays(self) -> Arrays:
        """Return the live arrays by name, row first: the whole state."""
        return self._arrays

    def reserve(self, capacity: int) -> None:
        """Grow to at least `capacity` rows."""
        if capacity > self._capacity:
            self._grow(capacity, {})

    def _grow(self, capacity: int, places: Arrays) -> None:
        """Move to arrays of `capacity` rows; those named in `places` are already there, unset."""
        for name, (kind, shape, empty) in self._schema.items():
            grown = places.get(name)
            if grown is None:
                grown = np.empty((capacity, *shape), kind)
            grown[: self._capacity] = self._arrays[name]
            grown[self._capacity :] = empty
            self._arrays[name] = grown
        self._capacity = capacity

    def forget(self, rows: Rows) -> None:
        """Make rows as new."""
        for name, (_, _, empty) in self._schema.items():
            self._arrays[name][rows] = empty

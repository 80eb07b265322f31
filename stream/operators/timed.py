"""Small state by key that waits for event time: a shelf, its agenda, and the time itself.

An operator gives each value with the time at which it wants to look at it again; `advance` hands
out what has come due on the way to a new event time, on the agenda's grid and in its order. All of
it is restored from the pages: the time, the values, and what each of them waits for.

Left to others: what is looked at (`stream.operators.nodes`, `stream.operators.changes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from stream.checkpoint import PagedValue
from stream.operators.agenda import Agenda
from stream.operators.shelf import Shelf


class Waiting(Protocol):
    """A value that remembers the grid time at which it is to be looked at; None: not by itself."""

    due: float | None


_V = TypeVar("_V", bound=Waiting)


class TimedShelf(Generic[_V]):
    """Values by key, each looked at when event time gets to what it waits for.

    Parameters
    ----------
    name, type_
        As of `Shelf`.
    every
        Seconds of the agenda's grid.

    Attributes
    ----------
    now
        Event time: the largest that `advance` was given.
    """

    def __init__(self, name: str, type_: type[_V], every: float) -> None:
        self.now = -math.inf
        self._values: Shelf[_V] = Shelf(name, type_)
        self._agenda = Agenda(every)
        self._time = PagedValue("time", float, lambda: self.now, self._set_time)

    def __len__(self) -> int:
        return len(self._values)

    def advance(self, to: float) -> Iterator[tuple[float, str, _V]]:
        """Let event time come to `to`; yield grid time, key and value of what is due by then.

        Whoever takes a value puts it back, with what it waits for next, or drops it.
        """
        if to <= self.now:
            return
        self.now = to
        while (due := self._agenda.take(to)) is not None:
            at, keys = due
            for key in keys:
                if (value := self._values.get(key)) is not None:
                    value.due = None
                    yield at, key, value

    def get(self, key: str) -> _V | None:
        """Return the value, or None."""
        return self._values.get(key)

    def put(self, key: str, value: _V, due: float | None = None, *, now: float = -math.inf) -> None:
        """Keep `value`, and look at it at `due`, or earlier if it waits for that already."""
        if due is not None and due < math.inf:
            value.due = self._agenda.put(key, due, now=now)
        self._values.put(key, value)

    def drop(self, key: str) -> None:
        """Forget `key`, known or not."""
        self._values.drop(key)

    def snapshot(self) -> Mapping[str, bytes]:
        """Return the changed pages of values, and event time."""
        return {**self._time.snapshot(), **self._values.snapshot()}

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Become what the pages say.

        Raises
        ------
        Corrupt
            A page cannot be read.
        """
        self._time.restore(pages)
        self._values.restore(pages)
        self._agenda.clear()
        for key, value in self._values:
            if value.due is not None:
                self._agenda.put(key, value.due)

    def _set_time(self, now: float | None) -> None:
        self.now = -math.inf if now is None else now

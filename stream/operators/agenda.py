"""What waits for event time: which object is to be looked at next, and when.

Every due time is rounded up to an absolute grid, so what a timer sees depends on event time only:
not on how often ticks come, nor on where a batch ends. Objects due at the same grid time come out
together and sorted, so a bank can judge them in one call. Setting and taking cost O(log n).

The agenda is not state of its own: every object remembers its due time, and `restore` rebuilds the
agenda from the objects.
"""

from __future__ import annotations

import heapq
import math


class Agenda:
    """Keys by due time, on a grid of `every` seconds.

    Examples
    --------
    >>> agenda = Agenda(15.0)
    >>> [agenda.put(key, due, now=14.0) for key, due in (("b", 16.0), ("a", 29.0), ("c", 3.0))]
    [30.0, 30.0, 15.0]
    >>> agenda.take(40.0), agenda.take(40.0), agenda.take(40.0)
    ((15.0, ['c']), (30.0, ['a', 'b']), None)
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def put(self, key: str, due: float, *, now: float = -math.inf) -> float:
        """Look at `key` at `due`, or at the earlier time that it already has; return that time.

        It is rounded up to the grid, and to the first grid time after `now` if it has passed.
        """
        at = math.ceil(due / self._every) * self._every
        if at <= now:
            at = (math.floor(now / self._every) + 1) * self._every
        known = self._due.get(key)
        if known is not None and known <= at:
            return known
        self._due[key] = at
        heapq.heappush(self._heap, (at, key))
        return at

    def take(self, until: float) -> tuple[float, list[str]] | None:
        """Return the earliest grid time not after `until` with its keys, and forget them."""
        heap, due = self._heap, self._due
        while heap and due.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)  # was moved to an earlier time, and taken then
        if not heap or heap[0][0] > until:
            return None
        at = heap[0][0]
        keys = []
        while heap and heap[0][0] == at:
            _, key = heapq.heappop(heap)
            if due.get(key) == at:
                del due[key]
                keys.append(key)
        return at, keys  # a heap of pairs gives equal times in the order of their keys

    def clear(self) -> None:
        """Forget everything."""
        self._due.clear()
        self._heap.clear()

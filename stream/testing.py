"""Public test doubles for everything time- or record-shaped: small real implementations.

`ManualClock` is a clock that a test holds in hand. It passes for `stream.clock.Clock` everywhere.
"""

from __future__ import annotations

import asyncio
import heapq


class ManualClock:
    """A clock that moves only when told to.

    Examples
    --------
    >>> clock = ManualClock(100.0)
    >>> clock.advance(5.0)
    >>> clock.now()
    105.0
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        """Return the time that was set last."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on and wake whoever slept until then, the earliest first."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep_until(self, deadline: float) -> None:
        """Wait until `advance` has moved the time to `deadline`."""
        if deadline <= self._now:
            await asyncio.sleep(0)
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (deadline, self._count, sleeper))
        await sleeper

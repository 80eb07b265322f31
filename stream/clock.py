"""The only file that may read the time or wait for it.

Everything else is given a `Clock`, so a test holds time in its hand (`stream.testing.ManualClock`)
and a replay runs as fast as the machine. Times are Unix seconds, UTC, as float, everywhere.
Decisions never use a clock at all: they are functions of records, event time and state.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """The only source of 'now' and of waiting. Unix seconds, UTC."""

    def now(self) -> float:
        """Return the processing time."""
        ...

    async def sleep_until(self, deadline: float) -> None:
        """Return when `deadline` (Unix seconds) has come; at once if it has passed."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return the processing time."""
        return time.time()

    async def sleep_until(self, deadline: float) -> None:
        """Sleep for what is left until `deadline`; wakes late rather than early."""
        await asyncio.sleep(max(0.0, deadline - time.time()))

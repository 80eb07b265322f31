"""Who takes what the stages say: a page, counters, a terminal.

A page shows the past as well, so it gets the newest that the bus keeps and goes on from there.
Counters and terminals get only what is said while this process runs: a restart counts nothing anew.

Guaranteed: each record goes to each taker once, in the order of its partition, also when the bus
was opened again in between. Memory: one offset for each partition.

Left to others: what a record means to a taker (`forewarn.console.feed`, `forewarn.figures`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from alerting.wire import decode as decode_alerting
from stream.bus import Bus, Part, Reading
from stream.codec import decode
from stream.topics import (
    DEAD_LETTERS,
    FINDINGS,
    FORECASTS,
    INCIDENTS,
    NOTIFICATIONS,
    SUPPRESSED,
    TS,
)

FED: Final = (FINDINGS, FORECASTS, TS, INCIDENTS, NOTIFICATIONS, SUPPRESSED, DEAD_LETTERS)
_ALERTING: Final = frozenset({INCIDENTS, NOTIFICATIONS, SUPPRESSED})  # have a codec of their own
PAST: Final = 20_000  # messages of a partition that a page is shown at the start
_STEP: Final = 2_000  # messages at a time

Take = Callable[[str, Any], None]


class Takers:
    """Takers of output records, each given as ``take(topic, record)``.

    Parameters
    ----------
    hear
        Gets what is said from the first opening on.
    show
        Gets that, and before it the newest `PAST` messages of each partition.
    """

    def __init__(self, *hear: Take, show: Take | None = None) -> None:
        self._hear = hear
        self._show = show
        self._next: dict[Part, int] = {}
        self._new: Mapping[Part, int] = {}
        self._reading: Reading | None = None

    @asynccontextmanager
    async def reading(self, bus: Bus) -> AsyncIterator[None]:
        """Read `bus` for the time of a ``with`` block; a second time, from where it got to."""
        if not self._next:
            await self._begin(bus)
        async with bus.reading(self._next) as self._reading:
            try:
                yield
            finally:
                self._reading = None

    async def take(self) -> None:
        """Hand out what is new; to be called within `reading`."""
        if self._reading is None:
            return
        while batches := await self._reading.poll(_STEP):
            for batch in batches:
                unpack = decode_alerting if batch.topic in _ALERTING else decode
                new = self._new[batch.topic, batch.partition]
                for message in batch.messages:
                    record = unpack(batch.topic, message.value)
                    if self._show is not None:
                        self._show(batch.topic, record)
                    if message.offset >= new:
                        for hear in self._hear:
                            hear(batch.topic, record)
                self._next[batch.topic, batch.partition] = batch.next_offset

    async def _begin(self, bus: Bus) -> None:
        new: dict[Part, int] = {}
        for topic in FED:
            oldest, ends = await bus.start_offsets(topic), await bus.end_offsets(topic)
            for partition, (first, end) in enumerate(zip(oldest, ends, strict=True)):
                new[topic, partition] = end
                past = max(first, end - PAST)
                self._next[topic, partition] = end if self._show is None else past
        self._new = new

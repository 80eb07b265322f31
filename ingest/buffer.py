"""Facts that wait for the bus, in bounded memory.

Full means that the bus takes nothing: whoever puts a fact waits, which the API server feels as back
pressure, and after `patience` gets `Overflow`. A reflector then closes its watch and resumes behind
the last fact that was taken; where that is too late, it lists anew and says that there is a gap. So
memory stays bounded, and nothing is lost without a word.

Guaranteed: facts leave in the order in which they were put, with an `at` that never runs back, even
if the clock does; at most `facts` of them and `size` bytes are held, and one fact more than `size`
if a single one is larger. Left to others: what to do about an overflow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ingest.answers import Unanswered, within
from ingest.facts import Fact
from stream.clock import Clock


class Overflow(Exception):  # noqa: N818, RUF100
    """The buffer was full for too long; nothing of the fact was kept."""


@dataclass(frozen=True, slots=True)
class BufferSettings:
    """How much may wait, and how long."""

    facts: Annotated[int, Field(ge=1)] = 5_000
    """Most facts held."""
    size: Annotated[int, Field(ge=1)] = 16 * 1024 * 1024
    """Most bytes of raw objects held."""
    patience: Annotated[float, Field(gt=0)] = 30.0
    """Seconds that a source waits for room, before it drops its connection."""


class Buffer:
    """A queue of facts; one reader, many writers, one event loop.

    Attributes
    ----------
    dropped
        Facts refused by `offer`, ever.
    """

    def __init__(self, clock: Clock, settings: BufferSettings = BufferSettings()) -> None:
        self._clock = clock
        self._settings = settings
        self._facts: deque[Fact] = deque()
        self._size = 0
        self._newest = 0.0  # `at` of the last fact
        self._came = asyncio.Event()
        self._went = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def newest(self) -> float:
        """`at` of the last fact put; 0 before the first."""
        return self._newest

    async def put(self, fact: Fact) -> None:
        """Append the fact, when there is room.

        Raises
        ------
        Overflow
            There was none for `patience` seconds.
        """
        if not self._fits(fact):
            try:
                await within(self._clock, self._settings.patience, self._wait_for(fact))
            except Unanswered as error:
                raise Overflow from error
        self._append(fact)

    def offer(self, fact: Fact) -> bool:
        """Append the fact if there is room now; say whether there was."""
        if not self._fits(fact):
            self.dropped += 1
            return False
        self._append(fact)
        return True

    async def room(self) -> None:
        """Wait until the buffer is half empty."""
        while 2 * len(self._facts) > self._settings.facts or 2 * self._size > self._settings.size:
            self._went.clear()
            await self._went.wait()

    async def take(self, limit: int, wait: float) -> list[Fact]:
        """Return up to `limit` facts; waits up to `wait` seconds where there is none."""
        if not self._facts:
            self._came.clear()
            try:
                await within(self._clock, wait, self._came.wait())
            except Unanswered:
                return []
        taken = [self._facts.popleft() for _ in range(min(limit, len(self._facts)))]
        self._size -= sum(_size(fact) for fact in taken)
        self._went.set()
        return taken

    async def _wait_for(self, fact: Fact) -> None:
        while not self._fits(fact):
            self._went.clear()
            await self._went.wait()

    def _fits(self, fact: Fact) -> bool:
        settings = self._settings
        return not self._facts or (
            len(self._facts) < settings.facts and self._size + _size(fact) <= settings.size
        )

    def _append(self, fact: Fact) -> None:
        self._newest = fact.at = max(self._newest, self._clock.now())
        self._facts.append(fact)
        self._size += _size(fact)
        self._came.set()


def _size(fact: Fact) -> int:
    return len(memoryview(fact.object))

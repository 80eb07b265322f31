"""Puts the findings of several sources in one order that no interleaving can change.

Each operator's findings come in non-decreasing event time, and it says how far it has got
(`Progress`). A finding is released once every source of its cluster has got past it, in the order
of (event time, source, place within its source). So whatever way topics, partitions and batches
were interleaved, what follows sees the same sequence.

One dead source must not hold everything: a source is left out while the furthest one is ahead of it
by more than `SILENT_AFTER` seconds of event time *and* another has spoken `SILENT_ROUNDS` times
since its last word. (Event time alone would not do: a fast replay moves hours between two words.)
It is counted and said in the log; it takes part again with its next word. What it says then of the
time before the frontier is *late*: never dropped, but taken as of the frontier, and counted.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Sequence
from typing import Final

import msgspec

from stream.records import Conclusion, Finding

_log = logging.getLogger(__name__)
SILENT_AFTER: Final = 300.0  # seconds of event time
SILENT_ROUNDS: Final = 20  # words of another source; a worker speaks every few seconds


class Held(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A finding that waits, in the order of its release."""

    at: float
    source: str
    sequence: int
    finding: Finding = msgspec.field()


class Source(msgspec.Struct):
    """How far one source has got."""

    at: float = -math.inf
    sequence: int = 0
    rounds: int = 0  # how often it has said how far it is
    rounds_then: int = 0  # of the most talkative source, when this one spoke last
    silent: bool = False


class Ordering(msgspec.Struct):
    """The sources of one cluster and what waits for them.

    Attributes
    ----------
    sources
        By name; those that are expected are known before they speak.
    frontier
        Every finding before this event time has been released.
    """

    sources: dict[str, Source] = {}
    held: list[Held] = []
    frontier: float = -math.inf
    late: int = 0
    left_out: int = 0

    def expect(self, names: Sequence[str]) -> None:
        """Wait for these sources from the beginning on."""
        for name in names:
            self.sources.setdefault(name, Source())

    def offer(self, conclusion: Conclusion) -> None:
        """Take in one conclusion, in the order of its log."""
        source = self.sources.setdefault(conclusion.source, Source())
        if source.silent:
            source.silent = False
            _log.info("source=%s cluster=%s back=true", conclusion.source, conclusion.cluster)
        source.rounds_then = max(other.rounds for other in self.sources.values())
        if isinstance(conclusion, Finding):
            at = conclusion.at
            if at < self.frontier:
                self.late += 1
                at = self.frontier
                conclusion = msgspec.structs.replace(conclusion, at=at)
            heapq.heappush(self.held, Held(at, conclusion.source, source.sequence, conclusion))
            source.sequence += 1
        else:
            source.at = max(source.at, conclusion.at)
            source.rounds += 1

    def release(self) -> tuple[list[Finding], float]:
        """Return what every source has got past, in order, and the event time reached."""
        furthest = max((source.at for source in self.sources.values()), default=-math.inf)
        rounds = max((source.rounds for source in self.sources.values()), default=0)
        reached = furthest
        for name, source in sorted(self.sources.items()):
            if not source.silent and self._is_silent(source, furthest, rounds):
                source.silent = True
                self.left_out += 1
                _log.warning("source=%s silent=true at=%s furthest=%s", name, source.at, furthest)
            if not source.silent:
                reached = min(reached, source.at)
        self.frontier = max(self.frontier, reached)
        released: list[Finding] = []
        while self.held and self.held[0].at < self.frontier:
            released.append(heapq.heappop(self.held).finding)
        return released, self.frontier

    def _is_silent(self, source: Source, furthest: float, rounds: int) -> bool:
        behind = furthest - source.at
        return behind > SILENT_AFTER and rounds - source.rounds_then >= SILENT_ROUNDS

"""Puts the findings of several sources in one order that no interleaving can change.

Each operator's findings come in non-decreasing event time, and it says how far it has got
(`Progress`). A finding is released once every source of its cluster has got past it, in the order
of (event time, source, place within its source). So whatever way topics, partitions and batches
were interleaved, what follows sees the same sequence.

One dead source must not hold everything: it is left out while the furthest one is ahead of it by
more than `SILENT_AFTER` seconds of event time *and* another has had `SILENT_TURNS` turns to speak
since its last word. (Event time alone would not do: a fast replay moves hours in one commit.) It is
counted and said in the log, and takes part again with its next word. What it says then of the time
before the frontier is *late*: never dropped, but taken as of the frontier, and counted. All of this
is a function of the log alone; where a batch ends changes nothing.
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
SILENT_TURNS: Final = 20  # a turn is what one source says in a row: about a commit of its task


class Held(msgspec.Struct, gc=False, frozen=True, array_like=True, order=True):
    """A finding that waits, in the order of its release."""

    at: float
    source: str
    sequence: int
    finding: Finding


class Source(msgspec.Struct):
    """How far one source has got."""

    at: float = -math.inf
    sequence: int = 0
    turns: int = 0
    turns_then: int = 0  # of the source with the most, when this one spoke last
    silent: bool = False


class Ordering(msgspec.Struct):
    """The sources of one cluster and what waits for them.

    Attributes
    ----------
    sources
        By name; those that are expected are known before they speak.
    frontier
        Nothing older than this event time will be released any more.
    late, left_out
        Findings that came late; how often a source was left out.
    """

    sources: dict[str, Source] = {}
    held: list[Held] = []
    frontier: float = -math.inf
    furthest: float = -math.inf
    speaker: str = ""
    turns: int = 0  # of the source with the most
    late: int = 0
    left_out: int = 0

    def expect(self, names: Sequence[str]) -> None:
        """Wait for these sources from now on."""
        for name in names:
            self.sources.setdefault(name, Source(turns_then=self.turns))

    def offer(self, conclusion: Conclusion) -> None:
        """Take in one conclusion, in the order of its log."""
        name = conclusion.source
        source = self.sources.setdefault(name, Source())
        if source.silent:
            source.silent = False
            _log.info("source=%s cluster=%s silent=false", name, conclusion.cluster)
        if name != self.speaker:
            self.speaker = name
            source.turns += 1
            self.turns = max(self.turns, source.turns)
            self._leave_out()
        source.turns_then = self.turns
        if isinstance(conclusion, Finding):
            at = conclusion.at
            if at < self.frontier:
                self.late += 1
                at = self.frontier
                conclusion = msgspec.structs.replace(conclusion, at=at)
            heapq.heappush(self.held, Held(at, name, source.sequence, conclusion))
            source.sequence += 1
        elif conclusion.at > source.at:
            held_back = source.at <= self.frontier or self.frontier == -math.inf
            source.at = conclusion.at
            self.furthest = max(self.furthest, source.at)
            if held_back:
                self._move_on()

    def release(self) -> tuple[list[Finding], float]:
        """Return what every source has got past, in order, and the event time reached."""
        released: list[Finding] = []
        while self.held and self.held[0].at < self.frontier:
            released.append(heapq.heappop(self.held).finding)
        return released, self.frontier

    def _move_on(self) -> None:
        heard = [source.at for source in self.sources.values() if not source.silent]
        self.frontier = max(self.frontier, min(heard, default=self.frontier))

    def _leave_out(self) -> None:
        left = False
        for name, source in self.sources.items():
            if (
                not source.silent
                and name != self.speaker
                and self.furthest - source.at > SILENT_AFTER
                and self.turns - source.turns_then >= SILENT_TURNS
            ):
                source.silent = left = True
                self.left_out += 1
                _log.warning("source=%s silent=true furthest=%s", name, self.furthest)
        if left:
            self._move_on()

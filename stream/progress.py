"""The order in which the findings of a topic-partition are said, and when it has got how far.

Several operators read one topic, and a batch may end anywhere. If findings were written as they
come, their order would depend on where batches ended, and whatever follows with it. So they are
held until the next `Tick`, and then said in the order of (event time, operator, the operator's own
order), with the tick's `Progress` behind them. Nobody is warned later for it, since alerting uses a
finding only when a progress has passed it.

Guaranteed: the findings and progress of one topic-partition are one sequence, a function of its
records alone. The held findings are part of the task's state.

Left to others: forecasts and points, which are written at once; each series of them has one
operator, hence one order, and nothing compares them across series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

import msgspec

from stream.records import Conclusion, Finding, Input, Progress, Tick


class Held(msgspec.Struct, gc=False, frozen=True, array_like=True):
    """A finding that waits for the next tick."""

    at: float
    operator: str
    finding: Finding


class Span(NamedTuple):
    """Records ``start:stop``: what operators are given in one call. A tick ends it, or nothing."""

    start: int
    stop: int
    tick: Tick | None


class TopicProgress(msgspec.Struct):
    """How far one topic-partition has come, and what waits to be said; part of the task's state."""

    ticks: dict[str, float] = {}  # cluster → its newest tick
    held: list[Held] = []

    def spans(self, records: Sequence[Input]) -> Iterator[Span]:
        """Cut `records` behind each tick that is not older than another of its cluster.

        `say` is to be called for the tick of a span before the next span is taken.
        """
        start = 0
        for i, record in enumerate(records):
            if type(record) is Tick and record.at >= self.ticks.get(record.cluster, -inf):
                yield Span(start, i + 1, record)
                start = i + 1
        if start < len(records):
            yield Span(start, len(records), None)

    def hold(self, operator: str, source: str, findings: Sequence[Finding]) -> None:
        """Keep what an operator said, in its order, under the name of its source."""
        for one in findings:
            self.held.append(Held(one.at, operator, msgspec.structs.replace(one, source=source)))
        if findings:  # stable: each operator stays in its own order
            self.held.sort(key=lambda held: (held.at, held.operator))

    def say(self, source: str, tick: Tick) -> list[Conclusion]:
        """Return all that was held, in order, and the progress of `tick` if it moves time on."""
        said: list[Conclusion] = [held.finding for held in self.held]
        self.held = []
        if tick.at > self.ticks.get(tick.cluster, -inf):
            self.ticks[tick.cluster] = tick.at
            said.append(Progress(source=source, cluster=tick.cluster, at=tick.at))
        return said

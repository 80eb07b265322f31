"""Where `Progress` stands among the findings of a topic-partition.

Each `Tick` that moves its cluster's time on becomes a `Progress`, written directly behind what the
records up to the tick have led to. Its place may not depend on the borders between batches. It is
found without calling operators once per tick: a finding carries the operator's event time, which
never falls, so findings at or before the tick's event time stand before it and later ones behind.
Only where a tick is followed by a record that does not advance the event time would that be
ambiguous, and only there a batch is cut (`spans`).

Guaranteed: the findings of one operator and the progress of its source come in the same sequence
whatever the batches. Not guaranteed: the order in which *different* operators of one topic speak at
the *same* event time; who joins them orders by (`at`, `id`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import NamedTuple

import msgspec

from stream.records import Conclusion, Finding, Input, Progress, Tick


class TopicTime(msgspec.Struct):
    """How far one topic-partition has come in event time; part of the task's state."""

    now: float = -inf  # the largest `at` so far: the operators' event time
    ticks: dict[str, float] = {}  # cluster → its newest tick


class Mark(NamedTuple):
    """A progress, and the event time behind which it stands."""

    after: float
    progress: Progress


class Span(NamedTuple):
    """Records ``start:stop`` that operators may be given in one call, with the progress in them."""

    start: int
    stop: int
    marks: Sequence[Mark]


def spans(source: str, records: Sequence[Input], time: TopicTime) -> Iterator[Span]:
    """Cut `records` where progress would have no certain place; moves `time` on."""
    start = 0
    marks: list[Mark] = []
    last = len(records) - 1
    for i, record in enumerate(records):
        if record.at > time.now:
            time.now = record.at
        if type(record) is not Tick or record.at <= time.ticks.get(record.cluster, -inf):
            continue
        time.ticks[record.cluster] = record.at
        marks.append(Mark(time.now, Progress(source=source, cluster=record.cluster, at=record.at)))
        if i < last and not records[i + 1].at > time.now:
            yield Span(start, i + 1, marks)
            start, marks = i + 1, []
    if start <= last:
        yield Span(start, last + 1, marks)


def woven(
    source: str, findings: Sequence[Sequence[Finding]], marks: Sequence[Mark]
) -> list[Conclusion]:
    """Return the findings of each operator and the marks of one span in one sequence.

    Findings get their `source`. One that claims an older time than the one before it (operators
    should not) keeps its place behind it.
    """
    timed = [pair for said in findings for pair in _rising(said)]
    timed.sort(key=lambda pair: pair[0])  # stable: operators in their order, each in its own
    out: list[Conclusion] = []
    waiting = list(reversed(marks))
    for at, finding in timed:
        while waiting and waiting[-1].after < at:
            out.append(waiting.pop().progress)
        out.append(msgspec.structs.replace(finding, source=source))
    out.extend(mark.progress for mark in reversed(waiting))
    return out


def _rising(findings: Iterable[Finding]) -> Iterator[tuple[float, Finding]]:
    at = -inf
    for finding in findings:
        at = max(at, finding.at)
        yield at, finding

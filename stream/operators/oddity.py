"""What is odd about nodes' processors, memory and processes, as evidence and never as an alert.

Each series of a scrape has a row in one bank (`models.anomaly`): one configuration, one threshold,
whatever the node. Samples wait for the next full minute of event time and are scored together. What
reaches the threshold is said as `node-odd`, state evidence, with the parts of its score: it ranks
the suspects of an incident on the node, and the page lists it (`forewarn.console`).

Guarantees: a function of the records and their order, whatever the batches. A sample that is late,
repeated, negative or not a number changes nothing. State is under 1 kB a series, gone a week after
its last sample. Cost: about 3 µs a sample where a minute brings hundreds.

Left to others: what runs full (`stream.operators.growth`), which incident it explains (`alerting`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from models.anomaly import THRESHOLD, AnomalyBank
from stream.checkpoint import PagedBank, PagedValue
from stream.columns import Columns, rounds
from stream.operators.base import Output
from stream.operators.bounds import Score, Seconds
from stream.operators.conclude import conclude
from stream.operators.growth_words import amount
from stream.records import Finding, NodeInput, NodeMetricsRecord, ObjectRef, Part
from stream.topics import NODE_METRICS

_GRID: Final = 60.0  # seconds of event time between two scorings
_LARGEST: Final = 1e15  # a petabyte: its square still fits a float32
_UNITS: Final = {"cpu": "cores", "memory": "bytes", "pids": "processes"}
# The parts of a score, in the order of the bank's; for a young series the first is its jumps.
_PARTS: Final = (
    ("record", "outside all that was seen of it"),
    ("hour", "outside all that was seen of it, seen from the hour of the day"),
    ("momentum", "rises or falls as it never did"),
    (
        "context",
        "far from its level of two days, from an hour ago and from this hour of other days",
    ),
    ("rarity", "where it has hardly ever been"),
)
_YOUNG: Final = ("jump", "jumps more than it used to; it is not known for two days yet")


@dataclass(frozen=True, slots=True)
class OdditySettings:
    """When a node is odd enough to be named as evidence."""

    threshold: Score | None = THRESHOLD
    """`node-odd` from this score on; None turns the operator off."""
    idle: Seconds = 7 * 86_400.0
    """Seconds after which a silent series is forgotten."""


class _Sample(msgspec.Struct, gc=False, array_like=True):
    cluster: str
    node: str
    resource: str
    at: float
    value: float


class _Time(msgspec.Struct, array_like=True):
    now: float = -math.inf
    due: float = math.inf  # the minute at which what waits is scored
    waiting: list[_Sample] = []


class Oddities:
    """The operator `oddity`."""

    name: Final = "oddity"
    topic: Final = NODE_METRICS

    def __init__(self, settings: OdditySettings) -> None:
        self._settings = settings
        self._keys = Columns("keys")
        self._bank = AnomalyBank(0)
        self._series = PagedBank("series", self._bank)
        self._state = _Time()
        self._time = PagedValue("time", _Time, lambda: self._state, self._set_time)

    def on_records(self, records: Sequence[NodeInput]) -> Sequence[Output]:
        """Learn from scrapes and ticks."""
        out: list[Output] = []
        state = self._state
        for record in records:
            if record.at > state.now:
                state.now = record.at
                if state.now >= state.due:
                    self._score(out)
            if type(record) is NodeMetricsRecord and self._settings.threshold is not None:
                state.waiting += _samples(record)
                if state.waiting and state.due == math.inf:
                    state.due = (math.floor(state.now / _GRID) + 1) * _GRID
        return out

    def _score(self, out: list[Output]) -> None:
        """Score what waits, say what is odd, forget what is silent."""
        state = self._state
        waiting, state.waiting, state.due = state.waiting, [], math.inf
        least = self._settings.threshold or 0.0
        rows = self._keys.rows_of([f"{s.cluster}/{s.node}|{s.resource}" for s in waiting])
        self._series.reserve(self._keys.size)
        times = np.array([sample.at for sample in waiting])
        values = np.array([sample.value for sample in waiting])
        self._keys.see(rows, times)
        self._series.touch(rows)
        said: dict[int, Finding] = {}
        for at in rounds(rows):
            found = self._bank.learn_many(rows[at], times[at], values[at])
            for i in np.flatnonzero((found.score >= least) & (found.score > 0.0)).tolist():
                place = int(at[i])
                score, parts = float(found.score[i]), found.parts[i].tolist()
                said[place] = _say(waiting[place], state.now, score, parts, bool(found.young[i]))
        out.extend(said[place] for place in sorted(said))
        gone = self._keys.evict(state.now - self._settings.idle)
        if gone.size:
            self._bank.forget(gone)
            self._series.touch(gone)

    def snapshot(self) -> Mapping[str, bytes]:
        """Return the changed pages."""
        return {**self._time.snapshot(), **self._keys.snapshot(), **self._series.snapshot()}

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Become what the pages say.

        Raises
        ------
        Corrupt
            A page cannot be read.
        """
        self._time.restore(pages)
        self._keys.restore(pages)
        self._series.restore(pages)

    def _set_time(self, time: _Time | None) -> None:
        self._state = time or _Time()


def _samples(record: NodeMetricsRecord) -> list[_Sample]:
    values = {"cpu": record.cpu, "memory": record.memory, "pids": record.pids}
    return [
        _Sample(record.cluster, record.node, resource, record.at, value)
        for resource, value in values.items()
        if value is not None and 0.0 <= value <= _LARGEST
    ]


def _say(sample: _Sample, at: float, score: float, parts: Sequence[float], young: bool) -> Finding:
    named = [
        Part(name, round(value, 3), text)
        for (name, text), value in zip((_YOUNG,) if young else _PARTS, parts, strict=False)
        if value > 0.0
    ]
    named.sort(key=lambda part: (-float(part.value), part.name))
    value = amount(sample.value, _UNITS[sample.resource])
    return conclude(
        "node-odd",
        "evidence",
        sample.cluster,
        ObjectRef("Node", "", sample.node),
        at=at,
        since=sample.at,
        summary=f"{sample.resource} of Node {sample.node} is odd: {value}, {named[0].text}",
        score=round(score, 3),
        because=tuple(named),
        labels={"node": sample.node, "resource": sample.resource},
    )

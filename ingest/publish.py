"""Records → messages for the bus, and the ticks that tell everyone how late it is.

A record goes to its topic under the key of its root owner or node (`stream.topics.key_of`), so that
a pod, its Events and its changes meet in one partition. Whenever event time of a cluster passes a
whole multiple of `tick_seconds`, a `Tick` with that time goes to **every** partition of **every**
input topic.

Guaranteed: the tick at T stands behind every record of a fact heard before T and before every one
heard at T or later, as long as the facts come in order; a record's own `at` may be older than the
last tick (an Event that was told late). Clocks of clusters are apart. Left to others: sending.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from ingest.times import CLOCK_SKEW
from stream.bus import Outgoing
from stream.codec import encode_input
from stream.records import (
    AnyInput,
    DependencyChange,
    DeploymentChange,
    EventRecord,
    Gap,
    NodeMetricsRecord,
    NodeRecord,
    ObjectRef,
    PodRecord,
    Tick,
)
from stream.topics import (
    DEPLOYMENTS,
    EVENTS,
    INPUTS,
    NODE_METRICS,
    PODS,
    key_of,
    partition_of,
)

_Headers = tuple[tuple[str, bytes], ...]

_Subject = Callable[[Any], ObjectRef]  # whom a record's key names


def _workload(
    record: PodRecord | EventRecord | DeploymentChange | DependencyChange,
) -> ObjectRef:
    return record.workload


def _node(record: NodeMetricsRecord | NodeRecord) -> ObjectRef:
    return ObjectRef("Node", "", record.node)


def _source(record: Gap) -> ObjectRef:
    return ObjectRef("Gap", "", record.resource)


# Topic, subject and headers: one shared tuple per type, so a message has no header of its own.
ROUTES: Final[dict[type[AnyInput], tuple[str, _Subject, _Headers]]] = {
    PodRecord: (PODS, _workload, (("schema", b"pod.v1"),)),
    EventRecord: (EVENTS, _workload, (("schema", b"event.v1"),)),
    NodeMetricsRecord: (NODE_METRICS, _node, (("schema", b"nodemetrics.v1"),)),
    NodeRecord: (NODE_METRICS, _node, (("schema", b"node.v1"),)),
    DeploymentChange: (DEPLOYMENTS, _workload, (("schema", b"deploymentchange.v1"),)),
    DependencyChange: (DEPLOYMENTS, _workload, (("schema", b"dependencychange.v1"),)),
    Gap: (DEPLOYMENTS, _source, (("schema", b"gap.v1"),)),
}
_TICK: Final[_Headers] = (("schema", b"tick.v1"),)
_KEYS: Final = 65_536  # keys remembered; some 30 MB, emptied when full


class Publisher:
    """Makes messages of records.

    About 1 µs a pod record.

    Parameters
    ----------
    partitions
        Partitions of each topic.
    tick_seconds
        Grid of event time. Greater than 0.

    Attributes
    ----------
    jumps
        Facts that moved a cluster's event time by more than five minutes at once: a pause in the
        recording, or a wrong clock.
    """

    def __init__(self, partitions: int, *, tick_seconds: float = 5.0) -> None:
        if partitions < 1:
            raise ValueError(f"partitions must be at least 1, not {partitions}")
        if not tick_seconds > 0:
            raise ValueError(f"tick_seconds must be positive, not {tick_seconds}")
        self._partitions = partitions
        self._tick_seconds = tick_seconds
        self._clocks: dict[str, float] = {}  # cluster → newest `at` of its facts
        self._due: dict[str, float] = {}  # cluster → next multiple of tick_seconds
        self._routes: dict[tuple[str, ObjectRef], tuple[bytes, int]] = {}
        self.jumps = 0

    def clock(self, cluster: str) -> float | None:
        """Return event time of a cluster, None before its first fact."""
        return self._clocks.get(cluster)

    def advance(self, cluster: str, at: float) -> list[Outgoing]:
        """Return the ticks that are due before a fact heard at `at`; none for most facts.

        Where several grid times are passed at once, one tick speaks for all.
        """
        clock = self._clocks.get(cluster)
        if clock is None:
            self._clocks[cluster] = at
            self._due[cluster] = self._grid(at) + self._tick_seconds
            return []
        if at <= clock:
            return []
        if at > clock + CLOCK_SKEW:
            self.jumps += 1
        self._clocks[cluster] = at
        if at < self._due[cluster]:
            return []
        passed = self._grid(at)
        self._due[cluster] = passed + self._tick_seconds
        return self.ticks(cluster, passed)

    def ticks(self, cluster: str, at: float) -> list[Outgoing]:
        """Return one tick for every partition of every input topic."""
        value = encode_input(Tick(cluster, at))
        key = cluster.encode()
        return [
            Outgoing(topic, partition, key, value, at, _TICK)
            for topic in INPUTS
            for partition in range(self._partitions)
        ]

    def finish(self) -> list[Outgoing]:
        """Return last ticks, one grid step behind each cluster's last fact: the source has ended.

        Behind it, because what waits for a tick at T may say things *at* T only after it.
        """
        return [tick for cluster, due in self._due.items() for tick in self.ticks(cluster, due)]

    def messages(self, records: Iterable[AnyInput]) -> list[Outgoing]:
        """Return one message for each record, in order."""
        return [self.message(record) for record in records]

    def message(self, record: AnyInput) -> Outgoing:
        """Return the message of one record."""
        topic, subject_of, headers = ROUTES[type(record)]
        subject = (record.cluster, subject_of(record))
        route = self._routes.get(subject)
        if route is None:
            if len(self._routes) >= _KEYS:
                self._routes.clear()
            key = key_of(*subject)
            route = self._routes[subject] = (key, partition_of(key, self._partitions))
        key, partition = route
        return Outgoing(topic, partition, key, encode_input(record), record.at, headers)

    def _grid(self, at: float) -> float:
        return math.floor(at / self._tick_seconds) * self._tick_seconds

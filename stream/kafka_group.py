"""Consumer groups: a shared reading position, and who runs which task.

`GroupReading` is the contract's subscription: at least once, all partitions of some topics, shared
by whoever subscribes under the same name.

`Membership` uses a group for nothing but its assignment: partition p of the one topic that it
subscribes to stands for task p. It reads no message; tasks do, each at its own position. Before a
partition is given up, its task has a bounded time to commit. Kafka decides who gets what; should
two workers believe for a moment that they have the same task, the writer's fencing decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.structs import TopicPartition

from stream.bus import Batch, BusCounters, Crew, Part
from stream.errors import ForewarnError
from stream.kafka_connection import Connection, ours, translated
from stream.kafka_reader import Asker, Reader

log = logging.getLogger(__name__)

_HEARTBEATS: Final = 5  # in one session, at least: four may be lost
_HEARTBEAT: Final = 200  # ms at most: whoever stays hears of a hand-over with his next one
_LOOK: Final = 0.5  # seconds between two signs of life of a membership


def _arguments(connection: Connection, group: str) -> dict[str, Any]:
    settings = connection.settings
    session = int(settings.session_timeout * 1000)
    return {
        "group_id": connection.named(group),
        "group_instance_id": f"{settings.instance}.{group}" if settings.instance else None,
        "session_timeout_ms": session,
        "heartbeat_interval_ms": min(_HEARTBEAT, session // _HEARTBEATS),
        "rebalance_timeout_ms": session,
        # Every rebalance stops all members; sticky at least gives each back what it had.
        "partition_assignment_strategy": (StickyPartitionAssignor,),
    }


class GroupReading:
    """A group's reading position over whole topics: at least once."""

    def __init__(self, connection: Connection, asker: Asker, group: str) -> None:
        self._connection = connection
        self._asker = asker
        self._group = group
        self._reader = Reader(connection, asker, **_arguments(connection, group))
        self._failed: ForewarnError | None = None
        self._polled: dict[TopicPartition, int] = {}
        self._placed = asyncio.Event()
        self._listener = _Placing(self)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, connection: Connection, asker: Asker, topics: Sequence[str], group: str
    ) -> AsyncIterator[GroupReading]:
        """Join `group` for the time of a ``with`` block."""
        reading = cls(connection, asker, group)
        consumer = reading._reader.consumer
        names = [connection.named(topic) for topic in topics]
        consumer.subscribe(topics=names, listener=reading._listener)
        await reading._reader.start()
        try:
            yield reading
        finally:
            await reading._reader.aclose()

    async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
        """Return up to `limit` messages behind the position; waits up to `wait` seconds."""
        await self._placed.wait()
        if self._failed is not None:
            raise self._failed
        batches = await self._reader.poll(limit, wait)
        for batch in batches:
            part = self._connection.part(batch.topic, batch.partition)
            self._polled[part] = batch.next_offset
        return batches

    async def commit(self) -> None:
        """Remember all that `poll` has returned so far as done.

        Raises
        ------
        Unavailable
            Some of it went to another member in between; `poll` goes on with what is ours.
        """
        done, self._polled = self._polled, {}
        if done:
            with translated("commit a position"):
                await self._reader.consumer.commit(done)

    async def positions(self) -> tuple[str, Mapping[Part, int]]:
        """Return the group, and where it reads on; nowhere while that is being decided."""
        placed = self._placed.is_set() and self._failed is None
        return self._group, await self._reader.positions() if placed else {}

    async def place(self, assigned: Collection[TopicPartition]) -> None:
        """Begin where the group has committed, or at the oldest; the reader itself never resets."""
        consumer = self._reader.consumer
        self._failed = None
        try:
            committed = {part: await consumer.committed(part) for part in assigned}
            fresh = [part for part, at in committed.items() if at is None]
            oldest = await self._asker.oldest(fresh)
            for part, at in committed.items():
                consumer.seek(part, oldest[part] if at is None else at)
        except Exception as error:  # aiokafka would log it and go on without a position
            self._failed = ours(error, "find where the group has got to")
        self._placed.set()

    def displace(self) -> None:
        """Forget what was read of partitions that somebody else may get."""
        self._placed.clear()
        self._polled = {}


class _Placing(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, reading: GroupReading) -> None:
        self._reading = reading

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._reading.displace()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._reading.place(assigned)


class _Handing(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Tells a crew what it has, and lets it finish before others get it."""

    def __init__(self, group: str, crew: Crew, budget: float, counters: BusCounters) -> None:
        self._group = group
        self._counters = counters
        self._crew = crew
        self._budget = budget
        self.consumer: Any = None

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if not revoked:
            return
        log.info("group=%s revoked=%s", self._group, _numbers(revoked))
        try:
            async with asyncio.timeout(self._budget):
                await self._crew.pause()
        except TimeoutError:
            log.warning("group=%s not paused in time: its commit will be fenced", self._group)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._counters.rebalances += 1
        self.consumer.pause(*assigned)  # tasks read; this consumer never does
        log.info("group=%s assigned=%s", self._group, _numbers(assigned))
        await self._crew.take(frozenset(part.partition for part in assigned))


def _numbers(parts: Collection[TopicPartition]) -> str:
    return ",".join(map(str, sorted(part.partition for part in parts))) or "none"


async def follow(
    connection: Connection,
    asker: Asker,
    group: str,
    topic: str,
    crew: Crew,
    counters: BusCounters,
) -> None:
    """Be a member of `group`, and keep telling `crew` which partitions of `topic` are its own.

    Returns only by cancellation; leaves the group then, so that others need not wait.

    Raises
    ------
    Unavailable, Rejected
        The group cannot be joined.
    """
    listener = _Handing(group, crew, connection.settings.session_timeout / 2, counters)
    # It never reads, so where it would begin does not matter; only that it has a position.
    arguments = _arguments(connection, group) | {"auto_offset_reset": "latest"}
    reader = Reader(connection, asker, **arguments)
    listener.consumer = consumer = reader.consumer
    consumer.subscribe(topics=[connection.named(topic)], listener=listener)
    await reader.start()
    try:
        while True:
            # Says that we are alive (max.poll.interval) and raises what the group has met.
            with translated(f"stay in the group {group}"):
                await consumer.getmany(timeout_ms=int(_LOOK * 1000))
    finally:
        await reader.aclose()

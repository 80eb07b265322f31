"""A task's hold on its partition in Kafka: one transactional name, one changelog partition.

The order is forced by measurements. Taking the task starts its writer first: that fences the
predecessor and waits until its transaction is decided. Only then is anything read: the changelog,
whose end is now certain, and the group's offsets, which may be stale a moment after a commit. One
name per task, never per worker: the client sends no group generation, so the name is the only fence
that the broker knows.

The changelog is one partition of the compacted topic ``<app>-state``: the task's keys, last value
each. Nobody else writes there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stream.bus import Batch, BusCounters, Outgoing, Part
from stream.clock import Clock
from stream.errors import Fenced, Unavailable
from stream.kafka_connection import Admin, Connection, translated
from stream.kafka_reader import Asker, Reader
from stream.kafka_topics import Topics, state_topic
from stream.kafka_transactions import Transactions
from stream.kafka_writer import Record, Writer

log = logging.getLogger(__name__)

_READ: Final = 5_000  # changelog records at a time
_DECIDED: Final = 5.0  # seconds until our own predecessor's transaction is marked everywhere
_SOON: Final = 0.01  # seconds: a retired task is owned anew at once


@dataclass(slots=True)
class KafkaCounters(BusCounters):
    """What this bus counts besides."""

    retired: int = 0
    settled: int = 0  # transactions whose end the broker had lost
    restoring: int = 0  # tasks that read their changelog now
    restored: int = 0  # changelog records read so far
    to_restore: int = 0  # offsets that were to be read in all

    def count_settled(self) -> None:
        """Count one more."""
        self.settled += 1


@dataclass(frozen=True, slots=True)
class Shared:
    """What all tasks of a bus use."""

    connection: Connection
    admin: Admin
    asker: Asker
    topics: Topics
    transactions: Transactions
    clock: Clock
    counters: KafkaCounters


class KafkaOwnership:
    """A `stream.bus.Ownership` on Kafka; made by `KafkaOwnership.take`."""

    def __init__(
        self, shared: Shared, app: str, partition: int, inputs: Sequence[str], writer: Writer
    ) -> None:
        self._shared = shared
        self._app = app
        self._partition = partition
        self._inputs = inputs
        self._writer = writer
        self._reader = Reader(shared.connection, shared.asker)
        self._seek: Mapping[str, int] | None = None
        self._sought = False
        self._polling = asyncio.Lock()
        self.released = False

    @classmethod
    async def take(
        cls, shared: Shared, app: str, partition: int, inputs: Sequence[str]
    ) -> KafkaOwnership:
        """Take the task, fencing whoever had it."""
        writer = Writer(shared.connection, f"{app}-{partition}", shared.transactions, shared.clock)
        await writer.start()
        task = cls(shared, app, partition, inputs, writer)
        try:
            await task._reader.start()
        except BaseException:
            await writer.aclose()
            raise
        return task

    @property
    def epoch(self) -> int:
        """Fencing epoch: rises with every owner of this task."""
        return self._writer.epoch

    async def changelog(self) -> Mapping[bytes, bytes]:
        """Read the task's state from its topic; only our own transactions can end it."""
        part = (state_topic(self._app), self._partition)
        name = self._shared.connection.part(*part)
        state: dict[bytes, bytes] = {}
        counters, asker = self._shared.counters, self._shared.asker
        reader = Reader(self._shared.connection, asker)
        await reader.start()
        counters.restoring += 1
        try:
            await asker.decided(part, _DECIDED)
            [(oldest, end)] = await asker.bounds([part])
            counters.to_restore += end - oldest
            await reader.assign({part: oldest})
            with translated(f"read the state of task {self._app}/{self._partition}"):
                # Up to the end, which may be a marker of a transaction and no record.
                while await reader.consumer.position(name) < end:
                    found = await reader.consumer.getmany(timeout_ms=500, max_records=_READ)
                    for record in found.get(name, ()):
                        if record.value is None:
                            state.pop(record.key, None)
                        else:
                            state[record.key] = record.value
                    counters.restored += len(found.get(name, ()))
        finally:
            counters.restoring -= 1
            await reader.aclose()
        return state

    def seek(self, offsets: Mapping[str, int]) -> None:
        """Read each named input from this offset on, the others from the oldest."""
        self._seek = dict(offsets)
        self._sought = False

    async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
        """Return up to `limit` messages; a task whose producer is old must be owned anew."""
        if self.released:
            raise Fenced(f"task {self._app}/{self._partition} was released; own it anew")
        if self._writer.retired:
            self._shared.counters.retired += 1
            log.info("task=%s/%d retires its producer", self._app, self._partition)
            # Not just a new writer: between two writers, somebody else may have had the task.
            raise Unavailable("the task's producer is old: own the task anew", retry_after=_SOON)
        if self._writer.shaken:
            raise Unavailable(
                "a connection to the broker broke: own the task anew", retry_after=_SOON
            )
        if self._seek is None or not self._inputs:
            return ()
        async with self._polling:
            if not self._sought:
                await self._reader.assign(
                    {(topic, self._partition): self._seek.get(topic) for topic in self._inputs}
                )
                self._sought = True
            return await self._reader.poll(limit, wait)

    async def positions(self) -> tuple[str, Mapping[Part, int]]:
        """Return the application, and where its task reads on."""
        return self._app, await self._reader.positions() if self._sought else {}

    async def committed(self) -> Mapping[str, int]:
        """Return what the group named like the application has committed."""
        parts = [self._shared.connection.part(topic, self._partition) for topic in self._inputs]
        return await self._shared.admin.committed(self._app, parts) if parts else {}

    async def commit(
        self,
        outputs: Sequence[Outgoing],
        changelog: Mapping[bytes, bytes | None],
        offsets: Mapping[str, int],
    ) -> None:
        """Write it all, or nothing, in one transaction."""
        if self.released:
            raise Fenced(f"task {self._app}/{self._partition} was released; own it anew")
        await self._shared.topics.check(outputs)
        connection, counters = self._shared.connection, self._shared.counters
        records: dict[Part, list[Record | Outgoing]] = {}
        for message in outputs:
            records.setdefault((message.topic, message.partition), []).append(message)
        if changelog:
            records[state_topic(self._app), self._partition] = [
                Record(key, value) for key, value in changelog.items()
            ]
        with counters.transaction():
            await self._writer.write(
                records,
                self._app,
                {connection.part(t, self._partition): at for t, at in offsets.items()},
            )

    async def release(self) -> None:
        """Give the task up. Idempotent."""
        if not self.released:
            self.released = True
            await self._writer.aclose()
            await self._reader.aclose()

"""Reading committed messages from partitions, at positions that we keep.

A `Reader` is a consumer to which partitions are given by hand, or by a group (`stream.kafka_group`
places it then). It reads read_committed, never resets a position by itself, and `poll` means what
the contract says: without waiting it returns what is there, which Kafka's own poll does not (it
returns what has arrived).

Guaranteed: what is no longer kept is `Corrupt`, never a silent jump; a full partition starves no
other; a poll that raises has not moved on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from stream.bus import Batch, Message, Part
from stream.errors import Corrupt, ForewarnError
from stream.kafka_connection import LARGEST, Connection, ours, translated

_LOOK: Final = 0.02  # seconds of one wait for what is known to be there: it may be a marker only
_AGAIN: Final = 0.01  # seconds between two looks for open transactions
_PREFETCHED: Final = 4 << 20  # bytes asked for at once and partition: 30,000 records of 130 bytes


class Asker:
    """Asks where logs begin and end, on a connection of its own.

    A broker answers a connection's requests one after the other, and a fetch that waits for news
    holds up whatever is asked behind it, half a second by default.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._consumer = self._made("read_committed")
        self._uncommitted: Any = None
        self._opening = asyncio.Lock()

    def _made(self, isolation: str) -> Any:
        return AIOKafkaConsumer(
            **self._connection.arguments(), enable_auto_commit=False, isolation_level=isolation
        )

    async def start(self) -> None:
        """Connect; raises `Unavailable` or `Rejected`."""
        await _started(self._connection, self._consumer)

    async def reach(self, parts: Sequence[Part]) -> list[tuple[int, int]]:
        """Return, per partition, the first offset that is not committed and that is not written."""
        names = [self._connection.part(*part) for part in parts]
        written = await self._written(names)  # first, so that it is not ahead for being newer
        ends = await self.ends(names)
        return [(ends[name], written[name]) for name in names]

    async def _written(self, names: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        async with self._opening:  # several tasks restore at once
            if self._uncommitted is None:
                consumer = self._made("read_uncommitted")
                await _started(self._connection, consumer)
                self._uncommitted = consumer
        with translated("ask where the log is written"):
            found: Mapping[TopicPartition, int] = await self._uncommitted.end_offsets(names)
            return found

    async def settled(self, parts: Sequence[Part]) -> None:
        """Return when the ends of what is written and of what is committed are the same."""
        names = [self._connection.part(*part) for part in parts]
        settings = self._connection.settings
        written = await self._written(names)
        with translated("wait for open transactions"):
            async with asyncio.timeout(settings.transaction_timeout + settings.request_timeout):
                while any(  # noqa: ASYNC110  # no broker tells us
                    end < written[name] for name, end in (await self.ends(names)).items()
                ):
                    await asyncio.sleep(_AGAIN)

    async def decided(self, part: Part, patience: float) -> None:
        """See that what is written to `part` is committed or aborted, all of it.

        After a start under the name of its only writer it should be: the start has settled what the
        broker has lost of the predecessor's transaction (`stream.kafka_transactions`). What hangs
        all the same would be committed by the next transaction, besides what is then written again.

        Raises
        ------
        Corrupt
            Something hangs, `patience` seconds long.
        """
        try:
            async with asyncio.timeout(patience):
                await self.settled([part])
        except TimeoutError as error:
            topic = self._connection.named(part[0])
            raise Corrupt(
                f"a transaction hangs in {topic}/{part[1]}, although its writer is gone: "
                "`forewarn transactions ls` shows it, `settle` and `abort` end it"
            ) from error

    async def oldest(self, names: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the oldest offset that is kept."""
        await know(self._consumer, names)
        with translated("ask where the log begins"):
            found: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(names)
            return found

    async def ends(self, names: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the first offset that is not committed yet."""
        await know(self._consumer, names)
        with translated("ask where the log ends"):
            found: Mapping[TopicPartition, int] = await self._consumer.end_offsets(names)
            return found

    async def bounds(self, parts: Sequence[Part]) -> list[tuple[int, int]]:
        """Return, per partition, the oldest kept offset and the first that is not committed."""
        names = [self._connection.part(*part) for part in parts]
        oldest, ends = await self.oldest(names), await self.ends(names)
        return [(oldest[name], ends[name]) for name in names]

    async def lost(self, name: TopicPartition, at: int) -> Corrupt:
        """Return why offset `at` cannot be read."""
        topic = self._connection.unnamed(name.topic)
        oldest = (await self.oldest([name]))[name]
        why = (
            f"retention has dropped it (oldest is {oldest}): raise the retention of {topic!r}, and "
            "begin again with --on-gap, or under a new group or application name"
            if at < oldest
            else "the log ends before: the topic was replaced, restore it or use a new name"
        )
        return Corrupt(f"offset {at} of {topic}/{name.partition} is not in Kafka: {why}")

    async def aclose(self) -> None:
        """Disconnect."""
        await _stopped(self._consumer)
        if self._uncommitted is not None:
            await _stopped(self._uncommitted)


async def _started(connection: Connection, consumer: Any) -> None:
    with translated("connect to Kafka for reading"):
        try:
            async with asyncio.timeout(3 * connection.settings.request_timeout):
                await consumer.start()
        except BaseException:
            await _stopped(consumer)
            raise


async def _stopped(consumer: Any) -> None:
    """Close a consumer; one that has not come up may meet the cancellation of its own tasks."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        if (us := asyncio.current_task()) is None or us.cancelling():
            raise


async def know(consumer: Any, names: Collection[TopicPartition]) -> None:
    """Learn who leads these topics; aiokafka by itself waits a pause before it asks."""
    with translated("ask who leads a topic"):
        for topic in {name.topic for name in names}:
            await consumer._client.add_topic(topic)  # noqa: SLF001  # see above


class Reader:
    """A consumer's positions over partitions. `start` it, then `assign`."""

    def __init__(self, connection: Connection, asker: Asker, **arguments: Any) -> None:
        self._connection = connection
        self._asker = asker
        self.consumer: Any = AIOKafkaConsumer(
            **connection.arguments()
            | {
                "enable_auto_commit": False,
                "auto_offset_reset": "none",
                "isolation_level": "read_committed",
                "max_partition_fetch_bytes": _PREFETCHED,
                "fetch_max_bytes": 4 * LARGEST,
            }
            | arguments
        )
        self._turn = 0
        self._held: ForewarnError | None = None

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        Unavailable, Rejected
            No broker is to be had, or it does not let us.
        """
        await _started(self._connection, self.consumer)

    async def assign(self, offsets: Mapping[Part, int | None]) -> None:
        """Read these partitions from now on, each from its offset; None: from the oldest."""
        parts = {self._connection.part(*part): at for part, at in offsets.items()}
        self._held = None
        oldest = await self._asker.oldest([part for part, at in parts.items() if at is None])
        await know(self.consumer, parts)
        with translated("begin reading"):
            self.consumer.assign(list(parts))
            for part, at in parts.items():
                self.consumer.seek(part, oldest[part] if at is None else at)

    async def positions(self) -> dict[Part, int]:
        """Return where `poll` goes on, in each partition that has been given to us."""
        return {
            (self._connection.unnamed(name.topic), name.partition): await self.consumer.position(
                name
            )
            for name in self.consumer.assignment()
        }

    async def poll(self, limit: int, wait: float = 0.0) -> list[Batch]:
        """Return up to `limit` messages; waits up to `wait` seconds when there is none.

        Raises
        ------
        Unavailable
            No broker answers.
        Corrupt
            A position is no longer kept.
        """
        await asyncio.sleep(0)  # a reader that never runs dry must let the others have a turn
        if self._held is not None:
            held, self._held = self._held, None
            raise held
        if batches := await self._take(limit):
            return batches
        if wait > 0:
            return await self._arriving(limit, wait)
        parts = self.consumer.assignment()
        ends = await self._asker.ends(parts)
        with translated("read what the broker says is there"):
            async with asyncio.timeout(self._connection.settings.request_timeout):
                while any([await self.consumer.position(part) < ends[part] for part in parts]):
                    if batches := await self._arriving(limit, _LOOK):
                        return batches
        return []

    async def _arriving(self, limit: int, wait: float) -> list[Batch]:
        try:
            found = await self.consumer.getmany(timeout_ms=int(wait * 1000), max_records=limit)
        except Exception as error:
            raise await self._failure(error) from error
        batches = [self._batch(part, records) for part, records in found.items() if records]
        left = limit - sum(len(batch.messages) for batch in batches)
        return batches + (await self._take(left) if batches and left else [])

    async def _take(self, limit: int) -> list[Batch]:
        """Return what has arrived, the partitions in turn."""
        parts = sorted(self.consumer.assignment())
        self._turn += 1
        batches: list[Batch] = []
        for i in range(len(parts)):
            if limit <= 0:
                break
            part = parts[(self._turn + i) % len(parts)]
            try:
                found = await self.consumer.getmany(part, max_records=limit)
            except Exception as error:
                failure = await self._failure(error)
                if not batches:
                    raise failure from error
                self._held = failure  # what was taken is handed out first
                break
            if records := found.get(part):
                limit -= len(records)
                batches.append(self._batch(part, records))
        return batches

    def _batch(self, part: TopicPartition, records: Sequence[Any]) -> Batch:
        messages = [
            Message(r.offset, r.key or b"", r.value or b"", r.timestamp / 1000, r.headers)
            for r in records
        ]
        topic = self._connection.unnamed(part.topic)
        return Batch(topic, part.partition, messages, messages[-1].offset + 1)

    async def _failure(self, error: Exception) -> ForewarnError:
        if not isinstance(error, OffsetOutOfRangeError):
            return ours(error, "read")
        [(part, at)] = error.args[0].items()
        return await self._asker.lost(part, at)

    async def aclose(self) -> None:
        """Disconnect."""
        await _stopped(self.consumer)

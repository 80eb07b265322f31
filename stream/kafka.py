"""The bus on Apache Kafka: for more than one machine.

Every process opens its own `KafkaBus` on the same brokers; topics, groups and transactions are told
from those of others by a prefix. It keeps the contract of `stream.bus`, and where Kafka itself does
not, here is how:

- *Fencing and the transaction of a task*: one transactional name per task (`stream.kafka_task`).
- *Positions of sources*: a compacted topic, written in the transaction of the messages; the name of
  the transaction is the source's, so a second publisher of a source fences the first.
- *Reading*: committed messages only, up to the last stable offset; never a silent reset.
- *Topics*: made by `ensure`, never by the broker on first use. Retention is the broker's work, by
  message time; `trim` does the same at once.

Offsets have holes, where transactions ended. Left to others: what messages mean (`stream.codec`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from stream.bus import (
    Batch,
    Crew,
    Lag,
    Outgoing,
    Ownership,
    Part,
    Position,
    Reading,
    Subscription,
    TopicSpec,
    note_key,
)
from stream.clock import Clock, SystemClock
from stream.errors import ForewarnError
from stream.kafka_connection import Admin, Connection, check_extension, translated
from stream.kafka_group import GroupReading, follow
from stream.kafka_reader import Asker, Reader
from stream.kafka_settings import KafkaSettings
from stream.kafka_task import KafkaCounters, KafkaOwnership, Shared
from stream.kafka_topics import POSITIONS, Topics
from stream.kafka_transactions import Transactions
from stream.kafka_writer import Record, Writer

_SEATS: Final = 8  # readers kept open for `read`: as many replays at once
_DECIDED: Final = 5.0  # seconds for the markers of a transaction that is decided
_TRIM: Final = 10_000  # messages read at a time
_SEAT_WAIT: Final = 50  # ms of a fetch that finds nothing; the next partition waits behind it


@dataclass
class _Seat:
    """A reader for `read`, and where it stands."""

    reader: Reader
    part: Part | None = None
    offset: int = -1
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KafkaBus:
    """A `stream.bus.Bus` on Kafka; made by `KafkaBus.open`.

    Measured figures: docs/kafka.md.
    """

    def __init__(self, connection: Connection, admin: Admin, asker: Asker, clock: Clock) -> None:
        self._connection = connection
        self._admin = admin
        self._asker = asker
        self._topics = Topics(admin)
        self._clock = clock
        self._writers: dict[str, Writer] = {}
        self._writing: dict[str, asyncio.Lock] = {}
        self._anonymous = f"publish-{uuid.uuid4()}"
        self._seats: list[_Seat] = []
        self._free = asyncio.Semaphore(_SEATS)
        self._stack = AsyncExitStack()
        self.counters = KafkaCounters()
        self._owned: list[KafkaOwnership] = []
        self._subscribed: list[GroupReading] = []
        self._held: dict[Part, tuple[int, float]] = {}  # an end below a transaction, since when
        self._shared = Shared(
            connection,
            admin,
            asker,
            self._topics,
            Transactions(connection, admin, self.counters.count_settled),
            clock,
            self.counters,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: KafkaSettings, clock: Clock | None = None
    ) -> AsyncIterator[KafkaBus]:
        """Connect for the time of a ``with`` block.

        Raises
        ------
        Unavailable
            No broker answers.
        Rejected
            They do not let us in, or the client is not fit for use.
        """
        check_extension()
        connection = Connection(settings)
        async with connection.admin() as admin:
            asker = Asker(connection)
            await asker.start()
            bus = cls(connection, admin, asker, clock or SystemClock())
            try:
                yield bus
            finally:
                await bus.aclose()

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create what is missing; what is there keeps its configuration."""
        await self._topics.ensure(topics)

    # ---- writing ------------------------------------------------------------------------------

    async def publish(self, messages: Sequence[Outgoing], position: Position | None = None) -> None:
        """Append, all or nothing, and remember `position` with it.

        Raises
        ------
        Fenced
            Somebody else publishes for the same source.
        Unavailable
            Not known whether it was written: ask for the position.
        """
        await self._topics.check(messages)
        records: dict[Part, list[Record | Outgoing]] = {}
        for message in messages:
            records.setdefault((message.topic, message.partition), []).append(message)
        name = self._anonymous
        if position is not None:
            await self._topics.ensure_positions()
            source = position.source
            records[POSITIONS, 0] = [
                Record(source.encode(), position.value),
                *(Record(note_key(source, k).encode(), v) for k, v in position.notes.items()),
            ]
            name = f"publish-{position.source}"
        if not records:
            return
        async with self._writing.setdefault(name, asyncio.Lock()):
            writer = await self._writer(name)
            try:
                with self.counters.transaction():
                    await writer.write(records)
            except BaseException as error:
                del self._writers[name]
                if not isinstance(error, ForewarnError):
                    await writer.aclose()
                raise

    async def position(self, source: str) -> bytes | None:
        """Return the last committed position of `source`, and fence whoever publishes for it.

        Without that, the answer could be older than a commit that has already returned. Reads all
        sources' positions.
        """
        await self._topics.ensure_positions()
        name = f"publish-{source}"
        async with self._writing.setdefault(name, asyncio.Lock()):
            await self._writer(name)
        # Other sources' transactions are open here for as long as they take.
        patience = self._connection.settings.transaction_timeout + _DECIDED
        await self._asker.decided((POSITIONS, 0), patience)
        wanted = source.encode()
        found: bytes | None = None
        async for key, value in self._positions():
            found = value if key == wanted else found
        return found

    async def notes(self, source: str) -> Mapping[str, bytes]:
        """Return what was committed beside the positions of `source`. Reads all sources'."""
        begin = note_key(source, "").encode()
        found: dict[str, bytes] = {}
        async for key, value in self._positions():
            if key.startswith(begin):
                name = key[len(begin) :].decode()
                if value:
                    found[name] = value
                else:  # as a deletion reads
                    found.pop(name, None)
        return found

    async def _positions(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Yield all that stands in the topic of positions, the newest last."""
        await self._topics.ensure_positions()
        offset = (await self.start_offsets(POSITIONS))[0]
        while batch := await self.read(POSITIONS, 0, offset, 10_000):
            for message in batch.messages:
                yield message.key, message.value
            offset = batch.next_offset

    async def _writer(self, name: str) -> Writer:
        """Return the writer of that name, started; call it with the name's lock held."""
        writer = self._writers.get(name)
        if writer is None or writer.retired:
            if writer is not None:
                await writer.aclose()
            writer = self._writers[name] = Writer(
                self._connection, name, self._shared.transactions, self._clock
            )
            try:
                await writer.start()
            except BaseException:
                del self._writers[name]
                raise
        return writer

    async def own(self, app: str, partition: int, inputs: Sequence[str]) -> Ownership:
        """Take the task, fencing whoever had it."""
        counts = [len(await self._topics.parts(topic)) for topic in inputs]
        await self._topics.ensure_state(app, max([*counts, partition + 1]))
        task = await KafkaOwnership.take(self._shared, app, partition, inputs)
        self._owned = [*(each for each in self._owned if not each.released), task]
        return task

    # ---- reading ------------------------------------------------------------------------------

    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], group: str) -> AsyncIterator[Subscription]:
        """Read all partitions of `topics` as `group`, from its last commit, or from the oldest.

        Subscribers under one name share the partitions.
        """
        for topic in topics:
            await self._topics.parts(topic)
        async with GroupReading.open(self._connection, self._asker, topics, group) as reading:
            self._subscribed.append(reading)
            try:
                yield reading
            finally:
                self._subscribed.remove(reading)

    @asynccontextmanager
    async def reading(self, offsets: Mapping[Part, int]) -> AsyncIterator[Reading]:
        """Read these partitions alone, each from its offset; nothing is remembered."""
        reader = Reader(self._connection, self._asker)
        await reader.start()
        try:
            await reader.assign(offsets)
            yield reader
        finally:
            await reader.aclose()

    async def follow(self, app: str, topic: str, crew: Crew) -> None:
        """Be a member of the group `app`, and tell `crew` what it is assigned."""
        await self._topics.parts(topic)
        await follow(self._connection, self._asker, app, topic, crew, self.counters)

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Batch | None:
        """Return messages from `offset` on without any group; None where there is none."""
        part = await self._topics.part(topic, partition)
        async with self._free:
            seat = await self._seat(part)
            async with seat.lock:
                if (seat.part, seat.offset) != (part, offset):
                    seat.part = None
                    [(oldest, end)] = await self._asker.bounds([part])
                    if not oldest <= offset <= end:
                        raise await self._asker.lost(self._connection.part(*part), offset)
                    await seat.reader.assign({part: offset})
                    seat.part, seat.offset = part, offset
                try:
                    batches = await seat.reader.poll(limit, 0.0)
                except BaseException:
                    seat.part = None
                    raise
                if not batches:
                    return None
                seat.offset = batches[0].next_offset
                return batches[0]

    async def _seat(self, part: Part) -> _Seat:
        """Return the free reader that stands at `part`, or the one that has waited longest."""
        free = [seat for seat in self._seats if not seat.lock.locked()]
        for seat in free:
            if seat.part == part:
                break
        else:
            if len(self._seats) < _SEATS and not any(seat.part is None for seat in free):
                reader = Reader(self._connection, self._asker, fetch_max_wait_ms=_SEAT_WAIT)
                await reader.start()
                self._stack.push_async_callback(reader.aclose)
                seat = _Seat(reader)
                self._seats.append(seat)
            else:
                seat = next((each for each in free if each.part is None), free[0])
        self._seats.remove(seat)
        self._seats.append(seat)
        return seat

    async def start_offsets(self, topic: str) -> Sequence[int]:
        """Return, per partition, the oldest offset that is kept."""
        return [oldest for oldest, _ in await self._bounds(topic)]

    async def end_offsets(self, topic: str) -> Sequence[int]:
        """Return, per partition, the first offset that is not committed yet."""
        return [end for _, end in await self._bounds(topic)]

    async def _bounds(self, topic: str) -> list[tuple[int, int]]:
        return await self._asker.bounds(await self._topics.parts(topic))

    async def lag(self) -> Sequence[Lag]:
        """Return how far the tasks and subscriptions that are open here are behind.

        Asks the brokers. An open transaction holds the end of what is committed back; how long one
        end has stood so is counted from one call to the next.
        """
        readers: list[KafkaOwnership | GroupReading] = [
            *(task for task in self._owned if not task.released),
            *self._subscribed,
        ]
        with translated("ask how far behind we are"):
            async with asyncio.timeout(self._connection.settings.request_timeout):
                named = [await reader.positions() for reader in readers]
                parts = sorted({part for _, positions in named for part in positions})
                ends = dict(zip(parts, await self._asker.reach(parts), strict=True))
        now, held = self._clock.now(), self._held
        self._held = {
            part: held[part] if held.get(part, (-1,))[0] == end else (end, now)
            for part, (end, written) in ends.items()
            if end < written
        }
        found = []
        for group, positions in named:
            for part, at in positions.items():
                (end, _), (topic, partition) = ends[part], part
                _, since = self._held.get(part, (end, now))
                found.append(Lag(group, topic, partition, max(0, end - at), now - since))
        return found

    async def settled(self, topic: str) -> None:
        """Return when no transaction is open on `topic`.

        Brokers answer a commit before they have marked it in every partition, which takes up to
        some 100 ms; the transaction of an owner who has died takes its timeout.
        """
        await self._asker.settled(await self._topics.parts(topic))

    async def trim(self, now: float) -> int:
        """Drop what is older than its topic's retention, as the brokers do by themselves in time.

        Reads what it drops: a look-up by time would find the markers of transactions, which carry
        the broker's clock. Needs the right to delete from the topics that this bus has ensured.
        """
        gone = 0
        for name, _, retention in self._topics.ensured.values():
            if retention is not None:
                for part in await self._topics.parts(name):
                    gone += await self._trim(part, now - retention)
        return gone

    async def _trim(self, part: Part, before: float) -> int:
        [(oldest, end)] = await self._asker.bounds([part])
        count, offset = 0, oldest
        while batch := await self.read(*part, offset, _TRIM):
            kept = next((i for i, each in enumerate(batch.messages) if each.at >= before), None)
            if kept is not None:
                count += kept
                offset = batch.messages[kept].offset
                break
            count += len(batch.messages)
            offset = batch.next_offset
        else:
            offset = max(offset, end)
        if count:
            await self._admin.delete_before({self._connection.part(*part): offset})
            for seat in self._seats:
                seat.part = None  # what it has fetched may be gone
        return count

    async def aclose(self) -> None:
        """Disconnect. Idempotent."""
        for task in self._owned:
            await task.release()
        for writer in self._writers.values():
            await writer.aclose()
        self._writers.clear()
        await self._stack.aclose()
        self._seats.clear()
        await self._asker.aclose()

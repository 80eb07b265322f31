"""A transactional producer: writes messages and offsets, all or nothing, once.

Starting one under a name ends the transaction of whoever had the name before and fences him; that
is what `stream.kafka_task` builds exactly-once on, with a name per task.

A writer that has met any error is dead: after a lost answer nobody knows what the broker has, and
a delayed request of an old transaction must never meet a new one. It is thrown away, and its
successor's start settles what was open. It also retires by itself, long before the sequence number
of a partition overflows (at 2³¹, after which aiokafka can never write there again).

Messages go as whole batches: a `send` per message costs seven times as much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.conn import CloseReason
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from stream.bus import Outgoing
from stream.clock import Clock
from stream.errors import Fenced, ForewarnError, Rejected, Unavailable
from stream.kafka_connection import LARGEST, Connection, ours, translated
from stream.kafka_transactions import Transactions

RETIRE_RECORDS: Final = 1 << 30  # half of what a sequence number counts to
RETIRE_SECONDS: Final = 86_400.0
_RETRY_MS: Final = 20  # a broker answers "not yet" for some ms after each transaction
_CLOSE: Final = 1.0  # seconds for saying goodbye
_OVERHEAD: Final = 1 << 10  # bytes of a batch beside its messages, generously


class Record(NamedTuple):
    """What is written to one partition: a message, or the deletion of a key (value None)."""

    key: bytes
    value: bytes | None
    at: float = 0.0
    headers: tuple[tuple[str, bytes], ...] = ()


Records = Mapping[tuple[str, int], Sequence[Record | Outgoing]]  # by (topic, partition)


class Writer:
    """One transactional name, held until somebody else starts under it.

    Parameters
    ----------
    name
        Of the transaction; our prefix is put before it.
    transactions
        Finds what hangs of the predecessor's transaction, and ends it.
    clock
        For retiring.
    """

    def __init__(
        self, connection: Connection, name: str, transactions: Transactions, clock: Clock
    ) -> None:
        self._connection = connection
        self._name = name
        self._transactions = transactions
        self._clock = clock
        self._producer: Any = None
        self._failed: ForewarnError | None = None
        self._lock = asyncio.Lock()
        self._written = 0
        self._started = clock.now()
        self.retire_records = RETIRE_RECORDS
        self.shaken = False

    async def start(self) -> None:
        """Fence the predecessor and end its transaction; returns when that is settled.

        Raises
        ------
        Unavailable
            The broker does not answer in time.
        Rejected
            It does not let us.
        Corrupt
            The predecessor's transaction hangs, and cannot be ended as it was decided.
        """
        settings = self._connection.settings
        hanging = await self._transactions.hanging(self._name)  # a start forgets what was decided
        with translated(f"start the transaction {self._name}"):
            self._producer = AIOKafkaProducer(
                **self._connection.arguments()
                | {
                    "retry_backoff_ms": _RETRY_MS,
                    "transactional_id": self._connection.named(self._name),
                    "transaction_timeout_ms": int(settings.transaction_timeout * 1000),
                    "compression_type": "zstd",
                    "max_batch_size": LARGEST,
                    "max_request_size": LARGEST,
                }
            )
            try:
                self._watch(self._producer.client)
                async with asyncio.timeout(settings.request_timeout + settings.transaction_timeout):
                    await self._producer.start()
                if hanging is not None:
                    await self._transactions.settle(hanging, self.epoch)
            except BaseException:
                await _abandon(self._producer)
                raise

    def _watch(self, client: Any) -> None:
        """Be told when a connection breaks.

        A broker that died may have lost the end of the transaction before. Our next one would be
        mixed with what hangs, so it must not begin: whoever starts anew settles that.
        """
        told = client._on_connection_closed  # noqa: SLF001  # not to be had otherwise

        def closed(connection: Any, reason: Any) -> None:
            self.shaken |= reason in (CloseReason.CONNECTION_BROKEN, CloseReason.CONNECTION_TIMEOUT)
            told(connection, reason)

        client._on_connection_closed = closed  # noqa: SLF001

    @property
    def epoch(self) -> int:
        """A number that rises with every start under this name."""
        inside = self._producer._txn_manager  # noqa: SLF001  # not to be had otherwise
        # A name that was out of epochs, or forgotten after a week, gets a larger producer id.
        return int(inside.producer_id) << 16 | int(inside.producer_epoch)

    @property
    def retired(self) -> bool:
        """Whether it has written enough and is to be replaced, between two transactions."""
        return (
            self._written >= self.retire_records
            or self._clock.now() - self._started >= RETIRE_SECONDS
        )

    async def write(
        self, records: Records, group: str = "", offsets: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """Write it all, and `offsets` as those of `group`, in one transaction.

        Some five round trips, whatever the size.

        Raises
        ------
        Fenced
            Somebody else has started under this name, or the broker has given us up.
        Unavailable
            Not known whether it was written. The writer is dead.
        Rejected
            The broker will never take it; nothing was written. The writer is dead.
        """
        async with self._lock:
            if self._failed is not None:
                raise self._failed
            try:
                if self.shaken:
                    raise Unavailable("a connection broke since the last commit: own it anew")
                async with asyncio.timeout(self._connection.settings.transaction_timeout):
                    await self._transaction(records, group, offsets or {})
            except BaseException as error:
                failed = ours(_cause(self._producer, error), f"commit {self._name}")
                self._failed = error if isinstance(error, ForewarnError) else failed
                await self._bury()
                if isinstance(error, ForewarnError | asyncio.CancelledError):
                    raise
                raise failed from error
            self._written += sum(len(batch) for batch in records.values())

    async def _transaction(
        self, records: Records, group: str, offsets: Mapping[TopicPartition, int]
    ) -> None:
        producer = self._producer
        await producer.begin_transaction()
        sent: list[asyncio.Future[Any]] = []
        for (topic, partition), batch in records.items():
            name = self._connection.named(topic)
            for builder in _batches(producer, batch):
                sent.append(await producer.send_batch(builder, name, partition=partition))
                _seen(sent[-1])
        if offsets:
            await producer.send_offsets_to_transaction(
                {part: OffsetAndMetadata(at, "") for part, at in offsets.items()},
                self._connection.named(group),
            )
        # Each one: a batch that was refused does not fail the commit by itself.
        results = await asyncio.gather(*sent, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        await producer.commit_transaction()

    async def _bury(self) -> None:
        producer = self._producer
        if isinstance(self._failed, Rejected) and not isinstance(self._failed, Fenced):
            # Known not to be written: say so at once, and readers need not wait for the timeout.
            with suppress(Exception):
                async with asyncio.timeout(_CLOSE):
                    await producer.abort_transaction()
        await _abandon(producer)

    async def aclose(self) -> None:
        """Give the name up. Idempotent."""
        if self._producer is not None and self._failed is None:
            self._failed = Unavailable(f"the transaction {self._name} is closed")
            await _abandon(self._producer)


def _batches(producer: Any, records: Sequence[Record | Outgoing]) -> Iterator[Any]:
    """Yield `records` as batches that the broker takes."""
    builder = producer.create_batch()
    for record in records:
        fields = {
            "key": record.key,
            "value": record.value,
            "timestamp": round(record.at * 1000),
            "headers": list(record.headers),
        }
        if builder.append(**fields) is not None:
            continue
        if builder.record_count():
            yield builder
        builder = producer.create_batch()
        size = len(record.key) + len(record.value or b"") + _OVERHEAD
        if size > LARGEST or builder.append(**fields) is None:
            raise Rejected(
                f"a message of {size:,} bytes is larger than a batch may be ({LARGEST:,})"
            )
    if builder.record_count():
        yield builder


async def _abandon(producer: Any) -> None:
    """Close a producer, whatever state it is in, within about a second.

    `stop` waits until everything is delivered: with a broker that is gone, for ever, and so do the
    tasks it has begun. They are ended here; what they were doing, the successor's start settles.
    """
    with suppress(Exception):
        async with asyncio.timeout(_CLOSE):
            await producer.stop()
    inside = producer._txn_manager  # noqa: SLF001
    for waiter in (inside._transaction_waiter, inside._pid_waiter):  # noqa: SLF001
        if waiter is not None:
            _seen(waiter)
    accumulator = producer._message_accumulator  # noqa: SLF001
    for batch in chain(*accumulator._batches.values(), accumulator._pending_batches):  # noqa: SLF001
        _seen(batch.future)
        _seen(batch._drain_waiter)  # noqa: SLF001
    own = (producer._sender, accumulator)  # noqa: SLF001
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None and frame.f_locals.get("self") in own:
            task.cancel()
    with suppress(Exception):
        async with asyncio.timeout(_CLOSE):
            await producer.client.close()


def _cause(producer: Any, error: BaseException) -> BaseException:
    """Return why the sender died, if it did: what is met after that says nothing."""
    sending = producer._sender.sender_task  # noqa: SLF001
    if sending is not None and sending.done() and not sending.cancelled():
        return sending.exception() or error
    return error


def _seen(future: asyncio.Future[Any]) -> None:
    """Let nobody print a failure that is reported already as one never looked at."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())

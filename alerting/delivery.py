"""Delivery: takes notifications off the outbox and sees each one through to its channel.

Every channel has a queue and a worker of its own, so a slow or dead one delays no other.
Unavailable is tried again with full-jitter pauses (1 s doubling to 60 s, or what the place asked
for) for half an hour; Rejected is final. The ledger (`alerting.ledger`) is written before and after
each message, in the fenced transaction of the task that owns the partition, so two deliverers never
both send and a crash leaves only what it was sending in doubt. The position moves past a
notification when it and all before it are settled.

*Dry* renders and settles; no channel that could send exists then. One line of log per decision.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

import msgspec

from alerting import ledger
from alerting.alert import Notification
from alerting.channels.base import Channel
from alerting.config import DeliveryConfig
from alerting.ledger import Delivery, Outcome, key_of
from alerting.wire import decode
from stream.bus import Bus, Outgoing, Ownership
from stream.clock import Clock
from stream.errors import Fenced, Rejected, Unavailable
from stream.histogram import Histogram
from stream.topics import NOTIFICATIONS

APP: Final = "delivery"
_log = logging.getLogger(__name__)
_OFFSET: Final = b"offset"
_BATCH: Final = 100
_MOST_WAITING: Final = 1_000  # notifications in memory; reading pauses above it
REPEAT: Final = "(possible repeat)"


class _Job:
    """One notification on its way."""

    def __init__(self, offset: int, notification: Notification, received: float) -> None:
        self.offset = offset
        self.notification = notification
        self.received = received
        self.settled = False
        self.repeat = False


class DeliveryTask:
    """Partition `partition` of the notifications, owned.

    Parameters
    ----------
    bus, partition, partitions
        Where notifications come from; which task this is, of how many.
    channels
        By the receivers' names (`AlertingConfig.channels`).
    config
        Times and pauses.
    clock
        Of pauses and deadlines.
    seed
        Of the jitter.
    dry
        Render only; give channels that were built dry.

    Attributes
    ----------
    records
        How many notifications it has read.
    outcomes
        How many notifications came to which outcome, by (channel, outcome).
    latency
        Seconds from reading a notification to its delivery, by channel.
    """

    def __init__(
        self,
        bus: Bus,
        partition: int,
        partitions: int,
        channels: Mapping[str, Channel],
        config: DeliveryConfig,
        clock: Clock,
        *,
        seed: int = 0,
        dry: bool = False,
    ) -> None:
        self._bus = bus
        self._partition = partition
        self._partitions = partitions
        self._channels = channels
        self._config = config
        self._clock = clock
        self._dry = dry
        self._random = random.Random(seed)
        self._lock = asyncio.Lock()  # one transaction, or one read, at a time
        self._advancing = asyncio.Lock()
        self._passed: dict[bytes, bytes | None] = {}
        self._ownership: Ownership | None = None
        self._jobs: deque[_Job] = deque()
        self._queues: dict[str, asyncio.Queue[_Job]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._known: dict[bytes, Delivery] = {}
        self._offset = 0
        self._written = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.records = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.latency: dict[str, Histogram] = {name: Histogram() for name in channels}

    @property
    def waiting(self) -> int:
        """How many notifications are read and not settled."""
        return sum(not job.settled for job in self._jobs)

    async def start(self) -> None:
        """Own the task and read the ledger."""
        await self.release()
        await self._bus.ensure(ledger.specs(self._partitions))
        ownership = await self._bus.own(APP, self._partition, [NOTIFICATIONS])
        self._ownership = ownership
        changelog = await ownership.changelog()
        offset = changelog.get(_OFFSET)
        self._offset = self._written = int(offset) if offset is not None else 0
        self._known = {
            key: ledger.decode(value) for key, value in changelog.items() if key != _OFFSET
        }
        ownership.seek({NOTIFICATIONS: self._offset} if offset is not None else {})

    async def step(self) -> int:
        """Hand what is new to the channels' workers; return how many notifications were read.

        Raises
        ------
        Fenced
            Another owner has the task: drop this object.
        Unavailable
            The bus cannot be reached; the next `step` starts anew from the ledger.
        """
        if self._ownership is None:
            await self.start()
        if (error := self._failure()) is not None:
            await self.release()
            raise error
        if len(self._jobs) >= _MOST_WAITING:
            return 0
        ownership = self._ownership
        assert ownership is not None
        try:
            async with self._lock:
                batches = await ownership.poll(_BATCH)
        except Unavailable:
            await self.release()
            raise
        read = 0
        for batch in batches:
            for message in batch.messages:
                read += 1
                await self._receive(message.offset, message.value)
            self._offset = batch.next_offset
        self.records += read
        await self._advance()
        return read

    async def settle(self) -> None:
        """Wait until everything that was read is settled."""
        waiting = asyncio.ensure_future(self._idle.wait())
        try:
            await asyncio.wait(
                [waiting, *self._workers.values()], return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        if (error := self._failure()) is not None:
            await self.release()
            raise error

    async def release(self) -> None:
        """Stop the workers and give the task up; the next owner takes up what is unsettled."""
        workers, self._workers, self._queues = list(self._workers.values()), {}, {}
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        self._jobs.clear()
        self._passed.clear()
        self._idle.set()
        ownership, self._ownership = self._ownership, None
        if ownership is not None:
            await ownership.release()

    # ---- inside ----

    def _failure(self) -> BaseException | None:
        for worker in self._workers.values():
            if worker.done() and not worker.cancelled() and (error := worker.exception()):
                return error
        return None

    async def _receive(self, offset: int, value: bytes) -> None:
        try:
            notification: Notification = decode(NOTIFICATIONS, value)
        except Rejected as error:
            _log.error("offset=%s outcome=unreadable error=%r", offset, str(error))
            self.outcomes["", "unreadable"] += 1
            return
        job = _Job(offset, notification, self._clock.now())
        self._jobs.append(job)
        self._idle.clear()
        known = self._known.get(key_of(notification.id, notification.channel))
        if known is not None and known.outcome is not Outcome.ATTEMPTING:
            job.settled = True
            return
        job.repeat = known is not None
        if notification.channel not in self._channels:
            await self._settle(job, Outcome.FAILED, 0, "there is no such receiver any more")
            return
        if job.repeat and self._config.on_uncertain == "suppress":
            await self._settle(job, Outcome.FAILED, 0, "in doubt after a crash, not sent again")
            return
        queue = self._queues.get(notification.channel)
        if queue is None:
            queue = self._queues[notification.channel] = asyncio.Queue()
            self._workers[notification.channel] = asyncio.create_task(
                self._work(self._channels[notification.channel], queue),
                name=f"delivery {notification.channel}",
            )
        queue.put_nowait(job)

    async def _work(self, channel: Channel, queue: asyncio.Queue[_Job]) -> None:
        sent: deque[float] = deque(maxlen=channel.limit.messages)
        while True:
            job = await queue.get()
            if not self._dry and len(sent) == sent.maxlen:
                # The budget counts event time; a replay moves faster than the place allows.
                await self._clock.sleep_until(sent[0] + channel.limit.window)
            await self._deliver(channel, job)
            sent.append(self._clock.now())

    async def _deliver(self, channel: Channel, job: _Job) -> None:
        notification = job.notification
        if job.repeat:
            notification = msgspec.structs.replace(
                notification, title=f"{notification.title} {REPEAT}"
            )
        if self._dry:
            _log.debug("rendered=%s channel=%s", notification.id, channel.name)
            channel.render(notification)
            await self._settle(job, Outcome.RENDERED, 0, "")
            return
        await self._write(self._entry(job, Outcome.ATTEMPTING, 0, ""))
        attempts = 0
        give_up_at = job.received + self._config.give_up_after
        while True:
            attempts += 1
            try:
                async with asyncio.timeout(self._config.timeout):
                    await channel.notify(notification)
            except Rejected as error:
                await self._settle(job, Outcome.FAILED, attempts, f"rejected: {error}")
                return
            except (Unavailable, TimeoutError) as error:
                said = str(error) or "no answer in time"
                pause = self._pause(attempts, getattr(error, "retry_after", None))
                now = self._clock.now()
                if now + pause > give_up_at:
                    await self._settle(job, Outcome.FAILED, attempts, f"given up: {said}")
                    return
                _log.warning(
                    "notification=%s channel=%s attempt=%d error=%r again_in=%.1f",
                    notification.id,
                    channel.name,
                    attempts,
                    said,
                    pause,
                )
                await self._clock.sleep_until(now + pause)
            except Exception as error:
                # A bug of one channel must not silence the others. Its text may hold a secret.
                _log.error("channel=%s bug=%s", channel.name, type(error).__name__)
                await self._settle(job, Outcome.FAILED, attempts, f"bug: {type(error).__name__}")
                return
            else:
                await self._settle(job, Outcome.DELIVERED, attempts, "")
                return

    def _pause(self, attempts: int, retry_after: float | None) -> float:
        """Return full jitter up to a doubling bound, but no less than the place asked for."""
        bound = min(
            self._config.backoff_most, self._config.backoff_first * 2.0 ** min(attempts - 1, 16)
        )
        return max(self._random.uniform(0.0, bound), retry_after or 0.0)

    def _entry(self, job: _Job, outcome: Outcome, attempts: int, error: str) -> Delivery:
        return Delivery(
            notification=job.notification.id,
            channel=job.notification.channel,
            outcome=outcome,
            at=self._clock.now(),
            attempts=attempts,
            repeat=job.repeat,
            error=error,
        )

    async def _settle(self, job: _Job, outcome: Outcome, attempts: int, error: str) -> None:
        entry = self._entry(job, outcome, attempts, error)
        await self._write(entry, ledger.outgoing(entry, self._partitions))
        job.settled = True
        self.outcomes[entry.channel, outcome.value] += 1
        if outcome is Outcome.DELIVERED:
            self.latency[entry.channel].observe(entry.at - job.received)
        level = logging.ERROR if outcome is Outcome.FAILED else logging.DEBUG
        _log.log(
            level,
            "notification=%s channel=%s outcome=%s attempts=%d error=%r",
            entry.notification,
            entry.channel,
            outcome.value,
            attempts,
            error,
        )
        await self._advance()

    async def _write(self, entry: Delivery, *outputs: Outgoing) -> None:
        key = key_of(entry.notification, entry.channel)
        await self._commit(outputs, {key: ledger.encode(entry)}, {})
        self._known[key] = entry

    async def _advance(self) -> None:
        """Move the position past everything that is settled, and forget its entries."""
        async with self._advancing:
            while self._jobs and self._jobs[0].settled:
                job = self._jobs.popleft()
                self._passed[key_of(job.notification.id, job.notification.channel)] = None
            position = self._jobs[0].offset if self._jobs else self._offset
            if position > self._written:
                passed, self._passed = self._passed, {}
                changelog = {**passed, _OFFSET: str(position).encode()}
                await self._commit((), changelog, {NOTIFICATIONS: position})
                self._written = position
                for key in passed:
                    self._known.pop(key, None)
            if not self._jobs:
                self._idle.set()

    async def _commit(
        self,
        outputs: tuple[Outgoing, ...],
        changelog: Mapping[bytes, bytes | None],
        offsets: Mapping[str, int],
    ) -> None:
        if self._ownership is None:
            raise Fenced("the delivery task was released")
        async with self._lock:
            await self._ownership.commit(outputs, changelog, offsets)

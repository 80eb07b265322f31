"""The bus in one process and one SQLite file: log, state, offsets and fencing in one transaction.

The default setting of forewarn: no server, nothing to operate. It keeps the contract of
`stream.bus` to the letter, and one thing more: offsets are dense.

Commits run one after the other in a thread of their own, because a sync of the disk can take longer
than the event loop may stand still; reads are direct calls on a WAL snapshot, which no writer ever
blocks. A waiting `poll` wakes at once when this process commits, and within `_LOOK_AGAIN` seconds
when another does: several processes may share the file (a console beside a worker). The second that
owns a task fences the first.

Left to others: SQL and disk (`stream.embedded_store`), meaning (`stream.codec`). A group has one
subscriber at a time here; a second one under the same name reads the same messages again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, ParamSpec, TypeVar

from stream.bus import (
    Batch,
    BusCounters,
    Crew,
    Lag,
    Outgoing,
    Ownership,
    Part,
    Position,
    Reading,
    Subscription,
    TopicSpec,
)
from stream.embedded_store import Store, Synchronous
from stream.errors import Fenced

_LOOK_AGAIN: Final = 0.15  # seconds between two looks for commits of other processes

_P = ParamSpec("_P")
_T = TypeVar("_T")


class EmbeddedBus:
    """A `stream.bus.Bus` on one file.

    Made by `EmbeddedBus.open`. Measured with messages of 130 bytes on one core: 0.7–1 million a
    second appended in batches, 0.7 million read; a commit 0.6 ms, nearly all of it the disk's sync.
    """

    def __init__(self, path: Path, synchronous: Synchronous = "FULL") -> None:
        self._file = _File(path, synchronous)
        self.counters = self._file.counters

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path | None = None, *, synchronous: Synchronous = "FULL"
    ) -> AsyncIterator[EmbeddedBus]:
        """Open the bus for the time of a ``with`` block.

        Parameters
        ----------
        path
            Its file; None gives a temporary one that goes with the block and is never synced.
        synchronous
            What a commit waits for: ``"FULL"`` survives loss of power, ``"NORMAL"`` a crash of
            the process only, at half of the waiting.

        Raises
        ------
        Corrupt
            The file is damaged, no bus of ours, or of another version.
        Unavailable
            It cannot be opened, or is locked.
        """
        if path is None:
            with TemporaryDirectory(prefix="forewarn-") as folder:
                async with cls.open(Path(folder) / "bus.db", synchronous="OFF") as bus:
                    yield bus
            return
        bus = cls(path, synchronous)
        try:
            yield bus
        finally:
            await bus.aclose()

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create what is missing."""
        await self._file.write(self._file.writer.ensure, topics)

    async def publish(self, messages: Sequence[Outgoing], position: Position | None = None) -> None:
        """Append, all or nothing, and remember `position` with it."""
        with self.counters.transaction():
            await self._file.write(self._file.writer.publish, messages, position)

    async def position(self, source: str) -> bytes | None:
        """Return the last committed position of `source`."""
        return self._file.reader.position(source)

    async def notes(self, source: str) -> Mapping[str, bytes]:
        """Return what was committed beside the positions of `source`."""
        return self._file.reader.notes(source)

    async def own(self, app: str, partition: int, inputs: Sequence[str]) -> Ownership:
        """Take the task, fencing whoever had it."""
        task = f"{app}/{partition}"
        epoch = await self._file.write(self._file.writer.own, task)
        return _Ownership(self._file, app, partition, epoch, inputs)

    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], group: str) -> AsyncIterator[Subscription]:
        """Read all partitions of `topics` as `group`, from its last commit, or from the oldest."""
        done = self._file.reader.remembered(group)
        parts = [(name, p) for name in topics for p in range(self._file.reader.partitions(name))]
        reading = _Reading(group, {part: done.get(part) for part in parts})
        self._file.readings.add(reading)
        try:
            yield _Subscription(self._file, reading)
        finally:
            self._file.readings.discard(reading)

    @asynccontextmanager
    async def reading(self, offsets: Mapping[Part, int]) -> AsyncIterator[Reading]:
        """Read these partitions alone, each from its offset; nothing is remembered."""
        yield _Alone(self._file, offsets)

    async def follow(self, app: str, topic: str, crew: Crew) -> None:
        """Give `crew` all tasks: a file is one process' to work on."""
        self.counters.rebalances += 1
        await crew.take(frozenset(range(self._file.reader.partitions(topic))))
        await asyncio.get_running_loop().create_future()

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Batch | None:
        """Return messages from `offset` on without any group; None where there is none."""
        return self._file.reader.read(topic, partition, offset, limit)

    async def start_offsets(self, topic: str) -> Sequence[int]:
        """Return, per partition, the oldest offset that is kept."""
        return [oldest for oldest, _ in self._file.reader.bounds(topic)]

    async def end_offsets(self, topic: str) -> Sequence[int]:
        """Return, per partition, the offset that the next message will get."""
        return [end for _, end in self._file.reader.bounds(topic)]

    async def lag(self) -> Sequence[Lag]:
        """Return how far the tasks and subscriptions that are open here are behind."""
        store, found = self._file.reader, []
        for reading in self._file.readings:
            for (topic, partition), at in reading.offsets.items():
                oldest, end = store.bounds(topic)[partition]
                start = oldest if at is None else at
                found.append(Lag(reading.group, topic, partition, end - start))
        return found

    async def settled(self, topic: str) -> None:
        """Return: what is committed can be read."""

    async def trim(self, now: float) -> int:
        """Drop what is older than its topic's retention; return how many messages went."""
        return await self._file.write(self._file.writer.trim, now)

    async def aclose(self) -> None:
        """Finish the commit that is under way, then close the file. Idempotent."""
        await self._file.aclose()


class _File:
    """The two connections, the thread that writes, and who waits for news."""

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self.writer = Store(path, synchronous)
        self.reader = Store(path, synchronous)
        self.counters = BusCounters()
        self.readings: set[_Reading] = set()  # of those who are open
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bus")
        self._grown = asyncio.Event()
        self._closed = False

    async def write(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run `call` after all earlier writes, then wake whoever waits for messages."""
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._thread, lambda: call(*args, **kwargs))
        self._grown.set()
        self._grown = asyncio.Event()
        return result

    async def poll(self, reading: _Reading, limit: int, wait: float) -> Sequence[Batch]:
        """Take from `reading`, at the latest after `wait` seconds."""
        await asyncio.sleep(0)  # a reader that never runs dry must let the others have a turn
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                while True:
                    seen = self.reader.version()
                    if batches := reading.take(self.reader, limit):
                        return batches
                    await self._news(seen)
        return ()

    async def _news(self, seen: int) -> None:
        """Return when something was committed since version `seen` of the file."""
        while self.reader.version() == seen:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await self._grown.wait()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self.writer.close)
            self._thread.shutdown()
            self.reader.close()


class _Reading:
    """Positions over topic-partitions, read in turn so that a full one starves no other."""

    def __init__(self, group: str, offsets: dict[tuple[str, int], int | None]) -> None:
        self.group = group
        self.offsets = offsets
        self._turn = 0

    def take(self, store: Store, limit: int) -> list[Batch]:
        """Return what is there and move on, all parts or none: a part that fails loses nothing."""
        parts = list(self.offsets)
        batches: list[Batch] = []
        for i in range(len(parts)):
            topic, part = parts[(self._turn + i) % len(parts)]
            if limit <= 0:
                break
            batch = store.read(topic, part, self.offsets[topic, part], limit)
            if batch is not None:
                limit -= len(batch.messages)
                batches.append(batch)
        self.offsets.update({(one.topic, one.partition): one.next_offset for one in batches})
        self._turn += 1
        return batches


class _Ownership:
    """A task's hold on its partition, until another owner comes."""

    def __init__(
        self, file: _File, app: str, partition: int, epoch: int, inputs: Sequence[str]
    ) -> None:
        self._file = file
        self._task = f"{app}/{partition}"
        self._partition = partition
        self._epoch = epoch
        self._inputs = inputs
        self._reading = _Reading(app, {})
        self._released = False
        file.readings.add(self._reading)

    @property
    def epoch(self) -> int:
        return self._epoch

    async def changelog(self) -> Mapping[bytes, bytes]:
        # In the thread: a hundred thousand rows of state are tens of megabytes.
        return await self._file.write(self._file.writer.state, self._task)

    def seek(self, offsets: Mapping[str, int]) -> None:
        self._reading.offsets = {
            (topic, self._partition): offsets.get(topic) for topic in self._inputs
        }

    async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
        return await self._file.poll(self._reading, limit, wait)

    async def commit(
        self,
        outputs: Sequence[Outgoing],
        changelog: Mapping[bytes, bytes | None],
        offsets: Mapping[str, int],
    ) -> None:
        if self._released:
            raise Fenced(f"task {self._task} was released; own it anew")
        commit = self._file.writer.commit
        with self._file.counters.transaction():
            await self._file.write(
                commit, self._task, self._partition, self._epoch, outputs, changelog, offsets
            )

    async def committed(self) -> Mapping[str, int]:
        remembered = self._file.reader.remembered(self._task)
        return {topic: at for (topic, _), at in remembered.items()}

    async def release(self) -> None:
        self._released = True
        self._file.readings.discard(self._reading)


class _Alone:
    """A reading position of nobody else's."""

    def __init__(self, file: _File, offsets: Mapping[Part, int]) -> None:
        self._file = file
        self._reading = _Reading("", dict(offsets))

    async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
        return await self._file.poll(self._reading, limit, wait)


class _Subscription:
    """A group's reading position over whole topics."""

    def __init__(self, file: _File, reading: _Reading) -> None:
        self._file = file
        self._reading = reading

    async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
        return await self._file.poll(self._reading, limit, wait)

    async def commit(self) -> None:
        done = {part: at for part, at in self._reading.offsets.items() if at is not None}
        await self._file.write(self._file.writer.remember, self._reading.group, done)

"""The alert task: partition p of `findings` in, incidents and the outbox out, exactly once.

State is one page per cluster (what is ordered, and what alerting remembers), compressed and cut
into parts that any broker takes, committed in the same transaction as the records that follow from
it and the offset that it stands at. So a restart goes on from the state's own offset and nothing is
said twice or lost; whoever owns the task later fences this one out. A page is written when
something has changed and records are due, or after a few seconds.

Left to others: deciding (`alerting.incidents`), ordering (`alerting.ordering`), sending
(`alerting.delivery`), and which process owns which partition.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import zstandard

from alerting.cluster import Memory
from alerting.incidents import Incidents
from alerting.ordering import Ordering
from alerting.pipeline import Policy
from alerting.wire import outgoing
from stream import codec
from stream.bus import Bus, Outgoing, Ownership
from stream.clock import Clock
from stream.errors import Corrupt, Rejected, Unavailable
from stream.records import DeadLetter
from stream.topics import FINDINGS

APP: Final = "alerting"
_log = logging.getLogger(__name__)
_VERSION: Final = 1
_OFFSET: Final = b"offset"
_PAGE: Final = "cluster/"
_PART: Final = 1 << 19  # bytes of a part: half of what a Kafka message may have by default
_BATCH: Final = 5_000  # messages of one step: about 100 ms of work
_AT_LEAST_EVERY: Final = 5.0  # seconds of the clock between two commits while something changes


class Page(msgspec.Struct):
    """The state of one cluster, as it is stored."""

    version: int
    ordering: Ordering
    memory: Memory


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Page).decode
_LARGEST: Final = 1 << 30  # bytes of an uncompressed page; more is damage


class AlertTask:
    """Partition `partition` of the findings, owned.

    Parameters
    ----------
    bus
        Where findings come from and records go.
    partition, partitions
        Which task this is, of how many.
    policy
        What the configuration says (`AlertingConfig.policy`).
    sources
        Every source that speaks of a cluster, such as ``pods/0``; all of them are waited for.
    clock
        Decides when to commit, never what.

    Attributes
    ----------
    records
        How many findings it has taken in.
    """

    def __init__(
        self,
        bus: Bus,
        partition: int,
        partitions: int,
        policy: Policy,
        sources: Sequence[str],
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._partition = partition
        self._partitions = partitions
        self._policy = policy
        self._sources = tuple(sources)
        self._clock = clock
        self._ownership: Ownership | None = None
        self._pages: dict[str, Page] = {}
        self._incidents: dict[str, Incidents] = {}
        self._outputs: list[Outgoing] = []
        self._changed: set[str] = set()
        self._parts: dict[str, int] = {}  # of each page as it is stored
        self._touched: dict[str, None] = {}
        self._offset = 0
        self._committed_at = clock.now()
        self.records = 0

    async def start(self) -> None:
        """Own the task, fencing whoever had it, and go on where its state stands.

        Raises
        ------
        Corrupt
            The state is of another version, or damaged.
        """
        await self.release()
        self._forget()
        ownership = await self._bus.own(APP, self._partition, [FINDINGS])
        self._ownership = ownership
        changelog = await ownership.changelog()
        stored: dict[str, list[bytes]] = {}
        for key, value in sorted(changelog.items()):
            if key != _OFFSET:
                stored.setdefault(key.decode().rpartition("/")[0], []).append(value)
        for name, parts in stored.items():
            self._restore(name, parts)
        offset = changelog.get(_OFFSET)
        self._offset = int(offset) if offset is not None else 0
        ownership.seek({FINDINGS: self._offset} if offset is not None else {})
        self._committed_at = self._clock.now()

    async def step(self, wait: float = 0.0) -> int:
        """Take in what there is, and commit what follows; return how many messages were read.

        Raises
        ------
        Fenced
            Another owner has the task: drop this object.
        Unavailable
            The bus cannot be reached; memory has been dropped, the next `step` starts anew.
        """
        if self._ownership is None:
            await self.start()
        assert self._ownership is not None
        read = 0
        try:
            for batch in await self._ownership.poll(_BATCH, wait):
                for message in batch.messages:
                    self._take(message.offset, message.value, message.key)
                self._offset = batch.next_offset
                read += len(batch.messages)
            self.records += read
        except Unavailable:
            await self._drop()
            raise
        self._advance()
        waited = self._clock.now() - self._committed_at
        if self._outputs or (self._changed and waited >= _AT_LEAST_EVERY):
            await self.flush()
        return read

    async def flush(self) -> None:
        """Commit state, offset and records now.

        Raises
        ------
        Fenced, Unavailable
            As `step`.
        """
        if self._ownership is None or not (self._changed or self._outputs):
            return
        changelog: dict[bytes, bytes | None] = {_OFFSET: str(self._offset).encode()}
        for name in sorted(self._changed):
            changelog |= self._parts_of(name)
        try:
            await self._ownership.commit(self._outputs, changelog, {FINDINGS: self._offset})
        except BaseException:
            # Not known whether it was written: memory is worth nothing now.
            await self._drop()
            raise
        self._outputs = []
        self._changed = set()
        self._committed_at = self._clock.now()

    def state_hash(self) -> str:
        """Return a digest of all state: equal for equal facts, whatever turns their log took."""
        return codec.digest(_essence(self._pages[name]) for name in sorted(self._pages))

    def lateness(self) -> Mapping[str, tuple[int, int]]:
        """Return, by cluster, how many findings came late and how often a source was left out."""
        return {
            name: (page.ordering.late, page.ordering.left_out) for name, page in self._pages.items()
        }

    async def release(self) -> None:
        """Give the task up. What is not committed is done again by the next owner."""
        ownership, self._ownership = self._ownership, None
        if ownership is not None:
            await ownership.release()

    # ---- inside ----

    def _forget(self) -> None:
        self._pages, self._incidents, self._parts = {}, {}, {}
        self._outputs, self._changed, self._touched = [], set(), {}
        self._offset = 0
        self._committed_at = self._clock.now()

    async def _drop(self) -> None:
        ownership, self._ownership = self._ownership, None
        self._forget()
        if ownership is not None:
            await ownership.release()

    def _parts_of(self, name: str) -> dict[bytes, bytes | None]:
        """Return a page's parts, and deletions of those that a longer page has left."""
        packed = zstandard.compress(_encode(self._pages[name]), 1)
        parts = [packed[start : start + _PART] for start in range(0, len(packed), _PART)]
        before, self._parts[name] = self._parts.get(name, 0), len(parts)
        gone = range(len(parts), before)
        return {
            **{_key(name, number): part for number, part in enumerate(parts)},
            **{_key(name, number): None for number in gone},
        }

    def _restore(self, name: str, parts: Sequence[bytes]) -> None:
        where = f"state {name!r} of task {APP}/{self._partition}"
        try:
            page = _decode(zstandard.decompress(b"".join(parts), _LARGEST))
        except (msgspec.DecodeError, zstandard.ZstdError) as error:
            raise Corrupt(f"{where} cannot be read: {error}") from error
        if page.version != _VERSION:
            raise Corrupt(
                f"{where} has version {page.version}, this program reads {_VERSION}; run the "
                "program that wrote it, or reset the task"
            )
        self._parts[page.memory.cluster] = len(parts)
        self._add(page)

    def _add(self, page: Page) -> Page:
        page.ordering.expect(self._sources)
        self._pages[page.memory.cluster] = page
        self._incidents[page.memory.cluster] = Incidents(self._policy, page.memory)
        return page

    def _take(self, offset: int, value: bytes, key: bytes) -> None:
        try:
            conclusion = codec.decode(FINDINGS, value)
        except Rejected as error:
            place = f"{FINDINGS}/{self._partition}@{offset}"
            _log.warning("dead_letter=%s error=%r", place, str(error))
            latest = max((page.ordering.frontier for page in self._pages.values()), default=0.0)
            letter = DeadLetter(
                at=max(latest, 0.0), place=place, error=str(error), key=key, value=value
            )
            self._outputs.append(codec.outgoing(letter, self._partitions))
            return
        page = self._pages.get(conclusion.cluster)
        if page is None:
            page = self._add(Page(_VERSION, Ordering(), Memory(conclusion.cluster)))
        page.ordering.offer(conclusion)
        self._touched[conclusion.cluster] = None

    def _advance(self) -> None:
        for name in self._touched:
            findings, reached = self._pages[name].ordering.release()
            records = self._incidents[name].advance(findings, reached)
            self._outputs += [outgoing(record, self._partitions) for record in records]
            self._changed.add(name)
        self._touched = {}


def _key(name: str, number: int) -> bytes:
    return f"{_PAGE}{name}/{number:04}".encode()


def _essence(page: Page) -> bytes:
    """Return what decides the future, without how the sources took turns in the log."""
    ordering, memory = page.ordering, page.memory
    reached = sorted((name, source.at) for name, source in ordering.sources.items())
    whole = msgspec.structs.replace(memory, agenda=sorted(memory.agenda))
    return _encode((sorted(ordering.held), reached, ordering.frontier, whole))

"""The contract of the bus: an ordered, partitioned, replayable log with one transaction per task.

Two implementations pass one conformance suite (`tests/conformance/test_buses.py`), unchanged:
`stream.embedded` (one SQLite file) and Kafka. The bus moves bytes; `stream.codec` knows what they
mean, `stream.topics` which topics exist.

Guaranteed:

- Messages of one topic-partition keep their order and get rising offsets (not always dense).
- `Ownership.commit` is all or nothing: outputs, changelog, input offsets and the fencing check.
- Who calls `Bus.own` fences every earlier owner of that task: their next commit raises `Fenced`.
- A reader sees committed messages only, and all of them soon after the commit (`Bus.settled`).

Not guaranteed: exactly-once for `Bus.subscribe` (at least once: read, act, commit), and any order
between partitions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from stream.errors import Corrupt, Fenced, Rejected, Unavailable


class TopicSpec(NamedTuple):
    """A topic to be there: how many partitions, how long it is kept."""

    name: str
    partitions: int
    retention: float | None  # seconds of message time; None: for ever


class Outgoing(NamedTuple):
    """A message to be written."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    at: float = 0.0  # message time, Unix seconds, kept to the ms; retention goes by it
    headers: tuple[tuple[str, bytes], ...] = ()


Part = tuple[str, int]  # topic, partition


class Message(NamedTuple):
    """A message as read."""

    offset: int
    key: bytes
    value: bytes
    at: float
    headers: tuple[tuple[str, bytes], ...]


class Batch(NamedTuple):
    """Consecutive messages of one partition: the unit of work."""

    topic: str
    partition: int
    messages: Sequence[Message]  # never empty
    next_offset: int  # where reading goes on: one behind the last message, or further


class Position(NamedTuple):
    """How far a source has been published; committed with the messages that it covers."""

    source: str
    value: bytes
    notes: Mapping[str, bytes | None] = {}  # kept beside it, by name; never b"", None deletes


def note_key(source: str, name: str) -> str:
    """Return under what a note stands among positions; a source has no control character."""
    return f"{source}\x1f{name}"


class Lag(NamedTuple):
    """How far a reading position of this process is from the end of what is committed."""

    group: str  # of a subscription, or the application of a task
    topic: str
    partition: int
    records: int  # offsets to the end; on Kafka markers of transactions count
    held_seconds: float = 0.0  # how long that end has stood still below an open transaction


class Abort(StrEnum):
    """Why a transaction failed."""

    FENCED = "fenced"  # there is a newer owner
    UNAVAILABLE = "unavailable"  # not known whether it was written
    REJECTED = "rejected"
    CORRUPT = "corrupt"
    INTERRUPTED = "interrupted"  # the process was ending, or has a bug

    @classmethod
    def by(cls, error: BaseException) -> Abort:
        """Return what `error` means."""
        match error:
            case Fenced():
                return cls.FENCED
            case Unavailable():
                return cls.UNAVAILABLE
            case Rejected():
                return cls.REJECTED
            case Corrupt():
                return cls.CORRUPT
            case _:
                return cls.INTERRUPTED


@dataclass(slots=True)
class BusCounters:
    """What a bus did since it was opened; whoever exports metrics reads it."""

    transactions: int = 0  # committed
    aborts: Counter[Abort] = field(default_factory=Counter)
    rebalances: int = 0  # times that a crew was told what is its own

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Count the transaction that is tried in the block."""
        try:
            yield
        except BaseException as error:
            self.aborts[Abort.by(error)] += 1
            raise
        self.transactions += 1


class Ownership(Protocol):
    """Task p of an application: partition p of each input, fenced, one transaction at a time."""

    @property
    def epoch(self) -> int:
        """Fencing epoch: rises with every owner of this task."""
        ...

    async def changelog(self) -> Mapping[bytes, bytes]:
        """Return the task's committed state, the last value of each key."""
        ...

    def seek(self, offsets: Mapping[str, int]) -> None:
        """Read each named input topic from this offset on; topics not named start at the oldest.

        Nothing is read before the first `seek`.
        """
        ...

    async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
        """Return up to `limit` messages; waits up to `wait` seconds when there is none.

        A poll that raises has not moved on: the next one returns what it would have.

        Raises
        ------
        Unavailable
            The bus cannot be read now.
        Corrupt
            The wanted offset is no longer kept (`retention` passed it) or data is damaged.
        """
        ...

    async def commit(
        self,
        outputs: Sequence[Outgoing],
        changelog: Mapping[bytes, bytes | None],  # None deletes the key
        offsets: Mapping[str, int],  # input topic → next offset
    ) -> None:
        """Write it all, or nothing.

        Raises
        ------
        Fenced
            The task has a newer owner. Drop it.
        Unavailable
            Not known whether it was written. Drop the task's memory and own it anew.
        """
        ...

    async def committed(self) -> Mapping[str, int]:
        """Return the input offsets that were committed last, by topic, as the bus keeps them.

        Operators of the bus see and may change them; the task's own are inside its state.
        """
        ...

    async def release(self) -> None:
        """Give the task up; does not wait for a successor. Idempotent."""
        ...


class Crew(Protocol):
    """Who runs tasks: it is told which."""

    async def pause(self) -> None:
        """Commit what is done and stand still; the next `take` says what remains.

        Has a few seconds. What is not committed by then is fenced and done again elsewhere.
        """
        ...

    async def take(self, partitions: frozenset[int]) -> None:
        """Run these tasks and no others. Must not fail, and not wait for the tasks."""
        ...


class Reading(Protocol):
    """A position over partitions."""

    async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
        """Return up to `limit` messages behind the position; waits up to `wait` seconds."""
        ...


class Subscription(Reading, Protocol):
    """A group's reading position over whole topics: at least once."""

    async def commit(self) -> None:
        """Remember all that `poll` has returned so far as done."""
        ...


class Bus(Protocol):
    """An ordered, partitioned, replayable log."""

    @property
    def counters(self) -> BusCounters:
        """What it did since it was opened."""
        ...

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create what is missing.

        Raises
        ------
        Corrupt
            A topic exists with another number of partitions.
        """
        ...

    async def publish(self, messages: Sequence[Outgoing], position: Position | None = None) -> None:
        """Append, all or nothing, and remember `position` with it."""
        ...

    async def position(self, source: str) -> bytes | None:
        """Return the last committed position of `source`."""
        ...

    async def notes(self, source: str) -> Mapping[str, bytes]:
        """Return what was committed beside the positions of `source`; ask for its position first.

        Costs as much as there are notes.
        """
        ...

    async def own(self, app: str, partition: int, inputs: Sequence[str]) -> Ownership:
        """Take the task, fencing whoever had it."""
        ...

    def subscribe(
        self, topics: Sequence[str], group: str
    ) -> AbstractAsyncContextManager[Subscription]:
        """Read all partitions of `topics` as `group`, from its last commit, or from the oldest."""
        ...

    def reading(self, offsets: Mapping[Part, int]) -> AbstractAsyncContextManager[Reading]:
        """Read these partitions alone, each from its offset; nothing is remembered."""
        ...

    async def follow(self, app: str, topic: str, crew: Crew) -> None:
        """Keep telling `crew` which tasks of `app` are this process', until cancelled.

        Processes that follow the same `app` share its tasks: there is one for each partition of
        `topic`. Where there is only one process, all are its own.
        """
        ...

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Batch | None:
        """Return messages from `offset` on without any group; None where there is none."""
        ...

    async def start_offsets(self, topic: str) -> Sequence[int]:
        """Return, per partition, the oldest offset that is kept: where `read` may begin."""
        ...

    async def end_offsets(self, topic: str) -> Sequence[int]:
        """Return, per partition, the offset that the next message will get."""
        ...

    async def lag(self) -> Sequence[Lag]:
        """Return how far the tasks and subscriptions that are open here are behind.

        Raises
        ------
        Unavailable
            Where the ends are is not to be learned now.
        """
        ...

    async def settled(self, topic: str) -> None:
        """Return when what was committed to `topic` until now can be read by anybody.

        A commit that has returned is decided; between processes it may become visible some
        milliseconds later. Whoever counts (a test, an audit) waits here first.
        """
        ...

    async def trim(self, now: float) -> int:
        """Drop what is older than its topic's retention; return how many messages went."""
        ...

    async def aclose(self) -> None:
        """Release files and connections."""
        ...

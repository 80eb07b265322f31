"""Transactions that hang: found, and ended as their coordinator has decided.

Kafka 4.3.1 can lose the markers that end a transaction. A coordinator that starts again sends those
of every decided transaction; where a partition has no leader at that moment, it takes the partition
for deleted, skips it, and calls the transaction complete. What was written there stays invisible,
and hides all that comes later, until the next transaction of that producer ends in that partition.

The decision is known for as long as nobody starts under the transaction's name. So before a writer
starts, `Transactions.hanging` asks for it, and after the start, which fences the predecessor,
`Transactions.settle` writes the markers that are missing.

Guaranteed: nothing is committed or aborted that the coordinator has not decided so, and no
transaction that may still go on is touched: it was complete before and after its partitions were
looked at, and nobody has begun another until the name was fenced. Everything else is left to a
person, and `Corrupt` says so.

Needs Describe on our transactions and Read on our topics; to end a hanging one, also Alter (or
ClusterAction) on the cluster. Brokers before 3.0 cannot be asked: nothing is found there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiokafka.errors import IncompatibleBrokerVersion, for_code

from stream.bus import Part
from stream.errors import Corrupt, Rejected, Unavailable
from stream.kafka_connection import RETRY, Admin, Connection, translated
from stream.kafka_protocol import (
    DESCRIBE_PRODUCERS,
    DESCRIBE_TRANSACTIONS,
    LIST_TRANSACTIONS,
    NO_TAGS,
    WRITE_MARKERS,
    Asked,
)

log = logging.getLogger(__name__)

OFFSETS: Final = "__consumer_offsets"  # a transaction's offsets are written there
_COMMITTED, _ABORTED = "CompleteCommit", "CompleteAbort"
_LOOK: Final = 0.01  # seconds until a transaction that is being ended is looked at again
_DECIDED: Final = ("PrepareCommit", "PrepareAbort")  # markers are on their way
_NEVER_USED: Final = 105  # TRANSACTIONAL_ID_NOT_FOUND
_NOT_ALLOWED: Final = (29, 31)  # TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED
_NOWHERE: Final = (1 << 31) - 1  # a partition that no topic has


class TooOld(Rejected):
    """The brokers cannot be asked this."""


class Transaction(NamedTuple):
    """What a coordinator knows of a transactional name."""

    name: str  # with our prefix
    state: str  # Kafka's word: Empty, Ongoing, PrepareCommit, CompleteCommit, …
    producer: int
    epoch: int
    began: int  # Unix ms, of the last transaction

    @property
    def epoch_number(self) -> int:
        """Producer and epoch as one number, as `stream.kafka_writer.Writer.epoch` has them."""
        return self.producer << 16 | self.epoch

    @property
    def decided(self) -> bool:
        """Whether nothing of it may be open any more."""
        return self.state in (_COMMITTED, _ABORTED)


class Open(NamedTuple):
    """A transaction that has not ended in one partition."""

    topic: str  # Kafka's own name, with our prefix
    partition: int
    producer: int
    epoch: int
    coordinator: int  # its epoch
    start: int  # offset of its first record
    last: float  # Unix seconds, when it wrote last, by the records


class Hanging(NamedTuple):
    """A decided transaction, and where its end is missing."""

    of: Transaction
    places: tuple[Open, ...]


class Transactions:
    """Asks brokers about transactions, and ends those that hang.

    Parameters
    ----------
    settled
        Called after each that was ended, for a metric.
    """

    def __init__(
        self, connection: Connection, admin: Admin, settled: Callable[[], None] = lambda: None
    ) -> None:
        self._connection = connection
        self._admin = admin
        self._settled = settled

    # ---- what writers use -----------------------------------------------------------------------

    async def hanging(self, name: str) -> Hanging | None:
        """Return what hangs of the transaction `name`, before anybody starts under that name.

        Costs three round trips where the last transaction is complete, and two where there is none.

        Raises
        ------
        Unavailable
            Somebody cannot be asked now, or a decided transaction does not come to its end.
        Corrupt
            Something hangs, and we have no right to end it.
        """
        name = self._connection.named(name)
        loop = asyncio.get_running_loop()
        patience = loop.time() + self._connection.settings.request_timeout
        try:
            while True:
                before = await self.described(name)
                if before is None or not (before.decided or before.state in _DECIDED):
                    return None
                if before.decided:
                    places = belonging(before, await self.open())
                    if not places:
                        return None
                    if await self.described(name) == before:  # no other has begun meanwhile
                        await self._see_that_we_may(before)
                        return Hanging(before, places)
                if loop.time() >= patience:
                    raise Unavailable(f"the transaction {name} does not come to its end")
                await asyncio.sleep(_LOOK)
        except TooOld:
            return None

    async def settle(self, hanging: Hanging, epoch: int) -> None:
        """End it as was decided; `epoch` is that of the producer which has fenced it.

        Raises
        ------
        Corrupt
            Another transaction has begun before it was fenced, so what hangs was mixed with it.
        """
        of, places = hanging
        if epoch != of.epoch_number + 1:
            raise Corrupt(
                f"the transaction {of.name} hung and was begun again before it was fenced "
                f"({of.epoch_number:#x}, then {epoch:#x}): see in docs/kafka.md, hanging "
                f"transactions, what to do about {_words(places)}"
            )
        await self.end(places, committed=of.state == _COMMITTED)
        self._settled()
        log.warning(
            "transaction=%s settled=%s reason=markers_lost partitions=%s",
            of.name,
            "committed" if of.state == _COMMITTED else "aborted",
            _words(places),
        )

    async def _see_that_we_may(self, of: Transaction) -> None:
        """Raise `Corrupt` where we have no right to end it: before a start forgets the decision."""
        probe = Open(OFFSETS, _NOWHERE, of.producer, of.epoch, 0, 0, 0.0)
        codes = await self._marked([probe], committed=False)
        if set(codes.values()) & set(_NOT_ALLOWED):
            raise Corrupt(
                f"the transaction {of.name} is decided ({of.state}), but the broker has lost its "
                "end: give our user Alter on the cluster and start again, or let somebody who has "
                "it run `forewarn transactions settle`"
            )

    # ---- questions and answers ------------------------------------------------------------------

    async def described(self, name: str) -> Transaction | None:
        """Return what its coordinator knows of `name`, given in full; None where it was not used.

        Raises
        ------
        Unavailable
            No coordinator answers.
        Rejected
            We may not ask, or the broker is older than Kafka 3.0.
        """
        failed: Unavailable | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._connection.settings.request_timeout):
                while True:  # a coordinator that has just moved, or begins, answers "not yet"
                    try:
                        node = await self._admin.coordinator(name)
                        answer = await self._ask(node, Asked(DESCRIBE_TRANSACTIONS, [name]))
                        [(code, _, state, _, began, producer, epoch, *_)] = answer.states
                        if code == _NEVER_USED:
                            return None
                        if not code:
                            return Transaction(name, state, producer, epoch, began)
                        with translated(f"ask for the transaction {name}"):
                            raise for_code(code)(name)
                    except Unavailable as error:
                        failed = error
                    await asyncio.sleep(RETRY)
        raise failed or Unavailable(f"the coordinator of the transaction {name} does not answer")

    async def open(self) -> list[Open]:
        """Return every transaction that is open now, in our topics and in the groups' offsets.

        What we may not look at is left out.

        Raises
        ------
        Unavailable
            A partition of ours cannot be asked.
        """
        found: list[Open] = []
        for node, topics in (await self._places()).items():
            answer = await self._ask(node, Asked(DESCRIBE_PRODUCERS, _grouped(topics)))
            for name, partitions, _ in answer.topics:
                for index, code, _, producers, _ in partitions:
                    if code in _NOT_ALLOWED:
                        continue
                    if code:
                        why = for_code(code).__name__
                        raise Unavailable(f"cannot ask who writes to {name}/{index}: {why}")
                    found += [
                        Open(name, index, producer, epoch, max(at, 0), start, last / 1000)
                        for producer, epoch, _, last, at, start, _ in producers
                        if start >= 0
                    ]
        return found

    async def names(self, producers: Collection[int]) -> dict[int, str]:
        """Return the transactional names of these producers, as far as a coordinator knows them."""
        found: dict[int, str] = {}
        for node in await self._admin.brokers():
            answer = await self._ask(node, Asked(LIST_TRANSACTIONS, [], list(producers)))
            found |= {producer: name for name, producer, *_ in answer.states}
        return found

    async def end(self, places: Sequence[Open], *, committed: bool) -> None:
        """Write the markers that end a transaction in `places`.

        Whoever calls this has made sure that its producer is fenced and that this is its decision.

        Raises
        ------
        Unavailable
            A broker did not take one; the others are written.
        Rejected
            We may not.
        """
        codes = await self._marked(places, committed=committed)
        for place, code in codes.items():
            if code in _NOT_ALLOWED:
                raise Rejected("ending a transaction needs Alter on the cluster: see docs/kafka.md")
            if code:
                why = for_code(code).__name__
                raise Unavailable(f"cannot end the transaction in {_words([place])}: {why}")

    async def _marked(self, places: Sequence[Open], *, committed: bool) -> dict[Open, int]:
        leaders = {part: node for node, parts in (await self._places()).items() for part in parts}
        codes: dict[Open, int] = {}
        for place in places:
            where = [(place.topic, [place.partition], NO_TAGS)]
            marker = (place.producer, place.epoch, committed, where, place.coordinator, NO_TAGS)
            node = leaders.get((place.topic, place.partition), next(iter(leaders.values())))
            answer = await self._ask(node, Asked(WRITE_MARKERS, [marker]))
            [(_, [(_, [(_, codes[place], _)], _)], _)] = answer.markers
        return codes

    async def _places(self) -> dict[int, list[Part]]:
        """Return all partitions of ours, and of the groups' offsets, by the broker that leads."""
        found: dict[int, list[Part]] = defaultdict(list)
        for part, leader in (await self._admin.leaders()).items():
            if part.topic == OFFSETS or part.topic.startswith(self._connection.settings.prefix):
                if leader < 0:
                    raise Unavailable(f"nobody leads {part.topic}/{part.partition} now")
                found[leader].append(part)
        return found

    async def _ask(self, node: int, request: Asked) -> Any:
        with translated("ask about transactions"):
            try:
                return await self._admin.ask(node, request)
            except IncompatibleBrokerVersion as error:
                raise TooOld(str(error)) from error


def belonging(transaction: Transaction, opened: Iterable[Open]) -> tuple[Open, ...]:
    """Return those of `opened` that the decision on `transaction` is about.

    Fencing and timeouts raise the epoch before they abort, so an abort is also that of the epoch
    before.
    """
    epochs = {transaction.epoch, transaction.epoch - (transaction.state == _ABORTED)}
    return tuple(
        each for each in opened if each.producer == transaction.producer and each.epoch in epochs
    )


def _grouped(parts: Iterable[Part]) -> list[tuple[str, list[int], dict[int, bytes]]]:
    topics: dict[str, list[int]] = defaultdict(list)
    for topic, partition in parts:
        topics[topic].append(partition)
    return [(topic, partitions, NO_TAGS) for topic, partitions in topics.items()]


def _words(places: Iterable[Open]) -> str:
    return ", ".join(sorted({f"{each.topic}/{each.partition}" for each in places}))

"""What a task has behind it: its inputs between snapshot and commit, learned again.

Guaranteed: a replay says nothing, skips what was refused the first time, and stops as `Corrupt`
where an input is no longer kept, unless that gap was accepted and said (`Past.lost`).

Left to others: the manifest's offsets (`stream.task_state`), the loop (`stream.runtime`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Final

from stream.bus import Bus, Message
from stream.codec import UNREADABLE, decoder
from stream.errors import Corrupt, Rejected
from stream.operators.base import Operator
from stream.records import DeadLetter
from stream.task_state import Manifest

log = logging.getLogger(__name__)

_LIMIT: Final = 2_000  # messages per read: a few milliseconds on the loop


class Past:
    """The inputs of one partition that a task has committed already."""

    def __init__(self, bus: Bus, task: str, partition: int) -> None:
        self._bus = bus
        self._task = task
        self._partition = partition

    async def relearn(self, manifest: Manifest, readers: Sequence[Operator], end: int) -> int:
        """Bring the `readers` of one topic from S to `end`, saying nothing; return the records.

        Raises
        ------
        Corrupt
            Inputs are no longer kept, or the operators refuse what they have accepted.
        """
        topic = readers[0].topic
        refused = {one.name: set(manifest.refused.get(one.name, ())) for one in readers}
        count = 0
        async for messages in self._messages(topic, manifest.base.get(topic, end), end):
            offered, records, _ = decoded(topic, messages)
            for operator in readers:
                self._learn(operator, _without(refused[operator.name], offered, records))
            count += len(messages)
        return count

    async def lost(self, manifest: Manifest) -> list[DeadLetter]:
        """Move the manifest past inputs that are no longer kept; return a letter for each gap.

        What was committed stays committed; operators go on from S without what they had learned
        from S to O, and without what was never read.
        """
        letters: list[DeadLetter] = []
        for topic, base in manifest.base.items():
            oldest = (await self._bus.start_offsets(topic))[self._partition]
            if base >= oldest:
                continue
            offset = manifest.offsets[topic]
            manifest.base[topic] = manifest.offsets[topic] = max(offset, oldest)
            place = f"{topic}/{self._partition}@{base}"
            error = (
                f"gap: offsets {base} to {oldest} are no longer kept; {max(0, oldest - offset)} of "
                f"them were never read, of the others the effect on state is lost"
            )
            log.error("task=%s place=%s on_gap=skip %s", self._task, place, error)
            ticks = manifest.progress[topic].ticks if topic in manifest.progress else {}
            at = max(ticks.values(), default=0.0)
            letters.append(DeadLetter(at=at, place=place, error=error))
        return letters

    def _learn(self, operator: Operator, records: Sequence[Any]) -> None:
        try:
            operator.on_records(records)
        except Rejected as error:
            raise Corrupt(
                f"operator {operator.name!r} refuses on replay what task {self._task} has accepted "
                f"({error}): run the version that wrote the state, or use a new application name"
            ) from error

    async def _messages(
        self, topic: str, offset: int, end: int
    ) -> AsyncIterator[Sequence[Message]]:
        while offset < end:
            limit = min(_LIMIT, end - offset)
            batch = await self._bus.read(topic, self._partition, offset, limit)
            if batch is None:
                raise Corrupt(
                    f"{topic}/{self._partition} ends at {offset}, but task {self._task} has "
                    f"committed up to {end}: the topic was replaced, restore it or use a new "
                    "application name"
                )
            offset = batch.next_offset
            # Offsets may have holes, so `limit` messages can reach beyond the end.
            if messages := [message for message in batch.messages if message.offset < end]:
                yield messages
            await asyncio.sleep(0)


def decoded(
    topic: str, messages: Sequence[Message]
) -> tuple[Sequence[Message], list[Any], list[tuple[Message, str]]]:
    """Return the messages that can be decoded, their records, and the others with the error."""
    decode = decoder(topic)
    try:
        return messages, [decode(message.value) for message in messages], []
    except UNREADABLE:
        pass
    good: list[Message] = []
    records: list[Any] = []
    bad: list[tuple[Message, str]] = []
    for message in messages:
        try:
            records.append(decode(message.value))
            good.append(message)
        except UNREADABLE as error:
            bad.append((message, f"not a record of topic {topic!r}: {error}"))
    return good, records, bad


def _without(
    refused: Collection[int], messages: Sequence[Message], records: Sequence[Any]
) -> Sequence[Any]:
    if not refused:
        return records
    return [r for m, r in zip(messages, records, strict=True) if m.offset not in refused]

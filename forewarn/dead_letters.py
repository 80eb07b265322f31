"""`forewarn dlq`: what could not be used, looked at and offered again.

A dead letter holds the original bytes and their place, on a topic of JSON that anybody can read.
`requeue` writes the bytes back to the partition that they came from, behind everything else, with
the letter's place in a header; the letter stays where it is. Offered twice is processed twice, so
letters that are on the queue again already are named and left out.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from stream.bus import Bus, Outgoing
from stream.codec import decode
from stream.errors import Rejected
from stream.records import DeadLetter
from stream.topics import DEAD_LETTERS, INPUTS

_READ: Final = 1_000  # letters at a time
_HEADER: Final = "dlq.place"
_PLACE: Final = re.compile(r"(?P<topic>[a-z-]+)/(?P<partition>\d+)@(?P<offset>\d+)")


class Letter(NamedTuple):
    """A dead letter and where it lies: ``partition@offset`` of the dead letters' topic."""

    id: str
    letter: DeadLetter


async def letters(bus: Bus) -> AsyncIterator[Letter]:
    """Yield all that are kept, partition by partition, oldest first."""
    for partition, start in enumerate(await bus.start_offsets(DEAD_LETTERS)):
        offset = start
        while batch := await bus.read(DEAD_LETTERS, partition, offset, _READ):
            for message in batch.messages:
                where = f"{partition}@{message.offset}"
                yield Letter(where, decode(DEAD_LETTERS, message.value))
            offset = batch.next_offset


async def find(bus: Bus, wanted: str) -> DeadLetter:
    """Return the letter with that id.

    Raises
    ------
    Rejected
        There is none.
    """
    async for each in letters(bus):
        if each.id == wanted:
            return each.letter
    raise Rejected(f"there is no dead letter {wanted!r}; `forewarn dlq ls` shows them")


async def requeue(bus: Bus, wanted: str) -> str:
    """Offer a letter's bytes again, behind everything else; return the partition's name.

    Raises
    ------
    Rejected
        There is no such letter, it did not come from an input topic, or it is queued again already.
    """
    letter = await find(bus, wanted)
    place = _PLACE.fullmatch(letter.place)
    if place is None or place["topic"] not in INPUTS:
        raise Rejected(
            f"dead letter {wanted!r} is from {letter.place}, not from an input topic: repair its "
            "source and replay that"
        )
    topic, partition = place["topic"], int(place["partition"])
    offset = int(place["offset"])
    mark = (_HEADER, letter.place.encode())
    oldest = (await bus.start_offsets(topic))[partition]
    while batch := await bus.read(topic, partition, max(offset, oldest), _READ):
        if any(mark in message.headers for message in batch.messages):
            raise Rejected(f"dead letter {wanted!r} was requeued already; it would count twice")
        offset = batch.next_offset
    await bus.publish([Outgoing(topic, partition, letter.key, letter.value, letter.at, (mark,))])
    return f"{topic}/{partition}"

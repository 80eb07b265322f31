"""The composite that every source feeds: facts in, messages and dead letters out.

A tape and a live watch do the same: `offer` each fact with its place, and from time to time `take`
what is to be published, together, with the source's position. Guaranteed: whatever is wrong with
one fact costs that fact, which becomes a dead letter with its original bytes. Left to others: where
facts come from (`ingest.replay`, the watch) and the publishing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ingest.existing import Existing
from ingest.facts import Fact, dead_letter, split
from ingest.normalise import Normaliser
from ingest.publish import Publisher
from ingest.reading import AnyFact
from stream.bus import Outgoing
from stream.errors import Rejected
from stream.records import AnyInput, DeadLetter


class Intake:
    """Normalises, addresses and ticks, in the order of the facts.

    Parameters
    ----------
    observe
        Is shown every record, for counts; it changes nothing.
    existing
        Notes what exists, of a live cluster.

    Attributes
    ----------
    normaliser, publisher
        With their counts.
    existing
        As given.
    event_time
        `at` of the newest fact of any cluster; 0 before the first.
    dead_letters_total
        Facts that could not be read, ever.
    """

    def __init__(
        self,
        normaliser: Normaliser,
        publisher: Publisher,
        observe: Callable[[AnyInput], None] = lambda record: None,
        existing: Existing | None = None,
    ) -> None:
        self.existing = existing
        self.normaliser = normaliser
        self.publisher = publisher
        self.event_time = 0.0
        self._observe = observe
        self.dead_letters_total = 0
        self._messages: list[Outgoing] = []
        self._dead_letters: list[DeadLetter] = []

    def offer(self, fact: AnyFact, place: object, original: bytes = b"") -> None:
        """Take one fact, or a whole list as one fact.

        Parameters
        ----------
        place
            Where it came from, for its dead letter: its `str` is "tape demo.tape.zst line 12".
        original
            The bytes for its dead letter; the fact itself where there are none.
        """
        ticks = self.publisher.advance(fact.cluster, fact.at)
        if ticks:
            self._messages += ticks
        if fact.at > self.event_time:
            self.event_time = fact.at
        if isinstance(fact, Fact) and fact.type in ("LIST", "SAMPLE"):
            for one in split(fact):
                self._feed(one, place, original)
        else:
            self._feed(fact, place, original)

    def _feed(self, fact: AnyFact, place: object, original: bytes) -> None:
        try:
            records = self.normaliser.feed(fact)
        except Rejected as error:
            self.reject(str(place), str(error), original or msgspec.json.encode(fact))
            return
        for record in records:
            self._observe(record)
            if self.existing is not None:
                self.existing.note(record)
            self._messages.append(self.publisher.message(record))

    def reject(self, place: str, error: str, original: bytes, cut: int = 0) -> None:
        """Take what is no fact at all."""
        self.dead_letters_total += 1
        self._dead_letters.append(dead_letter(self.event_time, place, error, original, cut))

    def finish(self) -> None:
        """Tick up to the last fact's time: the source has ended."""
        self._messages += self.publisher.finish()

    def take(self) -> Taken:
        """Return, and let go of, everything since the last call."""
        taken = Taken(self._messages, self._dead_letters)
        self._messages, self._dead_letters = [], []
        return taken


class Taken(NamedTuple):
    """What is to be published together."""

    messages: list[Outgoing]
    dead_letters: list[DeadLetter]

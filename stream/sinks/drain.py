"""Drains topics of the bus into a server: read, encode, write, commit; never the other way round.

    bus ─poll─► rows ─► lines ─write─► server ─yes─► commit

Positions are committed after the server has said yes, so a crash repeats lines and loses none, and
a repeated line overwrites itself: effectively once. While the server is away nothing is read: the
bus is the buffer, memory holds one batch, and nobody else waits, because the sink has a group and
an asyncio task of its own.

A refused batch is halved until the bad lines are alone; good ones are written, bad ones go to the
dead letters with what the server said. When more than one in a hundred is bad something else is
wrong, and `Corrupt` stops the sink with its position where it was. Pauses double from one second to
a minute, with jitter, and are never shorter than the server asked for.

Left to others: what rows a record makes (`stream.sinks.points`, `alerting.points`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from stream.bus import Batch, Bus, Message, Outgoing, Subscription
from stream.clock import Clock
from stream.codec import UNREADABLE, decoder, outgoing
from stream.dead_letters import Poison
from stream.errors import Rejected, Unavailable
from stream.records import DeadLetter, Point
from stream.sinks.base import Refused, Server, Trouble, Troubled
from stream.sinks.encode import Encoder, Refusal, Row, Unwritable
from stream.sinks.points import ROWS
from stream.topics import TS

GROUP: Final = "influxdb"
BATCH: Final = 5_000  # lines of one request: measured best on 1.8 and 2.7
_LINGER: Final = 1.0  # seconds to wait for a batch to fill: how old the newest point on a panel is
_FIRST_PAUSE: Final = 1.0  # seconds
_LONGEST_PAUSE: Final = 60.0  # seconds
_REPEAT_LOG: Final = 60.0  # seconds between two lines about one trouble

_AT_ONCE: Final = 100  # points between decoding and encoding: as many as stay in the caches

_log = logging.getLogger(__name__)


class Feed(NamedTuple):
    """How a topic's messages become rows."""

    decode: Callable[[bytes], Any]  # raises one of `UNREADABLE`, or Rejected
    rows: Callable[[Any], Iterator[Row]]


FEEDS: Final[Mapping[str, Feed]] = {
    topic: Feed(decoder(topic), rows) for topic, rows in ROWS.items()
}


@dataclass(slots=True)
class Tally:
    """What the sink has done; read by metrics and readiness, written by the sink alone."""

    written: int = 0  # points that the server has said yes to
    requests: int = 0
    bytes: int = 0  # of lines
    refused: Counter[Refusal] = field(default_factory=Counter)  # rows, by reason
    troubles: Counter[Trouble] = field(default_factory=Counter)  # requests, by reason
    trouble: Trouble | None = None  # now; None: all is well
    waiting_since: float | None = None  # when the batch in hand was read; None: nothing waits
    written_at: float | None = None  # message time of the newest that is written


class _Line(NamedTuple):
    """A line and where it comes from; None: our own figures."""

    line: bytes
    topic: str
    partition: int
    message: Message | None


_Made = tuple[Message, bytes | Exception]  # a message, and its line or why it has none


class Drain:
    """One sink: its own group on the bus, one server.

    Parameters
    ----------
    bus, partitions
        What is read, and where dead letters go.
    feeds
        Topics besides the points, and how their messages become rows.
    own
        Returns rows of our own figures; asked with each batch, so it need not always have some.
    retention
        Seconds that the server keeps; what is older is counted and not sent. None: for ever.
    group
        Whose position is committed; a second server is a second group.
    """

    def __init__(
        self,
        bus: Bus,
        partitions: int,
        server: Server,
        clock: Clock,
        *,
        feeds: Mapping[str, Feed] = FEEDS,
        own: Callable[[], Iterable[Row]] = tuple,
        retention: float | None = None,
        encoder: Encoder | None = None,
        group: str = GROUP,
        linger: float = _LINGER,
        batch: int = BATCH,
    ) -> None:
        self._bus = bus
        self._partitions = partitions
        self._server = server
        self._clock = clock
        self._feeds = feeds
        self._own = own
        self._retention = retention
        self._group = group
        self._linger = linger
        self._batch = batch
        self._poison = Poison()
        self._point = decoder(TS)
        self._chance = random.Random()
        self._told_at = 0.0
        self.encoder = encoder or Encoder()
        self.tally = Tally()

    def waiting(self) -> float:
        """Return for how many seconds the batch in hand has been waiting for the server; or 0."""
        since = self.tally.waiting_since
        return 0.0 if since is None else max(0.0, self._clock.now() - since)

    async def run(self, stop: asyncio.Event) -> None:
        """Drain until `stop` is set; what is not committed then is read again by the next run.

        Raises
        ------
        Corrupt
            More than one row in a hundred cannot be written: a person must look.
        """
        attempt = 0
        while not stop.is_set():
            try:
                async with self._bus.subscribe([TS, *self._feeds], self._group) as subscription:
                    while not stop.is_set():
                        await self.step(subscription, self._linger)
                        attempt = 0
            except Unavailable as error:
                # From the bus: servers' troubles end in `_write`. A new subscription begins where
                # the group has committed, so what may not have been is read again.
                pause = _pause(attempt, self._chance)
                attempt += 1
                _log.warning("bus=unavailable retry_in=%.1fs error=%r", pause, str(error))
                await self._clock.sleep_until(self._clock.now() + pause)

    async def drain(self) -> int:
        """Write all that is there now; return how many points were written."""
        before = self.tally.written
        async with self._bus.subscribe([TS, *self._feeds], self._group) as subscription:
            while await self.step(subscription):
                pass
        return self.tally.written - before

    async def step(self, subscription: Subscription, linger: float = 0.0) -> int:
        """Write one batch and commit it; return how many messages it took.

        Does not return while the server cannot be written to.
        """
        batches = await self._read(subscription, linger)
        taken = sum(len(batch.messages) for batch in batches)
        lines, letters = self._encoded(batches)
        lines += self._own_lines()
        for start in range(0, len(lines), self._batch):
            letters += await self._offer(lines[start : start + self._batch])
        self.tally.waiting_since = None
        self._judge(batches, letters)
        if letters:
            await self._bus.publish([self._letter(*each) for each in letters])
        if taken:
            await subscription.commit()
            self.tally.written_at = max(batch.messages[-1].at for batch in batches)
        return taken

    # from messages to lines

    async def _read(self, subscription: Subscription, linger: float) -> list[Batch]:
        """Return messages for one request; waits a little for it to fill."""
        batches = list(await subscription.poll(self._batch, linger))
        deadline = self._clock.now() + linger
        count = sum(len(batch.messages) for batch in batches)
        while batches and count < self._batch and self._clock.now() < deadline:
            more = await subscription.poll(self._batch - count, deadline - self._clock.now())
            if not more:
                break
            batches += more
            count += sum(len(batch.messages) for batch in more)
        return batches

    def _encoded(
        self, batches: Sequence[Batch]
    ) -> tuple[list[_Line], list[tuple[_Line, Refusal, str]]]:
        lines: list[_Line] = []
        bad: list[tuple[_Line, Refusal, str]] = []
        oldest = float("-inf")
        if self._retention is not None:
            oldest = self._clock.now() - self._retention
        for topic, partition, messages, _ in batches:
            made = (
                self._points(messages, oldest)
                if topic == TS
                else self._rows(topic, messages, oldest)
            )
            for message, line in made:
                if isinstance(line, bytes):
                    lines.append(_Line(line, topic, partition, message))
                else:
                    reason = line.reason if isinstance(line, Unwritable) else Refusal.UNREADABLE
                    self.tally.refused[reason] += 1
                    bad.append((_Line(b"", topic, partition, message), reason, str(line)))
        if lines:
            self.tally.waiting_since = self._clock.now()
        return lines, bad

    def _points(self, messages: Sequence[Message], oldest: float) -> Iterator[_Made]:
        for start in range(0, len(messages), _AT_ONCE):
            points: list[Point] = []
            kept: list[Message] = []
            for message in messages[start : start + _AT_ONCE]:
                try:
                    point: Point = self._point(message.value)
                except UNREADABLE as error:
                    yield message, error
                    continue
                if point.at < oldest:
                    self.tally.refused[Refusal.BEYOND_RETENTION] += 1
                else:
                    points.append(point)
                    kept.append(message)
            yield from zip(kept, self.encoder.many(points), strict=True)

    def _rows(self, topic: str, messages: Sequence[Message], oldest: float) -> Iterator[_Made]:
        feed = self._feeds[topic]
        for message in messages:
            try:
                for row in feed.rows(feed.decode(message.value)):
                    if row.at < oldest:
                        self.tally.refused[Refusal.BEYOND_RETENTION] += 1
                    elif row.fields:
                        yield message, self.encoder.line(row)
            except (*UNREADABLE, Rejected) as error:
                yield message, error

    def _own_lines(self) -> list[_Line]:
        return [_Line(self.encoder.line(row), "", 0, None) for row in self._own()]

    # from lines to the server

    async def _offer(self, lines: Sequence[_Line]) -> list[tuple[_Line, Refusal, str]]:
        """Write the good lines; return the bad ones and what the server said of each."""
        bad: list[tuple[_Line, Refusal, str]] = []
        waiting = [(0, len(lines))]
        while waiting:
            start, stop = waiting.pop()
            part = lines[start:stop]
            try:
                await self._write([each.line for each in part])
            except Refused as error:
                if len(part) > 1:
                    middle = (start + stop) // 2
                    waiting += [(middle, stop), (start, middle)]
                    continue
                reason = _reason(str(error))
                self.tally.refused[reason] += 1
                if reason is not Refusal.BEYOND_RETENTION:
                    bad.append((part[0], reason, str(error)))
        return bad

    async def _write(self, lines: Sequence[bytes]) -> None:
        """Write, as often as it takes."""
        attempt = 0
        while True:
            try:
                self.tally.requests += 1
                await self._server.write(lines)
            except Troubled as error:
                await self._wait(error, attempt)
                attempt += 1
            else:
                break
        if self.tally.trouble is not None:
            _log.info("influxdb=well after=%s attempts=%d", self.tally.trouble.value, attempt)
            self.tally.trouble = None
        self.tally.written += len(lines)
        self.tally.bytes += sum(map(len, lines)) + len(lines)

    async def _wait(self, error: Troubled, attempt: int) -> None:
        now = self._clock.now()
        pause = max(_pause(attempt, self._chance), error.retry_after or 0.0)
        self.tally.troubles[error.reason] += 1
        if self.tally.trouble is not error.reason or now - self._told_at >= _REPEAT_LOG:
            level = logging.ERROR if error.reason in _LOUD else logging.WARNING
            _log.log(
                level,
                "influxdb=degraded reason=%s attempt=%d retry_in=%.1fs error=%r",
                *(error.reason.value, attempt + 1, pause, str(error)),
            )
            self._told_at = now
        self.tally.trouble = error.reason
        await self._clock.sleep_until(now + pause)

    # what could not be written

    def _judge(self, batches: Sequence[Batch], bad: Sequence[tuple[_Line, Refusal, str]]) -> None:
        for topic, partition, messages, _ in batches:
            positions = {message.offset: i for i, message in enumerate(messages)}
            hit = {
                positions[line.message.offset]
                for line, _, _ in bad
                if line.message is not None
                and (line.topic, line.partition) == (topic, partition)
                and line.message.offset in positions
            }
            self._poison.note(topic, partition, len(messages), hit)

    def _letter(self, line: _Line, reason: Refusal, error: str) -> Outgoing:
        message = line.message
        shown = line.line[:200].decode("utf-8", "replace")
        _log.warning("quarantined=%s reason=%s error=%r", line.topic, reason.value, error)
        return outgoing(
            DeadLetter(
                at=message.at if message else self._clock.now(),
                place=f"{line.topic}/{line.partition}@{message.offset if message else 0}",
                error=f"{reason.value}: {error}" + (f"; line: {shown}" if shown else ""),
                key=message.key if message else b"",
                value=message.value if message else line.line,
            ),
            self._partitions,
        )


_LOUD: Final = frozenset({Trouble.UNAUTHORISED, Trouble.NO_BUCKET})  # no waiting will heal them


def _pause(attempt: int, chance: random.Random) -> float:
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt, 10))
    return chance.uniform(0.5 * longest, longest)


def _reason(said: str) -> Refusal:
    return Refusal.BEYOND_RETENTION if "retention policy" in said else Refusal.SERVER

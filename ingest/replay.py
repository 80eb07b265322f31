"""Tapes as a source: chunks of messages with the position that they lead to, at any speed.

Resuming is exact and simple: the tape is read again from its beginning, and everything up to the
committed position goes through the normaliser, whose memory is then what it was, but is not
published again. (That costs what publishing costs: some 12 µs for a pod of 5 KB, 6 for an Event.)

Guaranteed: the same tapes give the same messages in the same order, whatever the speed, the chunks
or the restarts between; a position of another tape is `Rejected`, not half used. Left to others:
publishing a chunk together with its position (the pump), what the bus then does.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ingest.intake import Intake
from ingest.reading import AnyFact, read_whole
from ingest.tape import LINE_LIMIT, Line, TapeReader
from stream.bus import Outgoing, Position
from stream.clock import Clock
from stream.errors import Rejected, Unavailable
from stream.records import DeadLetter

CHUNK_LINES: Final = 1000  # some 10 ms of work: the event loop's other tasks wait no longer
_HEAD: Final = 64 * 1024  # bytes at a file's beginning that tell one tape from another


class Chunk(NamedTuple):
    """Consecutive lines of the tapes, ready to be published in one transaction."""

    messages: list[Outgoing]
    dead_letters: list[DeadLetter]
    position: Position  # commit it with the messages
    event_time: float  # `at` of the newest fact so far
    lines: int  # of all tapes, read so far
    bytes_done: int  # on disk
    bytes_total: int
    skipped: bool  # before the committed position: nothing to publish, nothing to wait for


class _Mark(msgspec.Struct):
    """A position: lines read, and the heads of the files as they were then."""

    line: int
    heads: list[tuple[int, str]]  # per file: length of the head in bytes, BLAKE2b of it
    ends: int = 0  # files that were said to end in the middle; such an end is no line yet


class TapeSource:
    """The facts of one or more tapes, as chunks.

    Parameters
    ----------
    paths
        Tapes, in the order in which to play them.
    intake
        A fresh one; it must not be fed by anyone else.
    name
        Name of the source; positions are kept under it.
    cluster
        Name that replaces the tape's own, "" keeps it.
    chunk_lines
        Most lines of a chunk.
    chunk_seconds
        Most event time of a chunk; for paced replays. None: no such limit.

    Raises
    ------
    Rejected
        A tape does not exist, is a directory or is empty.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        intake: Intake,
        *,
        name: str = "tape",
        cluster: str = "",
        chunk_lines: int = CHUNK_LINES,
        chunk_seconds: float | None = None,
        line_limit: int = LINE_LIMIT,
    ) -> None:
        self._reader = TapeReader(paths, read_whole, line_limit=line_limit)
        self._paths = tuple(paths)
        self._intake = intake
        self._name = name
        self._cluster = cluster
        self._chunk_lines = chunk_lines
        self._chunk_seconds = float("inf") if chunk_seconds is None else chunk_seconds

    @property
    def name(self) -> str:
        """Return the name under which the bus keeps this source's position."""
        return self._name

    @property
    def bytes_total(self) -> int:
        """Return the size of all tapes on disk."""
        return self._reader.bytes_total

    def chunks(self, position: bytes | None = None) -> Iterator[Chunk]:
        """Yield all chunks behind `position`, and before them, empty, those that were published.

        A chunk ends at a line, never within one; the last chunk brings ticks up to the last fact.
        Call it once.

        Parameters
        ----------
        position
            The bus's committed position of this source, None to begin.

        Raises
        ------
        Rejected
            `position` is not of these tapes.
        Unavailable
            A tape cannot be read now.
        """
        resumed = self._resumed(position)
        mark = resumed.line
        heads = [_head(path, _HEAD) for path in self._paths]
        done = began = ends = 0
        until = float("inf")
        for line in self._reader:
            fact = line.fact
            at = self._intake.event_time if fact is None else fact.at
            if done > began and (done - began >= self._chunk_lines or done == mark or at >= until):
                yield self._chunk(_Mark(done, heads, max(ends, resumed.ends)), skipped=done <= mark)
                began = done
            if done == began:
                until = at + self._chunk_seconds
            if line.ended:
                ends += 1
            else:
                done += 1
            if fact is not None:
                self._offer(fact, line)
            elif not line.ended or ends > resumed.ends:
                self._intake.reject(line.place, line.error, line.original, line.cut)
        skipped = done <= mark and ends <= resumed.ends
        if not skipped:
            self._intake.finish()
        yield self._chunk(_Mark(done, heads, max(ends, resumed.ends)), skipped=skipped)

    def _offer(self, fact: AnyFact, line: Line[AnyFact]) -> None:
        if self._cluster:
            fact.cluster = self._cluster
        self._intake.offer(fact, line, line.original)

    def _chunk(self, mark: _Mark, *, skipped: bool) -> Chunk:
        messages, dead_letters = self._intake.take()
        value = msgspec.json.encode(mark)
        return Chunk(
            [] if skipped else messages,
            [] if skipped else dead_letters,
            Position(self._name, value),
            self._intake.event_time,
            mark.line,
            self._reader.bytes_done,
            self._reader.bytes_total,
            skipped,
        )

    def _resumed(self, position: bytes | None) -> _Mark:
        """Return what was published already."""
        if position is None:
            return _Mark(0, [])
        try:
            mark = msgspec.json.decode(position, type=_Mark)
        except ValueError as error:
            raise Rejected(
                f"the position of source {self._name!r} is unreadable: {error}"
            ) from error
        if len(mark.heads) > len(self._paths):
            raise Rejected(self._other(f"{len(mark.heads)} tapes were played, these are fewer"))
        for path, (length, digest) in zip(self._paths, mark.heads, strict=False):
            if _head(path, length) != (length, digest):
                raise Rejected(self._other(f"{path.name} begins differently"))
        return mark

    def _other(self, why: str) -> str:
        return (
            f"source {self._name!r} was in the middle of another tape ({why}): "
            "give this one a source name of its own, or the old tape"
        )


async def pace(
    chunks: Iterable[Chunk], clock: Clock, speed: float | None = None
) -> AsyncIterator[Chunk]:
    """Yield chunks as their event time comes, `speed` times as fast as it was.

    The first published chunk comes at once. With ``speed=None`` nothing waits; then the caller's
    own awaits are what lets other tasks run.

    Parameters
    ----------
    speed
        Seconds of event time per second; greater than 0. Give the source `chunk_seconds` of about
        `speed`, so that chunks come about once a second.
    """
    if speed is not None and not speed > 0:
        raise ValueError(f"speed must be positive, not {speed}")
    origin: tuple[float, float] | None = None  # (processing time, event time) of the beginning
    for chunk in chunks:
        if speed is not None and not chunk.skipped:
            if origin is None:
                origin = (clock.now(), chunk.event_time)
            began, first = origin
            await clock.sleep_until(began + (chunk.event_time - first) / speed)
        yield chunk


def _head(path: Path, length: int) -> tuple[int, str]:
    """Return length and digest of a file's first bytes, at most `length` of them."""
    try:
        with path.open("rb") as file:
            head = file.read(length)
    except OSError as error:
        raise Unavailable(f"cannot read tape {path.name}: {error.strerror}") from error
    return len(head), hashlib.blake2b(head, digest_size=16).hexdigest()

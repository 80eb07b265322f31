"""Tapes: recorded facts, one JSON line each, plain or compressed with zstd or gzip.

Reading streams in bounded memory through any number of files, whatever their compression (told by
the first bytes, not by the name). It yields every line with its place: a `Fact`, or what is wrong
with the line and its original bytes. Guaranteed: one bad line, whatever its bytes, costs that line
only; a truncated file gives all its whole lines and then says that it was truncated.

Left to others: what a fact means (`ingest.normalise`), when it is played (`ingest.replay`), and
writing (`ingest.recording`).
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Generic, NamedTuple, Protocol, TypeVar

import zstandard

from ingest.facts import KEPT
from stream.errors import Corrupt, Rejected, Unavailable

LINE_LIMIT: Final = 8 * 1024 * 1024  # bytes; etcd takes objects of 1.5 MiB, a summary may be larger
_READ: Final = 1024 * 1024  # bytes of a plain tape per read
# Compressed bytes per step. A zstd block of 4 bytes may stand for 128 KiB: this bounds what a
# hostile tape takes to 64 MiB, an honest one to some 40 KB.
_STEP: Final = 2 * 1024
_WINDOW: Final = 128 * 1024 * 1024  # bytes; zstd --ultra --long=27, the largest in customary use
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = b"\x1f\x8b"

_Fact = TypeVar("_Fact")


class Line(NamedTuple, Generic[_Fact]):
    """One line of a tape."""

    tape: str  # file name
    number: int  # from 1, in its file
    fact: _Fact | None
    original: bytes
    error: str = ""  # what is wrong, where there is no fact
    cut: int = 0  # bytes missing at the end of `original`
    ended: bool = False  # the file ends here, in the middle: there may be more of it later

    @property
    def place(self) -> str:
        """Return the place as dead letters name it."""
        return f"tape {self.tape} line {self.number}"


class TapeReader(Generic[_Fact]):
    """Lines of several tapes in sequence; a line costs about what `read` costs.

    Parameters
    ----------
    paths
        Files, in the order in which to read them.
    read
        Makes a fact of a line: `ingest.facts.read_fact` keeps the object raw, for copying and
        showing, `ingest.reading.read_whole` is faster where it is normalised next.
    line_limit
        Longest line in bytes; a longer one is reported, not held in memory.

    Attributes
    ----------
    bytes_done, bytes_total
        Progress in bytes on disk, that is, compressed ones.

    Raises
    ------
    Rejected
        A path does not exist, is a directory or is empty.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        read: Callable[[bytes], _Fact],
        *,
        line_limit: int = LINE_LIMIT,
    ) -> None:
        if not paths:
            raise Rejected("no tape given: name at least one file")
        self._paths = tuple(paths)
        self._read = read
        self._line_limit = line_limit
        self.bytes_done = 0
        self.bytes_total = sum(_size(path) for path in self._paths)

    def __iter__(self) -> Iterator[Line[_Fact]]:
        """Read all lines from the first file's beginning.

        Raises
        ------
        Unavailable
            A file cannot be read now.
        """
        self.bytes_done = 0
        for path in self._paths:
            try:
                with path.open("rb") as file:
                    yield from self._lines(path.name, file)
            except OSError as error:
                raise Unavailable(f"cannot read tape {path.name}: {error.strerror}") from error

    def _lines(self, tape: str, file: BinaryIO) -> Iterator[Line[_Fact]]:
        number = 0
        pending = _Pending(self._line_limit)
        read = self._read
        try:
            for block in self._blocks(file):
                *ends, rest = block.split(b"\n")
                for end in ends:
                    number += 1
                    if pending.size or len(end) > self._line_limit:
                        pending.add(end)
                        yield from self._take(pending, tape, number)
                    elif end and not end.isspace():
                        try:
                            yield Line(tape, number, read(end), end)
                        except Rejected as error:
                            yield Line(tape, number, None, end, str(error))
                if rest:
                    pending.add(rest)
        except Corrupt as error:
            yield Line(tape, number + 1, None, pending.take(), str(error), pending.cut, True)
        else:
            yield from self._take(pending, tape, number + 1, last=True)

    def _take(
        self, pending: _Pending, tape: str, number: int, *, last: bool = False
    ) -> Iterator[Line[_Fact]]:
        """Yield the line that was pending, unless it is blank."""
        size, line = pending.size, pending.take()
        if size > self._line_limit:
            error = f"a line of {size} bytes is longer than line_limit, {self._line_limit} bytes"
            yield Line(tape, number, None, line, error, pending.cut, last)
        elif line and not line.isspace():
            try:
                yield Line(tape, number, self._read(line), line)
            except Rejected as error:
                hint = "; the tape ends within this line" if last else ""
                yield Line(tape, number, None, line, f"{error}{hint}", 0, last)

    def _blocks(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the text of one file in blocks, counting compressed bytes."""
        head = file.read(_STEP)
        if head.startswith(_ZSTD):
            yield from self._unpacked(self._steps(head, file, _STEP), _unzstd)
        elif head.startswith(_GZIP):
            yield from self._unpacked(self._steps(head, file, _STEP), _gunzip)
        else:
            yield from self._steps(head, file, _READ)

    def _steps(self, head: bytes, file: BinaryIO, size: int) -> Iterator[bytes]:
        while head:
            self.bytes_done += len(head)
            yield head
            head = file.read(size)

    def _unpacked(self, steps: Iterator[bytes], start: Callable[[], _Unpacker]) -> Iterator[bytes]:
        unpacker = start()
        for packed in steps:
            while packed:
                if unpacker.eof:  # several frames or members in a row are one tape
                    unpacker = start()
                try:
                    block = unpacker.decompress(packed)
                except (zstandard.ZstdError, zlib.error) as error:
                    raise Corrupt(
                        f"the compressed tape is damaged near byte {self.bytes_done} ({error}): "
                        "the lines before it were read, what follows in this file is lost"
                    ) from error
                packed = unpacker.unused_data
                if block:
                    yield block
        if not unpacker.eof:
            raise Corrupt(
                "the compressed tape is truncated (its recorder was killed, or a copy is "
                "incomplete): all whole lines before its end were read"
            )


class _Unpacker(Protocol):
    """What `zlib` and `zstandard` decompression objects have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _unzstd() -> _Unpacker:
    unpacker: _Unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
    return unpacker


def _gunzip() -> _Unpacker:
    return zlib.decompressobj(wbits=31)  # 16 + 15: gzip's header, the largest window


class _Pending:
    """A line whose end has not come yet, in bounded memory."""

    def __init__(self, limit: int) -> None:
        self._room = max(limit, KEPT)
        self._parts: list[bytes] = []
        self._held = 0
        self.size = 0  # bytes so far, kept or not
        self.cut = 0  # bytes that the last `take` did not have

    def add(self, piece: bytes) -> None:
        room = self._room - self._held
        if room > 0:
            self._parts.append(piece[:room])
            self._held += len(self._parts[-1])
        self.size += len(piece)

    def take(self) -> bytes:
        """Return what was kept, and be empty again."""
        line = b"".join(self._parts)
        self.cut = self.size - len(line)
        self._parts, self._held, self.size = [], 0, 0
        return line


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise Rejected(f"no tape at {path.name}: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        raise Rejected(f"{path.name} is a directory, not a tape: name the files in it")
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        raise Rejected(f"tape {path.name} is empty: was its recorder killed before its first fact?")
    return status.st_size

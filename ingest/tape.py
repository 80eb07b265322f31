"""Tapes: recorded facts, one JSON line each, plain or compressed with zstd or gzip.

Reading streams in bounded memory through any number of files, whatever their compression (told by
the first bytes, not by the name). It yields every line with its place: a `Fact`, or what is wrong
with the line and its original bytes. Guaranteed: one bad line, whatever its bytes, costs that line
only; a truncated file gives all its whole lines and then says that it was truncated.

Left to others: what a fact means (`ingest.normalise`), when it is played (`ingest.replay`), and
writing (`ingest.recording`).
"""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

from ingest.facts import KEPT
from ingest.unpack import Unpacked
from stream.errors import Rejected, Unavailable

LINE_LIMIT: Final = 8 * 1024 * 1024  # bytes; etcd takes objects of 1.5 MiB, a summary may be larger
_BUFFER: Final = 128 * 1024  # bytes; it stays in the processor's cache
_NEWLINE: Final = 0x0A

_Fact = TypeVar("_Fact")


class Line(NamedTuple, Generic[_Fact]):
    """One line of a tape."""

    tape: str  # file name
    number: int  # from 1, in its file
    fact: _Fact | None
    original: bytes  # with its line end, where it is a fact
    error: str = ""  # what is wrong, where there is no fact
    cut: int = 0  # bytes missing at the end of `original`
    ended: bool = False  # the file ends here, in the middle: there may be more of it later

    @property
    def place(self) -> str:
        """Return the place as dead letters name it."""
        return f"tape {self.tape} line {self.number}"

    def __str__(self) -> str:
        return self.place


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
    bytes_total
        Size of all files on disk.

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
        self._before = 0
        self._text: Unpacked | None = None
        self.bytes_total = sum(_size(path) for path in self._paths)

    @property
    def bytes_done(self) -> int:
        """Return bytes read of all files, as they are on disk."""
        return self._before + (self._text.bytes_read if self._text is not None else 0)

    def __iter__(self) -> Iterator[Line[_Fact]]:
        """Read all lines from the first file's beginning.

        Raises
        ------
        Unavailable
            A file cannot be read now.
        """
        self._before = 0
        for path in self._paths:
            try:
                with path.open("rb", buffering=0) as file:
                    self._text = Unpacked(file)
                    yield from self._lines(path.name, self._text)
            except OSError as error:
                raise Unavailable(f"cannot read tape {path.name}: {error.strerror}") from error
            self._before += self._text.bytes_read
            self._text = None

    def _lines(self, tape: str, text: Unpacked) -> Iterator[Line[_Fact]]:
        readline = io.BufferedReader(text, _BUFFER).readline
        read, most, number = self._read, self._line_limit + 1, 0
        while line := readline(most):
            number += 1
            if line[-1] != _NEWLINE:
                if len(line) == most:
                    yield self._overlong(tape, number, line, readline)
                else:
                    yield self._last(tape, number, line, text.damage)
                    return
            elif not line.isspace():
                try:
                    yield Line(tape, number, read(line), line)
                except Rejected as error:
                    yield Line(tape, number, None, line.rstrip(b"\r\n"), str(error))
        if text.damage:
            yield Line(tape, number + 1, None, b"", text.damage, ended=True)

    def _last(self, tape: str, number: int, line: bytes, damage: str) -> Line[_Fact]:
        """Return the line in which the file ends."""
        if damage:
            return Line(tape, number, None, line, damage, ended=True)
        try:
            return Line(tape, number, self._read(line), line)
        except Rejected as error:
            hint = f"{error}; the tape ends within this line"
            return Line(tape, number, None, line, hint, ended=True)

    def _overlong(
        self, tape: str, number: int, line: bytes, readline: Callable[[int], bytes]
    ) -> Line[_Fact]:
        """Return the beginning of a line that is too long, and read past its end."""
        size, ended = len(line), True
        while piece := readline(_BUFFER):
            if len(line) < KEPT:
                line += piece
            size += len(piece)
            if piece[-1] == _NEWLINE:
                size, ended = size - 1, False
                break
        line = line[: max(KEPT, self._line_limit)].rstrip(b"\n")
        error = f"a line of {size} bytes is longer than line_limit, {self._line_limit} bytes"
        return Line(tape, number, None, line, error, size - len(line), ended)


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

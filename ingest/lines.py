"""Lines out of chunks, in bounded memory.

A watch is one JSON object per line, cut by the network wherever it likes. Guaranteed: memory stays
under the limit plus one chunk; a line over the limit is reported as None once it has ended, and the
lines behind it are whole again. A last line without its newline is never a line: it was cut.
"""

from __future__ import annotations


class Lines:
    r"""Splits one stream.

    Parameters
    ----------
    limit
        Longest line in bytes.

    Examples
    --------
    >>> lines = Lines(limit=4)
    >>> lines.feed(b"ab\ncd"), lines.feed(b"ef\ngh\n")
    ([b'ab'], [b'cdef', b'gh'])
    >>> lines.feed(b"12345"), lines.feed(b"6\nok\n")
    ([], [None, b'ok'])
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> int:
        """Bytes of a line whose end has not come."""
        return self._size

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """Return the lines that end in `chunk`, blank ones left out."""
        head, newline, rest = chunk.partition(b"\n")
        self._add(head)
        if not newline:
            return []
        lines: list[bytes | None] = []
        self._take(lines)
        *whole, tail = rest.split(b"\n")
        for line in whole:
            self._add(line)
            self._take(lines)
        self._add(tail)
        return lines

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            self._parts.clear()
        elif piece:
            self._parts.append(piece)

    def _take(self, lines: list[bytes | None]) -> None:
        if self._size > self._limit:
            lines.append(None)
        elif self._size:
            lines.append(b"".join(self._parts))
        self._parts.clear()
        self._size = 0

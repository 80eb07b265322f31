"""A tape's text as a stream of bytes, whatever it is packed in: nothing, zstd or gzip.

The packing is told by the first bytes, not by the name; several frames in a row are one text.
Wrapped in `io.BufferedReader` this gives lines at C speed with one copy.

Guaranteed: bounded memory, and damage never raises in the middle of a line: the text ends there and
`damage` says why. Left to others: lines (`ingest.tape`).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

import zstandard

# Packed bytes per step. A zstd block of 4 bytes may stand for 128 KiB: this bounds what a hostile
# tape takes to 64 MiB, an honest one to some 40 KB.
_STEP: Final = 2 * 1024
_WINDOW: Final = 128 * 1024 * 1024  # bytes; zstd --ultra --long=27, the largest in customary use
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = b"\x1f\x8b"


class _Unpacker(Protocol):
    """What `zlib` and `zstandard` decompression objects have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class Unpacked(io.RawIOBase):
    """The text of one tape.

    Attributes
    ----------
    bytes_read
        Packed bytes so far.
    damage
        Why the text ended before its time; "" where it did not.
    """

    def __init__(self, file: io.FileIO) -> None:
        super().__init__()
        self._file = file
        self.bytes_read = 0
        self.damage = ""
        self._text = memoryview(b"")  # unpacked, and not given out yet
        head = self._read(_STEP)
        self._start = _start_of(head)
        self._unpacker = self._start() if self._start is not None else None
        self._packed = head if self._unpacker is not None else b""
        if self._unpacker is None:
            self._text = memoryview(head)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer` as far as one step goes; 0 at the end."""
        while not self._text:
            if self._unpacker is None:
                count = self._file.readinto(buffer) or 0
                self.bytes_read += count
                return count
            text = self._step()
            if text is None:
                return 0
            self._text = memoryview(text)
        count = min(len(buffer), len(self._text))
        buffer[:count] = self._text[:count]
        self._text = self._text[count:]
        return count

    def _step(self) -> bytes | None:
        """Unpack a little more; None at the end."""
        assert self._unpacker is not None
        assert self._start is not None
        packed = self._packed or self._read(_STEP)
        self._packed = b""
        if self.damage:
            return None
        if not packed:
            if not self._unpacker.eof:
                self.damage = (
                    "the compressed tape is truncated (its recorder was killed, or a copy is "
                    "incomplete): all whole lines before its end were read"
                )
            return None
        if self._unpacker.eof:  # several frames or members in a row are one tape
            self._unpacker = self._start()
        try:
            text = self._unpacker.decompress(packed)
        except (zstandard.ZstdError, zlib.error) as error:
            self.damage = (
                f"the compressed tape is damaged near byte {self.bytes_read} ({error}): the lines "
                "before it were read, what follows in this file is lost"
            )
            return None
        self._packed = self._unpacker.unused_data
        return text

    def _read(self, size: int) -> bytes:
        piece = self._file.read(size) or b""
        self.bytes_read += len(piece)
        return piece


def _start_of(head: bytes) -> Callable[[], _Unpacker] | None:
    if head.startswith(_ZSTD):
        return _unzstd
    return _gunzip if head.startswith(_GZIP) else None


def _unzstd() -> _Unpacker:
    unpacker: _Unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
    return unpacker


def _gunzip() -> _Unpacker:
    return zlib.decompressobj(wbits=31)  # 16 + 15: gzip's header, the largest window

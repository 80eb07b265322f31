"""A file of JSON Lines: one notification per line, on the disk when `notify` returns.

The file is opened anew when it has been rotated away, and a line that a crash tore is closed before
the next one, so every line of ours can be read.
"""

from __future__ import annotations

import asyncio
import errno
import os
from io import BufferedRandom
from pathlib import Path
from typing import ClassVar, Final, Literal

import msgspec
from pydantic import Field

from alerting.alert import Notification
from alerting.channels.base import Channel, ChannelConfig, Limit
from stream.clock import Clock
from stream.errors import Rejected, Unavailable

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
# Errors that a person must end; everything else (a full disk, a lost mount) may end by itself.
_FINAL: Final = frozenset({errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EROFS})


class FileConfig(ChannelConfig):
    """Appends to a file."""

    own_limit: ClassVar[Limit] = Limit(6000, 60.0)

    type: Literal["file"] = "file"
    path: Path = Field(description="The file; its folder must be there.")

    def build(self, name: str, clock: Clock, *, dry: bool = False) -> Channel:
        """Return the channel."""
        return File(name, self, dry)


class File:
    """Appends notifications to a file."""

    def __init__(self, name: str, config: FileConfig, dry: bool) -> None:
        self.name = name
        self.limit = config.budget()
        self.send_resolved = config.send_resolved
        self._path = config.path
        self._dry = dry
        self._file: BufferedRandom | None = None

    def render(self, notification: Notification) -> str:
        """Return the line."""
        return _encode(notification).decode()

    async def notify(self, notification: Notification) -> None:
        """Append the line and wait until the disk has it."""
        if self._dry:
            raise Rejected(f"receiver {self.name!r} is dry: it renders and does not write")
        try:
            await asyncio.to_thread(self._append, _encode(notification) + b"\n")
        except OSError as error:
            await self.aclose()
            failure = Rejected if error.errno in _FINAL else Unavailable
            raise failure(f"cannot write {self._path}: {error.strerror}") from error

    async def aclose(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:  # what was written is on the disk already
                return

    def _append(self, line: bytes) -> None:
        if self._file is not None and not self._is_current(self._file):
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = open(self._path, "a+b")  # noqa: SIM115 - kept open between messages
            size = self._file.seek(0, os.SEEK_END)
            if size:
                self._file.seek(size - 1)
                if self._file.read(1) != b"\n":
                    line = b"\n" + line
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _is_current(self, file: BufferedRandom) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        ours = os.fstat(file.fileno())
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

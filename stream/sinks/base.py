"""What the sink needs of a server, and the two ways in which it can say no.

    Troubled(Unavailable)   nothing was judged: offer the same lines again, later
    Refused(Rejected)       some of these lines are bad, the server need not know which

Left to others: the server itself (`stream.sinks.influxdb`), finding the bad lines
(`stream.sinks.drain`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from stream.errors import Rejected, Unavailable


class Trouble(StrEnum):
    """Why a server cannot be written to now."""

    UNREACHABLE = "unreachable"  # no connection, no answer in time
    BUSY = "busy"  # it asks to be left alone for a while
    SERVER_ERROR = "server-error"
    UNAUTHORISED = "unauthorised"  # a person must look; the bus keeps everything until then
    NO_BUCKET = "no-bucket"  # `forewarn influxdb setup` makes it
    STOPPED = "stopped"  # the sink itself, because too much was refused: a person must look


class Troubled(Unavailable):
    """The server cannot be written to now; `reason` says why."""

    def __init__(self, reason: Trouble, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.reason = reason


class Refused(Rejected):
    """The server will not have these lines as they are; good ones among them may be written."""


class Server(Protocol):
    """A time-series store that takes line protocol."""

    async def write(self, lines: Sequence[bytes]) -> None:
        """Write all lines; the same line again overwrites.

        Raises
        ------
        Refused
            At least one line is bad. It is not known which, nor which were written.
        Troubled
            Not known whether anything was written.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...

"""An answer whose body is still coming, and our own words for answers that are refusals.

Guaranteed: a body that stays silent for its `idle` seconds ends as `Silent`, whatever the socket
says (a half-open connection never reports anything); time spent by the reader outside of a read
does not count, so back-pressure is no silence. Left to others: sending (`ingest.cluster`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from stream.clock import Clock
from stream.errors import ForewarnError, Rejected, Unavailable

_T = TypeVar("_T")
# A missing permission is granted by a person: asking once a minute is enough.
DENIED_WAIT: Final = 60.0  # seconds


class Expired(Rejected):
    """410 in any form: this resourceVersion or continue token is no longer kept."""


class Refused(Rejected):
    """The request itself is wrong for this server, or the API is not installed.

    Attributes
    ----------
    status
        The HTTP status: 400, 404, 405, 409, 422 …
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Denied(Unavailable):
    """401 or 403: wait until somebody grants it."""


class Silent(Unavailable):
    """No byte came for too long: the connection is taken for dead."""


class Unanswered(Exception):  # noqa: N818, RUF100
    """`within` ran out of time."""


class Status(msgspec.Struct, gc=False):
    """The parts of a Kubernetes Status that decide something."""

    code: int | None = None
    reason: str = ""
    message: str = ""
    details: Any = None

    @property
    def expired(self) -> bool:
        """Whether the version asked for is gone, or lies in the future of a restored etcd."""
        causes = self.details.get("causes") if isinstance(self.details, dict) else None
        return (
            self.code == 410
            or self.reason in ("Expired", "Gone")
            or "ResourceVersionTooLarge" in str(causes)
            or "Too large resource version" in self.message
        )


_status: Final = msgspec.json.Decoder(Status, strict=False).decode


class Reply:
    """One answer: headers are here, the body is not.

    Attributes
    ----------
    what
        Who was asked for what, for messages.
    """

    def __init__(self, response: aiohttp.ClientResponse, clock: Clock, what: str) -> None:
        self._response = response
        self._clock = clock
        self.what = what
        self._read_since: float | None = None
        self._silent = False
        self.status = response.status

    @property
    def server_time(self) -> float | None:
        """The server's clock, Unix seconds, by its Date header."""
        try:
            date = parsedate_to_datetime(self._response.headers.get("Date", ""))
        except ValueError:
            return None
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()

    async def chunks(self, idle: float) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes, in pieces of up to some 128 KiB.

        Raises
        ------
        Silent
            No byte came for `idle` seconds of waiting.
        Unavailable
            The connection broke.
        """
        watchdog = asyncio.ensure_future(self._listen_for_silence(idle))
        try:
            while True:
                self._read_since = self._clock.now()
                try:
                    chunk = await self._response.content.readany()
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                    if self._silent:
                        raise Silent(f"{self.what}: no byte for {idle:.0f} s") from error
                    raise Unavailable(f"{self.what}: {type(error).__name__}: {error}") from error
                self._read_since = None
                if not chunk:
                    return
                yield chunk
        finally:
            watchdog.cancel()
            # Not by awaiting it: that would swallow a cancellation of ours that comes meanwhile.
            await asyncio.wait({watchdog})

    async def body(self, limit: int, idle: float) -> bytes:
        """Return the whole body.

        Raises
        ------
        Refused
            It is longer than `limit` bytes (status 413).
        Silent, Unavailable
            As `chunks`.
        """
        parts, size = [], 0
        async with aclosing(self.chunks(idle)) as chunks:
            async for chunk in chunks:
                parts.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise Refused(f"{self.what}: the answer is longer than {limit} bytes", 413)
        return b"".join(parts)

    def close(self) -> None:
        """Cut the connection unless the body was read to its end. Idempotent."""
        cut(self._response)

    async def _listen_for_silence(self, idle: float) -> None:
        while True:
            since = self._read_since
            await self._clock.sleep_until((self._clock.now() if since is None else since) + idle)
            if since is not None and since == self._read_since:
                self._silent = True
                cut(self._response)
                return


def cut(response: aiohttp.ClientResponse) -> None:
    """Give up an answer; its connection is kept for others only if the body was read to its end.

    The connection is cut at once. Closing TLS in order would wait half a minute for the goodbye of
    a peer that may be the reason why we give up, and outlive a process that ends.
    """
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def complaint(
    status: int, headers: Mapping[str, str], body: bytes, what: str, verb: str, resource: str
) -> ForewarnError:
    """Return our own error for an answer of 400 or more."""
    try:
        told = _status(body)
    except (ValueError, RecursionError):
        told = Status(message=body[:200].decode(errors="replace"))
    said = f"{what}: HTTP {status}: {told.message or told.reason or 'no reason given'}"
    if status == 410 or told.expired:
        return Expired(said)
    if status == 403:
        return Denied(
            f'{what}: not allowed: RBAC lacks the verb "{verb}" on "{resource}" for this account; '
            f"add it to forewarn's Role. The server says: {told.message}",
            retry_after=DENIED_WAIT,
        )
    if status == 401:
        return Denied(
            f"{what}: not authenticated: token or certificate is not accepted, also when read "
            "anew; check the service account or the kubeconfig's user",
            retry_after=DENIED_WAIT,
        )
    if status in (408, 429) or status >= 500:
        return Unavailable(said, retry_after=_retry_after(headers, told))
    return Refused(said, status)


def error_event(status: msgspec.Raw, what: str) -> ForewarnError:
    """Return our own error for an ERROR event inside of a watch that answered 200."""
    try:
        told = _status(status)
    except (ValueError, RecursionError):
        return Unavailable(f"{what}: an ERROR event that is no Status")
    if told.expired:
        return Expired(f"{what}: {told.message or told.reason}")
    return Unavailable(
        f"{what}: ERROR event {told.code}: {told.message}", retry_after=_retry_after({}, told)
    )


def _retry_after(headers: Mapping[str, str], told: Status) -> float | None:
    named = headers.get("Retry-After")
    if named is None and isinstance(told.details, dict):
        named = told.details.get("retryAfterSeconds")
    try:
        return max(0.0, float(named)) if named is not None else None
    except (TypeError, ValueError):
        return None  # an HTTP date: no API server sends one


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """Return what `work` gives, or stop it after `seconds` of the clock.

    Raises
    ------
    Unanswered
        It took longer.
    """
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep_until(clock.now() + seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Unanswered
        return task.result()
    finally:
        for each in (timer, task):
            each.cancel()
        await asyncio.gather(timer, task, return_exceptions=True)

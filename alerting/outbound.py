"""The one HTTP client of the channels, and the only file that imports aiohttp.

What it adds to a client: times (connect 3 s, all 10 s), no redirects, no proxies and cookies from
the environment, at most 64 KiB of answer, and errors that name the class, the host and the status,
but never the URL, the body or the answer, since a chat's URL is its password.

Whom it talks to: ``https`` and, for known services, only their hosts. Names are resolved once,
every address is vetted, and exactly that address is connected to: private, loopback, link-local and
reserved ones are refused unless `allow_private` says otherwise, in whatever way they are written.
"""

from __future__ import annotations

import email.utils
import ipaddress
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from stream.clock import Clock
from stream.errors import ForewarnError, Rejected, Unavailable

CONNECT_TIMEOUT: Final = 3.0  # seconds
TOTAL_TIMEOUT: Final = 10.0  # seconds
MOST_ANSWER: Final = 64 * 1024  # bytes
_RETRY_AFTER_MOST: Final = 3600.0  # seconds; whoever asks for more is asked again
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class Answer(NamedTuple):
    """What came back with status 2xx."""

    status: int
    body: bytes
    whole: bool  # False: it was longer than `MOST_ANSWER`


def is_public(address: str) -> bool:
    """Return whether an address is on the public internet, also behind IPv6's disguises of IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped.is_global
        if ip.sixtofour is not None or ip.teredo is not None or ip in _NAT64:
            return False
    return ip.is_global and not ip.is_multicast


class _Vetting(AbstractResolver):
    """Resolves names and refuses addresses; raises PermissionError for a refused one."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not self._allow_private and not all(is_public(one["host"]) for one in found):
            raise PermissionError("a private address")
        return found

    async def close(self) -> None:
        await self._resolver.close()


class Outbound:
    """Posts bodies to one kind of place.

    Parameters
    ----------
    clock
        Says how long until the date in a ``Retry-After``.
    hosts
        The only hosts that are talked to; empty: any.
    allow_private
        Also plain ``http`` and private addresses: a service of one's own network.
    connect_timeout, total_timeout
        Seconds.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        hosts: tuple[str, ...] = (),
        allow_private: bool = False,
        connect_timeout: float = CONNECT_TIMEOUT,
        total_timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        self._clock = clock
        self._hosts = tuple(host.lower() for host in hosts)
        self._allow_private = allow_private
        self._timeout = aiohttp.ClientTimeout(
            total=total_timeout, connect=connect_timeout, sock_connect=connect_timeout
        )
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send `body` and return the answer, if its status is 2xx.

        Raises
        ------
        Unavailable
            No answer, or one that says to try later (408, 425, 429, 5xx).
        Rejected
            The URL may not be used, or the answer is final (3xx, other 4xx).
        """
        host = self.vet(url)
        problem: ForewarnError
        try:
            async with self._open().post(
                URL(url, encoded=True), data=body, headers=dict(headers), allow_redirects=False
            ) as response:
                status = response.status
                retry_after = response.headers.get("Retry-After", "")
                answer, whole = await _read(response.content)
            if 200 <= status < 300:
                return Answer(status, answer, whole)
            problem = self._judged(host, status, retry_after)
        except TimeoutError:
            problem = Unavailable(f"{host} did not answer in time")
        except aiohttp.ClientConnectorDNSError as error:
            problem = (
                Rejected(f"{host} has a private address; set allow_private to talk to it")
                if isinstance(error.os_error, PermissionError)
                else Unavailable(f"the name {host} cannot be resolved")
            )
        except (aiohttp.ClientSSLError, ssl.SSLError):
            problem = Unavailable(f"no TLS connection to {host}: its certificate or protocol")
        except aiohttp.ClientConnectorError as error:
            problem = Unavailable(f"no connection to {host}: {type(error.os_error).__name__}")
        except aiohttp.InvalidURL:
            problem = Rejected("the configured URL is not a URL")
        except (aiohttp.ClientError, OSError) as error:
            problem = Unavailable(f"the exchange with {host} broke: {type(error).__name__}")
        # Raised here and not above: a client's exception, which may hold the URL, is no context.
        raise problem

    def vet(self, url: str) -> str:
        """Return the host of `url` if it may be talked to.

        Raises
        ------
        Rejected
            It may not; the message names the reason and the setting that would allow it.
        """
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".").lower()
            port = parts.port
            # The client reads the URL once more; both must see the same host.
            same = (URL(url, encoded=True).host or "").rstrip(".").lower() == host
        except ValueError:
            raise Rejected("the configured URL is not a URL") from None
        if not host or port == 0 or not same:
            raise Rejected("the configured URL names no host")
        if parts.username is not None or parts.password is not None:
            raise Rejected(f"the URL of {host} holds a user name; use a token or a header")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._allow_private):
            raise Rejected(f"the URL of {host} is not https; set allow_private for plain http")
        if self._hosts and host not in self._hosts:
            raise Rejected(f"{host} is not a host of this kind of channel; set allow_host")
        try:
            public = is_public(host)
        except ValueError:
            public = True  # a name: its addresses are vetted when they are known
        if not public and not self._allow_private:
            raise Rejected(f"{host} is a private address; set allow_private to talk to it")
        return host

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # aiohttp's debug lines hold whole URLs.
            for name in ("aiohttp.client", "aiohttp.internal"):
                logging.getLogger(name).setLevel(logging.WARNING)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_Vetting(self._allow_private), use_dns_cache=False, limit=4
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": "forewarn", "Accept-Encoding": "identity"},
                trust_env=False,
            )
        return self._session

    def _judged(self, host: str, status: int, retry_after: str) -> ForewarnError:
        if status in _TRY_AGAIN or status >= 500:
            return Unavailable(f"{host} answered {status}", retry_after=self._seconds(retry_after))
        hint = "; redirects are not followed" if 300 <= status < 400 else ""
        return Rejected(f"{host} answered {status}{hint}")

    def _seconds(self, retry_after: str) -> float | None:
        if not retry_after:
            return None
        try:
            seconds = float(int(retry_after))
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(retry_after).timestamp()
            except (ValueError, OverflowError):
                return None
            seconds -= self._clock.now()
        return min(max(0.0, seconds), _RETRY_AFTER_MOST)


async def _read(content: aiohttp.StreamReader) -> tuple[bytes, bool]:
    answer = bytearray()
    async for chunk in content.iter_chunked(8192):
        answer += chunk
        if len(answer) > MOST_ANSWER:
            return bytes(answer[:MOST_ANSWER]), False
    return bytes(answer), True

"""InfluxDB 1.8, 2.x and 3.x over HTTP: the only file that imports the client.

Lines go to ``/api/v2/write``, which all three have, as bytes that are ready: one request per batch,
gzip level 1, no retry and no queue inside (`stream.sinks.drain` does both, with the bus behind it).
The client's own batching and its own gzip cost four to twelve times as much and lose what they hold
when the process ends. Requests block, so each runs in a thread. The client is imported with the
first server that is made: it takes 12 MB, and most processes write no history.

Guaranteed: an error names host, status and what the server said, on one line, and never the token.
The token is asked for at each request, so a rotated one counts from the next batch on. On 1.8 the
token is ``user:password`` and a bucket is a database, or ``database/retention-policy``.
"""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from stream.clock import Clock
from stream.errors import Rejected
from stream.sinks.base import Refused, Trouble, Troubled

if TYPE_CHECKING:
    from influxdb_client.rest import ApiException

_CONNECT: Final = 3_000  # milliseconds
_ANSWER: Final = 30_000  # milliseconds; a server that compacts may take ten seconds
_SAID_MOST: Final = 300  # characters of what the server said
_GZIP: Final = 1  # level: half the bytes of none at a tenth of level 9's time
_REFUSED: Final = frozenset({400, 413, 422})
_BUSY: Final = frozenset({429, 503})
_RETRY_AFTER_MOST: Final = 600.0  # seconds; whoever asks for more is asked again

# The client logs requests of its own accord; an address may hold what must not be logged.
logging.getLogger("urllib3").setLevel(logging.WARNING)


class InfluxDB:
    """One server, one bucket.

    Parameters
    ----------
    url
        Such as ``https://influx.example.com:8086``; without a password in it.
    org, bucket
        Where to write; 1.8 ignores the organisation.
    token
        Returns the token as it is now, "" for none.
    compress
        Send gzip. Worth it over a network, dear over the loopback.
    """

    def __init__(
        self,
        url: str,
        *,
        org: str,
        bucket: str,
        token: Callable[[], str],
        clock: Clock,
        compress: bool = True,
        ca_file: str | None = None,
    ) -> None:
        from influxdb_client.client.influxdb_client import InfluxDBClient

        self.bucket = bucket
        self.org = org
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._token = token
        self._clock = clock
        self._compress = compress
        self._client = InfluxDBClient(
            url=url, org=org, timeout=(_CONNECT, _ANSWER), ssl_ca_cert=ca_file
        )

    async def write(self, lines: Sequence[bytes]) -> None:
        """Write all lines, in one request."""
        await asyncio.to_thread(self._write, lines)

    async def query(self, text: str, database: str = "", *, change: bool = False) -> Any:
        """Return the answer to an InfluxQL query, times in nanoseconds.

        Parameters
        ----------
        change
            It changes something (CREATE …), which needs another method.

        Raises
        ------
        Rejected
            The query is wrong.
        """
        fields = [("q", text), ("epoch", "ns")] + ([("db", database)] if database else [])
        answer = await self.ask("POST" if change else "GET", "/query", fields)
        for result in answer["results"]:
            if "error" in result:
                raise Rejected(f"influxdb at {self._host}: {result['error']}")
        return answer

    async def ask(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: object | None = None,
    ) -> Any:
        """Send a request of the management API and return the JSON of its answer."""
        headers = {"Content-Type": "application/json"}
        text = await asyncio.to_thread(self._send, method, path, list(query), headers, body)
        return json.loads(text) if text.strip() else None

    async def ping(self) -> str:
        """Return the server's version, as it names itself.

        Raises
        ------
        Troubled
            It does not answer.
        """
        await asyncio.to_thread(self._send, "GET", "/ping", [], {}, None)
        return str(self._client.api_client.last_response.getheader("X-Influxdb-Version") or "")

    async def aclose(self) -> None:
        """Release connections."""
        await asyncio.to_thread(self._client.close)

    def _write(self, lines: Sequence[bytes]) -> None:
        body = b"\n".join(lines)
        headers = {"Content-Type": "text/plain; charset=utf-8", "Accept": "application/json"}
        if self._compress:
            body = gzip.compress(body, _GZIP, mtime=0)
            headers["Content-Encoding"] = "gzip"
        where = [("org", self.org), ("bucket", self.bucket), ("precision", "ns")]
        self._send("POST", "/api/v2/write", where, headers, body)

    def _send(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: object | None,
    ) -> str:
        from influxdb_client.rest import ApiException

        token = self._token()
        wanted = dict(headers)
        if token:
            wanted["Authorization"] = f"Token {token}"
        api: Any = self._client.api_client  # untyped
        try:
            api.call_api(path, method, query_params=query, header_params=wanted, body=body)
        except ApiException as error:
            # Not chained: the client's exception holds the request's headers.
            raise self._translated(error, token) from None
        except (HTTPError, OSError) as error:
            raise Troubled(
                Trouble.UNREACHABLE,
                f"influxdb at {self._host} does not answer ({type(error).__name__}); "
                "is it running, and is `influxdb.url` right?",
            ) from None
        return str(api.last_response.data)

    def _translated(self, error: ApiException, token: str) -> Troubled | Refused:
        status = error.status or 0
        said = _said(error.body)
        if token:
            said = said.replace(token, "<redacted>")
        what = f"influxdb at {self._host} said {status}: {said}"
        if status in _REFUSED:
            return Refused(what)
        if status in (401, 403):
            hint = "check `influxdb.token_file` and what the token may do"
            return Troubled(Trouble.UNAUTHORISED, f"{what} ({hint})")
        if status == 404:
            return Troubled(Trouble.NO_BUCKET, f"{what} (`forewarn influxdb setup` makes buckets)")
        reason = Trouble.BUSY if status in _BUSY else Trouble.SERVER_ERROR
        return Troubled(reason, what, retry_after=self._retry_after(error.headers))

    def _retry_after(self, headers: Mapping[str, str] | None) -> float | None:
        """Return the seconds that ``Retry-After`` names, as a number or as a date."""
        text = (headers.get("Retry-After") or "").strip() if headers else ""
        try:
            seconds = float(text)
        except ValueError:
            try:
                then = email.utils.parsedate_to_datetime(text)
            except ValueError:
                return None
            seconds = then.timestamp() - self._clock.now()
        return min(max(0.0, seconds), _RETRY_AFTER_MOST)


def _said(body: object) -> str:
    """Return the server's own words, on one line, of bounded length."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "nothing")
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, dict):
        text = str(said.get("message") or said.get("error") or text)
    return " ".join(text.split())[:_SAID_MOST]

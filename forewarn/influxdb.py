"""The history in InfluxDB, composed: its settings, its server, and the sink that fills it.

The sink is a reader of its own group on the bus: detection and alerts never wait for it, and what
it has not written stays on the bus. Left to others: lines and faults (`stream.sinks`), buckets and
down-sampling (`forewarn.influxdb_setup`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from alerting.points import FEEDS as ALERTING
from alerting.secret import Secret, SecretSource
from stream.bus import Bus
from stream.clock import Clock
from stream.errors import Rejected
from stream.sinks.drain import FEEDS, GROUP, Drain
from stream.sinks.encode import MOST_SERIES, Encoder, Row
from stream.sinks.influxdb import InfluxDB

_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"  # what needs no quoting in InfluxQL, Flux and URLs
_DAY: Final = 86_400.0


class InfluxConfig(BaseModel):
    """History in InfluxDB 1.8, 2.x or 3.x, for Grafana; nothing is written without a `url`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    url: str | None = None
    """Address of the server, such as `https://influx.example.com:8086`."""
    org: str = "forewarn"
    """Organisation; 1.8 has none and ignores it."""
    bucket: str = Field(default="forewarn", pattern=_NAME)
    """Bucket of all points; on 1.8 the database."""
    token: Secret | None = None
    """Token; on 1.8 `user:password`. Better: token_file."""
    token_file: Path | None = None
    """A file that holds the token; read again at each request."""
    token_env: str | None = None
    """An environment variable that holds the token."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, PEM."""
    compress: bool = True
    """Send gzip; false where the server is on the same machine."""
    retention: float = Field(default=90 * _DAY, ge=0)
    """Seconds that points are kept in full; 0 is for ever. `forewarn influxdb setup` sets it."""
    long_retention: float = Field(default=5 * 365 * _DAY, ge=0)
    """Seconds that ten-minute means of nodes, volumes and containers are kept; 0 is for ever."""
    max_series: int = Field(default=MOST_SERIES, ge=100)
    """Series of one measurement at a time; beyond, tags fold to `__other__` and are counted."""

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address such as http://influxdb:8086 is wanted")
        if parts.username or parts.password or parts.query:
            raise ValueError("no password and no query belong in the address; use token_file")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _one_token(self) -> InfluxConfig:
        if self.secret().places() > 1:
            raise ValueError("say at most one of token, token_file and token_env")
        return self

    @property
    def long_bucket(self) -> str:
        """Bucket of the means; InfluxQL reads it as retention policy ``long`` on all versions."""
        return f"{self.bucket}/long"

    def secret(self) -> SecretSource:
        """Return where the token is kept."""
        return SecretSource("token of influxdb", self.token, self.token_file, self.token_env)

    def build(self, clock: Clock) -> InfluxDB:
        """Return the server.

        Raises
        ------
        Rejected
            No address is configured.
        """
        if self.url is None:
            raise Rejected("influxdb.url is not set; say where InfluxDB is (hint: --config)")
        source = self.secret()

        def token() -> str:
            secret = source.read()
            return "" if secret is None else secret.reveal()

        return InfluxDB(
            self.url,
            org=self.org,
            bucket=self.bucket,
            token=token,
            clock=clock,
            compress=self.compress,
            ca_file=str(self.ca_file) if self.ca_file else None,
        )


@asynccontextmanager
async def sink(
    bus: Bus,
    partitions: int,
    config: InfluxConfig,
    clock: Clock,
    *,
    own: Callable[[], Iterable[Row]] = tuple,
    group: str = GROUP,
) -> AsyncIterator[Drain]:
    """Make the sink for the time of a ``with`` block; it works while its `run` is awaited.

    Parameters
    ----------
    own
        Returns rows of our own figures, where some are due (`forewarn.figures.OwnRows`).
    group
        Whose position on the bus is committed; a second server is a second group.

    Raises
    ------
    Rejected
        No address is configured.
    """
    server = config.build(clock)
    try:
        yield Drain(
            bus,
            partitions,
            server,
            clock,
            feeds={**FEEDS, **ALERTING},
            own=own,
            retention=config.retention or None,
            encoder=Encoder(config.max_series),
            group=group,
        )
    finally:
        await server.aclose()

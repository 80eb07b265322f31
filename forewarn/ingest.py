"""`forewarn ingest`: live clusters onto the bus, and nothing else, for workers elsewhere.

Serves probes and metrics on an address of its own, ends in order at SIGTERM, and goes on where the
bus says that it was; what lies between is a `Gap`. Nothing of operators, alerting or the page is
imported here, so that a process of this kind stays small. Left to others: the loop
(`forewarn.follow`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from rich.console import Console

from forewarn.audit import audit_app
from forewarn.bus_metrics import watched
from forewarn.buses import open_bus, topics_of
from forewarn.config import Config
from forewarn.follow import Appender, Follower
from forewarn.metrics import registry_of
from forewarn.probes import probes
from forewarn.serving import serving, stopping
from ingest.health import Check
from stream.clock import Clock

log = logging.getLogger(__name__)


async def ingest(config: Config, clock: Clock, console: Console) -> None:
    """Put what clusters tell onto the bus until SIGINT or SIGTERM.

    Raises
    ------
    Rejected, Corrupt
        A cluster, an address or the store cannot be used.
    """
    stop = stopping()
    follower = Follower(config, clock)
    registry = registry_of(follower)

    @asynccontextmanager
    async def stage() -> AsyncIterator[Appender]:
        async with open_bus(config) as bus, watched(bus, clock, registry):
            await bus.ensure(topics_of(config))
            yield Appender(bus, config.partitions)

    async with (
        audited(follower, config, clock),
        probed(follower.checks, config, registry) as address,
    ):
        console.print(f"probes and metrics on {address}", style="dim")
        await follower.run(stage, stop)


@asynccontextmanager
async def probed(
    checks: Callable[[], Sequence[Check]], config: Config, registry: CollectorRegistry
) -> AsyncIterator[str]:
    """Serve `/livez`, `/readyz` and `/metrics` for the time of the block; yields the address."""
    app = probes(checks, registry)
    async with serving(app, config.probes.host, config.probes.port) as address:
        yield address


@asynccontextmanager
async def audited(follower: Follower, config: Config, clock: Clock) -> AsyncIterator[None]:
    """Listen for audit events for the time of the block, where that is configured."""
    settings = config.ingest.audit
    if not settings.listen:
        yield
        return
    app = audit_app(follower, settings, config.ingest.scope, clock)
    tls = {"ssl_certfile": settings.cert_file, "ssl_keyfile": settings.key_file}
    async with serving(
        app, settings.host, settings.port, **(tls if settings.cert_file else {})
    ) as address:
        log.info("audit address=%s", address)
        yield

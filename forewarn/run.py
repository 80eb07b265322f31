"""`forewarn run` and `forewarn ingest`: live clusters, for as long as the process lives.

`run` is everything in one process: clusters, operators, alerting, delivery and the page, on the
configured bus. `ingest` is the first part alone: records go to the bus for workers elsewhere. Both
serve probes and metrics on an address of their own, end in order at SIGTERM, and go on where the
bus says that they were; what lies between is a `Gap`.

Left to others: the loop (`forewarn.follow`), wiring (`forewarn.pipeline`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from rich.console import Console

from forewarn.audit import audit_app
from forewarn.buses import open_bus, topics_of
from forewarn.config import Config
from forewarn.console.feed import Feed, Pulse
from forewarn.console.server import create_app
from forewarn.demo import both, incidents
from forewarn.figures import Outputs
from forewarn.follow import Appender, Follower
from forewarn.history import beside, check
from forewarn.metrics import registry_of
from forewarn.pipeline import Pipeline
from forewarn.probes import probes
from forewarn.serving import serving, stopping
from ingest.health import Check
from ingest.live import LiveChunk
from ingest.recorder import Recorder
from ingest.recording import TapeWriter
from stream.clock import Clock
from stream.sinks.drain import Drain

log = logging.getLogger(__name__)

_PULSE: Final = 1.0  # seconds between two looks of the page at how the run goes


async def ingest(config: Config, clock: Clock, console: Console) -> None:
    """Put what clusters tell onto the bus until SIGINT or SIGTERM.

    Raises
    ------
    Rejected, Corrupt
        A cluster, an address or the store cannot be used.
    """
    stop = stopping()
    follower = Follower(config, clock)

    @asynccontextmanager
    async def stage() -> AsyncIterator[Appender]:
        async with open_bus(config) as bus:
            await bus.ensure(topics_of(config))
            yield Appender(bus, config.partitions)

    async with (
        _audited(follower, config, clock),
        _probed(follower.checks, config, registry_of(follower)) as address,
    ):
        console.print(f"probes and metrics on {address}", style="dim")
        await follower.run(stage, stop)


async def run(
    config: Config,
    clock: Clock,
    console: Console,
    *,
    send: bool = True,
    tape: Path | None = None,
) -> None:
    """Follow clusters, conclude, alert and show the page until SIGINT or SIGTERM.

    Parameters
    ----------
    send
        Whether messages leave the process; if not, they are decided and shown.
    tape
        Takes down all that is seen, as `forewarn record` does.

    Raises
    ------
    Rejected, Corrupt
        A cluster, an address or the store cannot be used.
    """
    stop = stopping()
    feed = Feed(clock, config.cluster)
    writer = TapeWriter(tape) if tape is not None else None
    follower = Follower(config, clock, Recorder(writer) if writer is not None else None)
    follower.told = _pulses(feed, follower, clock)
    outputs, registry = Outputs(), registry_of(follower)
    takers = [feed.apply, outputs.apply]
    apply = both(*takers, incidents(console)) if console.is_terminal else both(*takers)

    history: Drain | None = None

    @asynccontextmanager
    async def stage() -> AsyncIterator[Pipeline]:
        nonlocal history
        async with (
            open_bus(config) as bus,
            Pipeline.open(bus, config, clock, send=send, apply=apply) as pipeline,
            beside(pipeline, clock, registry, outputs) as history,
        ):
            yield pipeline

    def checks() -> list[Check]:
        found = list(follower.checks())
        return [*found, check(history)] if found and history is not None else found

    def wrong() -> dict[str, str]:
        return {each.name: "" if each.passed else each.text for each in follower.checks()}

    page = create_app(feed, clock, registry=registry, ready=wrong)
    async with AsyncExitStack() as stack:
        if writer is not None:
            stack.enter_context(writer)
        await stack.enter_async_context(_audited(follower, config, clock))
        probe = await stack.enter_async_context(_probed(checks, config, registry))
        shown = await stack.enter_async_context(
            serving(page, config.console.host, config.console.port)
        )
        console.print(f"page {shown}   probes and metrics on {probe}", style="dim")
        await follower.run(stage, stop)


@asynccontextmanager
async def _probed(
    checks: Callable[[], Sequence[Check]], config: Config, registry: CollectorRegistry
) -> AsyncIterator[str]:
    app = probes(checks, registry)
    async with serving(app, config.probes.host, config.probes.port) as address:
        yield address


@asynccontextmanager
async def _audited(follower: Follower, config: Config, clock: Clock) -> AsyncIterator[None]:
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


def _pulses(feed: Feed, follower: Follower, clock: Clock) -> Callable[[LiveChunk], None]:
    told_at = 0.0

    def told(chunk: LiveChunk) -> None:
        nonlocal told_at
        now = clock.now()
        if now - told_at < _PULSE:
            return
        told_at = now
        fed = follower.intake
        failing = [each for each in follower.checks() if not each.passed]
        feed.pulse(
            Pulse(
                mode="live",
                event_time=chunk.event_time or None,
                records=follower.records,
                events=fed.normaliser.stats["events"].seen if fed is not None else 0,
                dead_letters=fed.dead_letters_total if fed is not None else 0,
                problem="; ".join(f"{each.name}: {each.text}" for each in failing),
            )
        )

    return told

"""`forewarn run`: live clusters, conclusions, messages and the page, in one process.

Clusters, operators, alerting, delivery and the page stand on the configured bus, as long as the
process lives. It serves probes and metrics on an address of their own, ends in order at SIGTERM,
and goes on where the bus says that it was; what lies between is a `Gap`.

Left to others: the loop (`forewarn.follow`), wiring (`forewarn.pipeline`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from alerting.alert import Incident
from forewarn import feedback
from forewarn.buses import open_bus
from forewarn.config import Config
from forewarn.console.feed import Feed, Pulse
from forewarn.console.server import create_app
from forewarn.demo import incidents
from forewarn.feedback import Verdict
from forewarn.figures import Outputs
from forewarn.follow import Follower
from forewarn.history import beside, check
from forewarn.ingest import audited, probed
from forewarn.metrics import registry_of
from forewarn.pipeline import Pipeline
from forewarn.serving import serving, stopping
from forewarn.takers import Takers
from ingest.health import Check
from ingest.live import LiveChunk
from ingest.recorder import Recorder
from ingest.recording import TapeWriter
from stream.clock import Clock
from stream.errors import Unavailable
from stream.sinks.drain import Drain

_PULSE: Final = 1.0  # seconds between two looks of the page at how the run goes


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
    said = [incidents(console)] if console.is_terminal else []
    takers = Takers(outputs.apply, *said, show=feed.apply)

    history: Drain | None = None
    opened: Pipeline | None = None

    @asynccontextmanager
    async def stage() -> AsyncIterator[Pipeline]:
        nonlocal history, opened
        async with (
            open_bus(config) as bus,
            Pipeline.open(bus, config, clock, send=send, takers=takers) as pipeline,
            beside(pipeline, clock, registry, outputs) as history,
        ):
            opened = pipeline
            try:
                yield pipeline
            finally:
                opened = None

    async def tell(incident: Incident, verdict: Verdict) -> None:
        if opened is None:
            raise Unavailable("the bus is not open")
        await feedback.tell(opened.bus, config.partitions, incident, verdict)

    def checks() -> list[Check]:
        found = list(follower.checks())
        return [*found, check(history)] if found and history is not None else found

    def wrong() -> dict[str, str]:
        return {each.name: "" if each.passed else each.text for each in follower.checks()}

    page = create_app(feed, clock, registry=registry, ready=wrong, tell=tell)
    async with AsyncExitStack() as stack:
        if writer is not None:
            stack.enter_context(writer)
        await stack.enter_async_context(audited(follower, config, clock))
        probe = await stack.enter_async_context(probed(checks, config, registry))
        shown = await stack.enter_async_context(
            serving(page, config.console.host, config.console.port)
        )
        console.print(f"page {shown}   probes and metrics on {probe}", style="dim")
        await follower.run(stage, stop)


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

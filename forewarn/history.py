"""The history beside a pipeline, or as a process of its own: the sink, and everybody's figures.

Guaranteed: the pipeline never waits for InfluxDB, whatever happens to it; when the block ends, what
is on the bus has some seconds to get there, and what has not is read again by the next run. A
sink that must stop (`Corrupt`) stops alone, aloud, and keeps its position.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from forewarn.bus_metrics import watched
from forewarn.buses import open_bus, topics_of
from forewarn.config import Config
from forewarn.families import process_registry
from forewarn.figures import Outputs, OwnRows, SinkCollector
from forewarn.influxdb import sink
from forewarn.pipeline import Pipeline
from forewarn.probes import probes
from forewarn.serving import serving, stopping
from forewarn.stage_metrics import StageCollector
from ingest.health import Check
from stream.clock import Clock
from stream.errors import Corrupt
from stream.sinks.base import Trouble
from stream.sinks.drain import Drain

LAST: Final = 5.0  # seconds; Kubernetes grants thirty to the whole process

_log = logging.getLogger(__name__)


@asynccontextmanager
async def beside(
    pipeline: Pipeline,
    clock: Clock,
    registry: CollectorRegistry,
    outputs: Outputs,
    *,
    now: Callable[[], float] | None = None,
    every: float = 60.0,
    last: float = LAST,
) -> AsyncIterator[Drain | None]:
    """Show the pipeline's figures in `registry` and, where configured, write its history.

    Parameters
    ----------
    outputs
        Counts what goes by; its `apply` was given to the pipeline.
    now, every
        What time our own figures carry in the history (the clock's, or that of a recording), and
        how many seconds of it lie between two sets.
    last
        Seconds that the last points have to reach the server when the block ends.

    Yields the sink, or None where no InfluxDB is configured.
    """
    config = pipeline.config
    stages = StageCollector(pipeline.stages, now or clock.now)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(watched(pipeline.bus, clock, registry))
        stack.enter_context(_shown(registry, outputs, stages))
        if config.influxdb.url is None:
            yield None
            return
        own = OwnRows(registry, now or clock.now, every)
        opened = sink(pipeline.bus, config.partitions, config.influxdb, clock, own=own)
        drain = await stack.enter_async_context(opened)
        stop = asyncio.Event()
        working = asyncio.create_task(_work(drain, stop), name="influxdb")
        stack.enter_context(_shown(registry, SinkCollector(drain)))
        try:
            yield drain
        finally:
            stop.set()
            await _end(drain, working, last)


async def alone(config: Config, clock: Clock, say: Callable[[str], None]) -> int:
    """Be the sink and nothing else until SIGINT or SIGTERM; return how many points were written.

    Serves probes and metrics. A server that is away is degraded, not unready: what is on the bus
    waits there, and a restart would heal nothing.

    Raises
    ------
    Rejected
        No address is configured.
    Corrupt
        More than one row in a hundred cannot be written: a person must look.
    """
    stop = stopping()
    registry = process_registry()
    async with open_bus(config) as bus, watched(bus, clock, registry):
        await bus.ensure(topics_of(config))
        own = OwnRows(registry, clock.now)
        async with sink(bus, config.partitions, config.influxdb, clock, own=own) as drain:
            app = probes(lambda: [check(drain)], registry)
            with _shown(registry, SinkCollector(drain)):
                async with serving(app, config.probes.host, config.probes.port) as address:
                    say(f"probes and metrics on {address}")
                    working = asyncio.create_task(drain.run(stop), name="influxdb")
                    stopped = asyncio.create_task(stop.wait())
                    await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
                    stopped.cancel()
                    await _end(drain, working, LAST)
            return drain.tally.written


async def once(config: Config, clock: Clock) -> int:
    """Write what is on the bus now; return how many points that were."""
    async with open_bus(config) as bus:
        await bus.ensure(topics_of(config))
        async with sink(bus, config.partitions, config.influxdb, clock) as drain:
            return await drain.drain()


def check(drain: Drain) -> Check:
    """Return the sink's line of `/readyz`: never failed, for a restart would heal nothing."""
    trouble = drain.tally.trouble
    text = f"{drain.tally.written} points written"
    if trouble is not None:
        text = f"degraded, {trouble.value} for {drain.waiting():.0f} s; {text}"
    return Check("influxdb", True, text)


async def _work(drain: Drain, stop: asyncio.Event) -> None:
    try:
        await drain.run(stop)
    except Corrupt as error:
        drain.tally.trouble = Trouble.STOPPED
        _log.error("influxdb=stopped error=%r", str(error))


async def _end(drain: Drain, working: asyncio.Task[None], last: float) -> None:
    try:
        async with asyncio.timeout(last):
            await working
            if drain.tally.trouble is not Trouble.STOPPED:
                await drain.drain()
    except TimeoutError:
        _log.warning("influxdb=behind waiting=%.0fs action=next-run", drain.waiting())


@contextmanager
def _shown(registry: CollectorRegistry, *collectors: Collector) -> Iterator[None]:
    for collector in collectors:
        registry.register(collector)
    try:
        yield
    finally:
        for collector in collectors:
            registry.unregister(collector)

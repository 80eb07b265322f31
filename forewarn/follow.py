"""Follows live clusters: facts become records on the bus, chunk by chunk, until told to stop.

The counterpart of `forewarn.play`, and the one driver of `forewarn ingest` and `forewarn run`: take
a chunk, publish it with its position, let the stage behind it draw its conclusions. With several
replicas only the holder of the Lease follows; the others stand by.

Guaranteed: a chunk is published before the next one is taken. Where the bus takes nothing it is
offered again on a ladder of waits, facts wait in a bounded buffer meanwhile, and what did not fit
is listed anew behind a `Gap`. After `stop` the chunk at hand is finished, the stage settles for a
bounded time, the lease is given back. Left to others: which facts (`ingest.live`), what the stage
is (`forewarn.pipeline`), serving what `checks` says (`forewarn.probes`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Final, Protocol, TypeVar

from forewarn.config import Config
from forewarn.intake import intake
from ingest.answers import Unanswered, within
from ingest.backoff import Backoff, BackoffSettings
from ingest.cluster import Cluster
from ingest.deployments import DeploymentCounts
from ingest.existing import Existing
from ingest.health import Check
from ingest.intake import Intake
from ingest.lease import Lease
from ingest.live import Live, LiveChunk, watching
from ingest.recorder import Recorder
from stream.bus import Bus
from stream.clock import Clock
from stream.codec import outgoing
from stream.errors import Unavailable

log = logging.getLogger(__name__)

_T = TypeVar("_T")

SOURCE: Final = "live"
# A conclusion may wait so long; a commit costs the same for one fact as for a thousand.
_AGAIN: Final = BackoffSettings(first=0.5, longest=3.0)  # facts wait for the bus, trying is cheap
_LINGER: Final = 0.2  # seconds from one chunk to the next
_BACKLOG: Final = 500  # facts; with more of them waiting nothing is gained by lingering
_SETTLE: Final = 8.0  # seconds; a pod is given 30 to end, and what is left is sent after the start
_TRIM: Final = 600.0  # seconds between two looks at what the bus need not keep any more
_SILENT: Final = 60.0  # seconds without a published chunk: ticks alone make one every five


class Stage(Protocol):
    """What takes the chunks."""

    @property
    def bus(self) -> Bus:
        """Where positions are kept."""
        ...

    async def publish(self, chunk: LiveChunk) -> None:
        """Put a chunk on the bus, with its position, in one transaction."""
        ...

    async def drain(self) -> int:
        """Conclude from it; return how many records were read."""
        ...

    async def settle(self) -> None:
        """Bring what is under way to its end."""
        ...


class Appender:
    """The stage of `forewarn ingest`: records go to the bus, and others conclude."""

    def __init__(self, bus: Bus, partitions: int) -> None:
        self.bus = bus
        self._partitions = partitions

    async def publish(self, chunk: LiveChunk) -> None:
        """Put a chunk on the bus, with its position, in one transaction."""
        letters = [outgoing(each, self._partitions) for each in chunk.dead_letters]
        await self.bus.publish([*chunk.messages, *letters], chunk.position)

    async def drain(self) -> int:
        """Conclude nothing."""
        return 0

    async def settle(self) -> None:
        """Have nothing under way."""


class Follower:
    """One process' watch over its clusters.

    Parameters
    ----------
    config
        Clusters, lease, partitions, ticks.
    tape
        Takes all facts down on the way, to be replayed.

    Attributes
    ----------
    told
        Called after each chunk that was published and concluded from.
    live, intake
        While this replica works, None before.
    lease
        Its part in the election; None where there is none.
    records
        Records that the stage has read.
    deployments
        What happened to workloads.
    problem
        Why the stage does not take chunks, "" where it does.
    """

    def __init__(self, config: Config, clock: Clock, tape: Recorder | None = None) -> None:
        self.told: Callable[[LiveChunk], None] = lambda chunk: None
        self.live: Live | None = None
        self.intake: Intake | None = None
        self.lease: Lease | None = None
        self.records = 0
        self.deployments = DeploymentCounts()
        self.problem = ""
        self._config = config
        self._settings = config.ingest.named(config.cluster)
        self._clock = clock
        self._tape = tape
        self._published_at: float | None = None
        self._trimmed_at = 0.0
        self._stopping = False
        self._frozen = False
        self._doubtful = False  # whether a try of the current chunk may have been written

    async def run(
        self, stage: Callable[[], AbstractAsyncContextManager[Stage]], stop: asyncio.Event
    ) -> None:
        """Follow until `stop` is set.

        Parameters
        ----------
        stage
            Opens the stage; called when this replica begins to work, and again after it has lost
            the lease and won it back.

        Raises
        ------
        Rejected, Corrupt
            A cluster, the stage or the configuration cannot be used.
        """

        async def work() -> None:
            async with stage() as opened:
                await self._work(opened, stop)

        if not self._settings.lease.elect:
            await work()
            return
        cluster = await Cluster.connect(self._settings.clusters[0], self._clock)
        identity = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self.lease = Lease(cluster, self._clock, identity, self._settings.lease)
        try:
            await self._lead(self.lease, work, stop)
        finally:
            await cluster.aclose()

    def checks(self) -> list[Check]:
        """Return all that readiness depends on, as of now."""
        if self._stopping:
            return [Check("process", False, "it was told to end")]
        if self.lease is not None and self.lease.standby:
            return [Check("lease", True, "standing by: another replica holds the lease")]
        if self.live is None:
            return [Check("clusters", False, "not connected yet")]
        now = self._clock.now()
        return [self._bus_check(now), *self.live.health().checks(now)]

    def _bus_check(self, now: float) -> Check:
        if self.problem:
            return Check("bus", False, self.problem)
        if self._published_at is None:
            return Check("bus", False, "nothing published yet")
        age = now - self._published_at
        return Check("bus", age <= _SILENT, f"last chunk {age:.0f} s ago")

    # ---- the loop ---------------------------------------------------------------------------

    async def _lead(
        self, lease: Lease, work: Callable[[], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        leading = asyncio.ensure_future(lease.lead(work))
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({leading, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not lease.held:
                leading.cancel()
            await asyncio.wait({leading})
            if not leading.cancelled():
                leading.result()
        finally:
            for task in (leading, stopped):
                task.cancel()
            await asyncio.gather(leading, stopped, return_exceptions=True)

    async def _work(self, stage: Stage, stop: asyncio.Event) -> None:
        config, clock = self._config, self._clock
        position = await stage.bus.position(SOURCE)
        existing = Existing(await stage.bus.notes(SOURCE))
        fed = self.intake = intake(config, self.deployments.observe, existing)
        await self._insist(stage.drain, stop)  # what an earlier run has published and not finished
        try:
            async with watching(
                self._settings,
                clock,
                position,
                tick_seconds=config.tick_seconds,
                existing=existing,
            ) as self.live:
                names = ",".join(each.name for each in self._settings.clusters)
                log.info("following clusters=%s resumed=%s", names, position is not None)
                async with aclosing(
                    _until(stop, self.live.chunks(fed, SOURCE, self._tape))
                ) as chunks:
                    async for chunk in chunks:
                        await self._take(stage, chunk, stop)
                self._stopping = True
        finally:
            self.live = None
        log.info("stopping records=%d", self.records)
        try:
            await within(clock, _SETTLE, stage.settle())
        except Unanswered:
            log.warning("not settled within %.0f s: the rest is done after the start", _SETTLE)

    async def _take(self, stage: Stage, chunk: LiveChunk, stop: asyncio.Event) -> None:
        began = self._clock.now()
        await self._insist(lambda: self._publish(stage, chunk), stop)
        self.records += await self._insist(stage.drain, stop) or 0
        self._published_at = now = self._clock.now()
        self.told(chunk)
        if now - self._trimmed_at >= _TRIM:
            self._trimmed_at = now
            await self._insist(lambda: stage.bus.trim(now), stop)
        if not self._frozen and self.live is not None and self.live.health().ready(now):
            gc.collect()
            gc.freeze()  # what the first lists left stays: the collector need not walk over it
            self._frozen = True
        if self.live is None or len(self.live.buffer) < _BACKLOG:
            await self._pause(began + _LINGER, stop)

    async def _publish(self, stage: Stage, chunk: LiveChunk) -> None:
        """Publish, once: a try that failed may have been written all the same."""
        if self._doubtful and await stage.bus.position(SOURCE) == chunk.position.value:
            log.info("the chunk of %d facts was written before", chunk.facts)
        else:
            self._doubtful = True
            await stage.publish(chunk)
        self._doubtful = False

    async def _insist(self, call: Callable[[], Awaitable[_T]], stop: asyncio.Event) -> _T | None:
        """Call until it is not `Unavailable`; None where `stop` came before."""
        ladder = Backoff(_AGAIN)
        while True:
            try:
                result = await call()
            except Unavailable as error:
                if str(error) != self.problem:
                    log.warning("the bus takes nothing: %s", error)
                self.problem = str(error)
                if stop.is_set():
                    return None
                now = self._clock.now()
                await self._pause(now + ladder.next_wait(now, error.retry_after), stop)
            else:
                self.problem = ""
                return result

    async def _pause(self, deadline: float, stop: asyncio.Event) -> None:
        """Wait until `deadline`, or until `stop` is set."""
        with suppress(Unanswered):
            await within(self._clock, deadline - self._clock.now(), stop.wait())


async def _until(
    stop: asyncio.Event, chunks: AsyncGenerator[LiveChunk, None]
) -> AsyncGenerator[LiveChunk, None]:
    """Yield `chunks` until `stop` is set; one that is being waited for is given up."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set():
            coming = asyncio.ensure_future(anext(chunks))
            try:
                await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    return
                yield coming.result()
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
    finally:
        stopped.cancel()
        await chunks.aclose()

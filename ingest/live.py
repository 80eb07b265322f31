"""Live clusters as a source: all reflectors and samplers, one ordered stream, chunk by chunk.

The counterpart of `ingest.replay.TapeSource`: the same intake, so a live cluster and its tape give
the same messages. Sources run side by side and put their facts into one bounded buffer
(`ingest.buffer`); owners are listed before what they own. The position is how far each cluster has
been published, so after a restart the time between is a gap, and is said; with it is kept what
exists (`ingest.existing`), so that what went meanwhile is told.

Guaranteed: facts of a chunk are in the order in which they were heard, and ticks go by the clock
even where nothing happens, but never ahead of a fact that still waits in the buffer. An error that
is none of ours ends the source, loudly. Left to others: publishing, when to run (`ingest.lease`).
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, NamedTuple

import msgspec

from ingest.answers import Unanswered, within
from ingest.buffer import Buffer
from ingest.cluster import Cluster
from ingest.digests import Digests
from ingest.existing import Existing
from ingest.facts import Fact
from ingest.health import Health, Status
from ingest.intake import Intake
from ingest.known import Metadata
from ingest.kubelet import Sampler
from ingest.logs import LogReader
from ingest.recorder import Recorder
from ingest.reflect import Reflector
from ingest.resources import NAMESPACES, Resource, watched
from ingest.scope import Scope
from ingest.settings import IngestSettings
from stream.bus import Outgoing, Position
from stream.clock import Clock
from stream.errors import Rejected
from stream.records import DeadLetter

# A list that RBAC forbids must not hold back those behind it for ever.
_STAGE_WAIT: Final = 30.0  # seconds
_CHUNK: Final = 1000  # facts; some 10 ms of work


Source = Reflector | Sampler | LogReader


class LiveChunk(NamedTuple):
    """Consecutive facts, ready to be published in one transaction; may hold ticks only."""

    messages: list[Outgoing]
    dead_letters: list[DeadLetter]
    position: Position  # commit it with the messages
    event_time: float  # `at` of the newest fact so far
    facts: int


class Live:
    """The running sources; made by `watching`.

    Attributes
    ----------
    statuses
        One per source.
    clusters
        As far as they are connected.
    buffer
        Facts that wait.
    """

    def __init__(self, settings: IngestSettings, clock: Clock, tick_seconds: float) -> None:
        if not settings.clusters:
            raise Rejected("there is no cluster to watch")
        self.statuses: list[Status] = []
        self.clusters: list[Cluster] = []
        self.buffer = Buffer(clock, settings.buffer)
        self._settings = settings
        self._clock = clock
        self._tick_seconds = tick_seconds
        self._names = [each.name for each in settings.clusters]

    def health(self) -> Health:
        """Return the view that ``/readyz`` shows."""
        return Health(self.statuses)

    async def facts(self, limit: int = _CHUNK) -> list[Fact]:
        """Return the next facts; empty where none came for `tick_seconds`."""
        return await self.buffer.take(limit, self._tick_seconds)

    async def chunks(
        self, intake: Intake, name: str = "live", tape: Recorder | None = None
    ) -> AsyncGenerator[LiveChunk, None]:
        """Yield chunks for ever, at least one every `tick_seconds`.

        Parameters
        ----------
        intake
            Fed by nobody else.
        name
            Of the source; positions are kept under it.
        tape
            Takes all facts down on the way.
        """
        published = 0.0
        while True:
            facts = await self.facts()
            if tape is not None and not facts:
                tape.heartbeat(self._clock.now(), self._names)
            for fact in facts:
                if tape is not None:
                    tape.hear(fact)
                intake.offer(fact, f"cluster {fact.cluster} {fact.resource}")
            messages, dead_letters = intake.take()
            reached = self.buffer.newest
            if not len(self.buffer):  # nothing older can follow any more
                reached = max(reached, self._clock.now())
                for cluster in self._names:
                    messages += intake.publisher.advance(cluster, reached)
            elif facts:
                reached = facts[-1].at
            # Rises with every chunk, by less than a microsecond if need be: a publisher who does
            # not know whether a chunk was written can tell it by its position.
            published = max(reached, math.nextafter(published, math.inf))
            value = msgspec.json.encode(dict.fromkeys(self._names, published))
            notes = {} if intake.existing is None else intake.existing.take()
            position = Position(name, value, notes)
            yield LiveChunk(messages, dead_letters, position, intake.event_time, len(facts))

    # ---- sources ----------------------------------------------------------------------------

    def sources(
        self,
        cluster: Cluster,
        since: float | None,
        chance: random.Random | None,
        existing: Existing,
    ) -> list[Source]:
        """Make all sources of one cluster and register their statuses."""
        settings, scope = self._settings, Scope(self._settings.scope)
        sampler = Sampler(cluster, self._clock, self.buffer.offer, settings.kubelet)
        logs = LogReader(cluster, self._clock, self.buffer.offer, settings.logs)
        digest = Digests()
        reflectors: list[Reflector] = []

        async def put(fact: Fact) -> None:
            if fact.resource == "configmaps" and fact.type != "ERROR":
                fact.object = digest(fact.object)
            if fact.resource == "nodes":
                sampler.note(fact)
            await self.buffer.put(fact)
            if fact.resource == "pods" and settings.logs.tail:
                logs.note(fact)  # behind the pod's own fact

        async def note_namespace(fact: Fact) -> None:
            if fact.type != "ERROR" and _namespace_changed(scope, fact):
                for reflector in reflectors:
                    reflector.rescope()

        def reflector(resource: Resource, namespace: str = "") -> Reflector:
            namespaces = resource is NAMESPACES
            return Reflector(
                cluster,
                resource,
                self._clock,
                note_namespace if namespaces else put,
                self.buffer.room,
                settings=settings.watch,
                scope=None if namespaces else scope,
                namespace=namespace,
                since=None if namespaces else since,
                known=existing.of(cluster.name, resource.name, namespace),
                chance=chance,
            )

        resources = watched(settings.also)
        made: list[Source] = []
        if scope.namespaces:  # with Roles alone there are no nodes, no namespaces and no kubelets
            wanted = [each for each in resources if each.namespaced]
            reflectors += [reflector(each, name) for each in wanted for name in scope.namespaces]
            made += reflectors
        else:
            reflectors += [reflector(each) for each in resources]
            made += [reflector(NAMESPACES), *reflectors]
            if settings.kubelet.source != "off":
                made.append(sampler)
        if settings.logs.tail:
            made.append(logs)
        self.statuses += [each.status for each in made]
        return made


@asynccontextmanager
async def watching(
    settings: IngestSettings,
    clock: Clock,
    position: bytes | None = None,
    chance: random.Random | None = None,
    *,
    tick_seconds: float = 5.0,
    existing: Existing | None = None,
) -> AsyncIterator[Live]:
    """Connect to all clusters and run their sources until the block ends.

    Parameters
    ----------
    position
        The bus's committed position of this source, None for a first start.
    chance
        Source of jitter; a test gives a seeded one.
    tick_seconds
        Longest time between two chunks; the publisher's grid decides which become ticks.
    existing
        What an earlier run has left: what of it the first lists do not have is told as deleted.

    Raises
    ------
    Rejected
        There is no cluster; a kubeconfig, a pattern or a position cannot be used.
    Corrupt
        The client library is known to be broken.
    """
    since = _positions(position)
    existing = existing or Existing()
    live = Live(settings, clock, tick_seconds)
    async with AsyncExitStack() as stack:
        for each in settings.clusters:
            cluster = await Cluster.connect(each, clock)
            stack.push_async_callback(cluster.aclose)
            live.clusters.append(cluster)
        async with asyncio.TaskGroup() as group:
            tasks = []
            for cluster in live.clusters:
                made = live.sources(cluster, since.get(cluster.name), chance, existing)
                tasks += [group.create_task(_run(source, made, clock)) for source in made]
            existing.forget_the_rest()
            try:
                yield live
            finally:
                for task in tasks:
                    task.cancel()


async def _run(source: Source, others: Sequence[Source], clock: Clock) -> None:
    """Run a source once the lists that it builds upon are complete, or have taken too long."""
    stage = _stage(source)
    reflectors = [each for each in others if isinstance(each, Reflector)]
    earlier = [each.listed for each in reflectors if _stage(each) < stage]

    async def complete() -> None:
        for listed in earlier:
            await listed.wait()

    with suppress(Unanswered):
        await within(clock, _STAGE_WAIT, complete())
    await source.run()


def _stage(source: Source) -> int:
    return source.resource.stage if isinstance(source, Reflector) else 2  # behind the nodes


def _namespace_changed(scope: Scope, fact: Fact) -> bool:
    try:
        metadata = _head(fact.object).metadata
    except (ValueError, RecursionError):
        return False
    gone = fact.type == "DELETED"
    return scope.note_namespace(metadata.name, None if gone else metadata.annotations)


class _Head(msgspec.Struct, gc=False):
    metadata: Metadata


_head: Final = msgspec.json.Decoder(_Head).decode


def _positions(position: bytes | None) -> Mapping[str, float]:
    """Return until when each cluster was published."""
    if position is None:
        return {}
    try:
        return msgspec.json.decode(position, type=dict[str, float])
    except (ValueError, RecursionError) as error:
        raise Rejected(f"this position is not of a live source: {error}") from error

"""What happened while forewarn was away: told after its restart, once, of the right workload."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from forewarn.config import Config
from forewarn.follow import SOURCE, Appender, Follower
from forewarn.pipeline import Pipeline
from ingest.scope import ScopeSettings
from stream.bus import Bus
from stream.codec import decode
from stream.embedded import EmbeddedBus
from stream.records import (
    AnyInput,
    DeploymentChange,
    Finding,
    Gap,
    NodeRecord,
    ObjectRef,
    PodRecord,
)
from stream.testing import ManualClock
from stream.topics import FINDINGS, INPUTS, specs
from tests.forewarn.test_follow import config, crashing, passing
from tests.ingest.fake_apiserver import FakeApiServer
from tests.ingest.watching import START, eventually, until

WEB = ObjectRef("Deployment", "shop", "web")


@asynccontextmanager
async def following(
    settings: Config, bus: Bus, clock: ManualClock, *, concluding: bool = False
) -> AsyncIterator[Follower]:
    """One run of forewarn, ended in order."""
    follower, stop = Follower(settings, clock), asyncio.Event()

    @asynccontextmanager
    async def stage() -> AsyncIterator[Appender | Pipeline]:
        if concluding:
            async with Pipeline.open(bus, settings, clock) as pipeline:
                yield pipeline
        else:
            await bus.ensure(specs(settings.partitions))
            yield Appender(bus, settings.partitions)

    task = asyncio.create_task(follower.run(stage, stop))
    try:
        await eventually(
            lambda: follower.live and all(each.phase == "watching" for each in _watches(follower))
        )
        yield follower
    finally:
        stop.set()
        await task


def _watches(follower: Follower) -> list[Any]:
    return [] if follower.live is None else [e for e in follower.live.statuses if e.required]


async def said(bus: Bus) -> list[AnyInput]:
    found = []
    for topic in INPUTS:
        for partition, end in enumerate(await bus.end_offsets(topic)):
            batch = await bus.read(topic, partition, 0, end) if end else None
            found += [decode(topic, each.value) for each in batch.messages] if batch else []
    return found


async def published(bus: Bus, count: int) -> None:
    """Wait until so many objects are noted."""

    async def noted() -> bool:
        return len(await bus.notes(SOURCE)) == count

    await until(noted, within=10.0)


def scoped(settings: Config, scope: ScopeSettings) -> Config:
    return settings.model_copy(update={"ingest": replace(settings.ingest, scope=scope)})


async def filled(server: FakeApiServer) -> None:
    """A Deployment with its ReplicaSet and two pods, and a node."""
    spec: dict[str, Any] = {"replicas": 2, "template": {"spec": {"containers": []}}}
    await server.put("deployments", "web", "shop", spec=spec)
    owner = [{"kind": "Deployment", "name": "web", "uid": "d", "controller": True}]
    made = await server.put("replicasets", "web-7d9", "shop", metadata={"ownerReferences": owner})
    owner = [{"kind": "ReplicaSet", "name": "web-7d9", "controller": True}]
    owner[0]["uid"] = made["metadata"]["uid"]
    for name in ("web-7d9-a", "web-7d9-b"):
        content = crashing(0)
        content["metadata"]["ownerReferences"] = owner
        await server.put("pods", name, "shop", **content)
    await server.put("nodes", "n1", spec={})


def gone(records: list[AnyInput]) -> list[AnyInput]:
    return [
        each
        for each in records
        if getattr(each, "deleted", False) or getattr(each, "type", "") == "deleted"
    ]


async def test_what_was_deleted_meanwhile_is_told_once_and_nothing_is_falsely_new(
    tmp_path: Path,
) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server, passing(clock), EmbeddedBus.open(None) as bus:
        await filled(server)
        settings = config(server, tmp_path)
        async with following(settings, bus, clock):
            await published(bus, 4)
        for kind, name, space in (
            ("pods", "web-7d9-a", "shop"),
            ("replicasets", "web-7d9", "shop"),
            ("deployments", "web", "shop"),
            ("nodes", "n1", ""),
        ):
            await server.delete(kind, name, space)
        server.compact()
        async with following(settings, bus, clock):
            await published(bus, 1)
        records = await said(bus)
        found = gone(records)
        assert {type(each) for each in found} == {PodRecord, DeploymentChange, NodeRecord}
        assert len(found) == 3
        (pod,) = [each for each in found if isinstance(each, PodRecord)]
        assert (pod.pod, pod.workload) == ("web-7d9-a", WEB)  # though its ReplicaSet is gone, too
        changes = [each for each in records if isinstance(each, DeploymentChange)]
        assert [each.type for each in changes] == ["known", "deleted"]
        gaps = [each for each in records if isinstance(each, Gap)]
        assert {each.reason for each in gaps} == {"restart"}
        async with following(settings, bus, clock):
            await published(bus, 1)
        assert len(gone(await said(bus))) == 3


async def test_what_is_watched_no_more_is_forgotten_and_what_left_the_scope_is_gone(
    tmp_path: Path,
) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server, passing(clock), EmbeddedBus.open(None) as bus:
        await filled(server)
        settings = config(server, tmp_path)
        async with following(settings, bus, clock):
            await published(bus, 4)
        scope = ScopeSettings(exclude=("shop",))
        narrow = scoped(settings, scope)
        async with following(narrow, bus, clock):
            await published(bus, 1)  # the node
        assert len(gone(await said(bus))) == 3
        roles = ScopeSettings(include=("other",), namespaced=True)
        elsewhere = scoped(settings, roles)
        async with following(elsewhere, bus, clock):
            await published(bus, 0)  # nodes are out of reach: nobody can say that it is gone
        assert len(gone(await said(bus))) == 3


async def test_an_alert_about_a_pod_that_went_while_nobody_looked_resolves(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server, passing(clock), EmbeddedBus.open(None) as bus:
        settings = config(server, tmp_path)
        looping = crashing(1)
        looping["status"]["containerStatuses"][0] |= {
            "ready": False,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        }
        await server.put("pods", "web", "shop", **looping)

        async def states() -> list[str]:
            found: list[str] = []
            for partition in range(settings.partitions):
                batch = await bus.read(FINDINGS, partition, 0, 100_000)
                for each in batch.messages if batch else ():
                    conclusion = decode(FINDINGS, each.value)
                    if isinstance(conclusion, Finding) and conclusion.rule == "crash-loop":
                        found.append(conclusion.state)
            return found

        async def told(*wanted: str) -> bool:
            clock.advance(10.0)
            return await states() == list(wanted)

        async with following(settings, bus, clock, concluding=True):
            await until(partial(told, "firing"))
        await server.delete("pods", "web", "shop")
        server.compact()
        async with following(settings, bus, clock, concluding=True):
            await until(partial(told, "firing", "resolved"))

"""What the tests of live sources share: a reflector under observation, waiting without sleeping.

`Observer` folds facts into the state that they lead to, and refuses what would be a lie: an object
that is ADDED twice, MODIFIED before it was known, DELETED without ever having been there.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from ingest.cluster import Cluster, ClusterSettings
from ingest.facts import Fact
from ingest.reflect import Reflector, ReflectSettings
from ingest.resources import NAMESPACES, OPTIONAL, RESOURCES, Resource
from ingest.scope import Scope
from stream.clock import Clock
from stream.testing import ManualClock
from tests.ingest.fake_apiserver import FakeApiServer

BY_NAME: dict[str, Resource] = {each.name: each for each in (NAMESPACES, *RESOURCES, *OPTIONAL)}
START = 1_760_000_000.0


_a_while = partial(asyncio.sleep, 0.05)  # for servers of other processes
_a_moment = partial(asyncio.sleep, 0.001)  # for sockets, which set no Event


async def eventually(holds: Callable[[], object], within: float = 10.0) -> None:
    """Let sockets and tasks run until something holds; real seconds bound it, never pace it."""
    try:
        async with asyncio.timeout(within):
            while not holds():
                await _a_moment()
    except TimeoutError:
        raise AssertionError("it did not come to hold") from None


async def until(holds: Callable[[], Awaitable[bool]], within: float = 30.0) -> None:
    """Ask a real server again and again until it says so; bounded like `eventually`."""
    try:
        async with asyncio.timeout(within):
            while not await holds():
                await _a_while()
    except TimeoutError:
        raise AssertionError("it did not come to hold") from None


class Observer:
    """Takes facts and believes them."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.objects: dict[str, str] = {}  # uid → resourceVersion
        self.events: list[tuple[str, str]] = []  # type, name
        self.gaps: list[tuple[float, float, str]] = []  # since, at, reason

    async def emit(self, fact: Fact) -> None:
        self.facts.append(fact)
        item = json.loads(bytes(fact.object))
        if fact.type == "ERROR":
            self.gaps.append((item["details"]["since"], fact.at, item["reason"]))
            return
        metadata = item["metadata"]
        uid, version = metadata["uid"], metadata["resourceVersion"]
        self.events.append((fact.type, metadata["name"]))
        known = uid in self.objects
        if fact.type == "DELETED":
            assert known, f"{metadata['name']} was never there"
            del self.objects[uid]
            return
        if fact.type != "LIST":  # a first list that begins again may repeat what changed meanwhile
            assert known == (fact.type == "MODIFIED"), f"false {fact.type} of {metadata['name']}"
        assert self.objects.get(uid) != version, f"{metadata['name']} twice at {version}"
        self.objects[uid] = version

    def names(self, kind: str) -> list[str]:
        return [name for type_, name in self.events if type_ == kind]


async def nothing() -> None:
    """There is always room."""


class Watched(Observer):
    """One reflector on one server, with the clock in hand."""

    clock: ManualClock
    cluster: Cluster
    reflector: Reflector
    waits = 0  # that have passed

    async def wait(self) -> float:
        """Wait until it waits, and let that wait pass; return its seconds."""
        status = self.reflector.status
        await eventually(lambda: status.counts["waits"] > self.waits)
        self.waits += 1
        assert status.retry_at is not None
        seconds = status.retry_at - self.clock.now()
        self.clock.advance(seconds)
        return seconds

    async def watching(self, server: FakeApiServer) -> None:
        """Wait until the list is complete and the watch is open, on both sides."""
        await eventually(lambda: server.watching and self.reflector.status.phase == "watching")

    async def recovers(self, holds: Callable[[], object]) -> None:
        """Let waits pass, as many as come, until something holds."""
        status = self.reflector.status
        async with asyncio.timeout(10.0):
            while not holds():
                if status.counts["waits"] > self.waits:
                    await self.wait()
                await _a_moment()

    async def is_still(self, phase: str) -> None:
        """Let everything run that can, and find the phase unchanged."""
        for _ in range(50):
            await _a_moment()
        assert self.reflector.status.phase == phase

    async def live_on(self, server: FakeApiServer, minutes: int) -> None:
        """Let time pass in which the server sends a bookmark every minute."""
        counts = self.reflector.status.counts
        for _ in range(minutes):
            await self.watching(server)
            before = counts["bookmarks"]
            self.clock.advance(60.0)
            await server.bookmark()
            await eventually(lambda before=before: counts["bookmarks"] > before)

    async def equals(self, state: Callable[[], dict[str, str]]) -> None:
        await eventually(lambda: self.objects == state())


async def connect(server: FakeApiServer, folder: Path, clock: Clock, token: str = "") -> Cluster:
    path = server.kubeconfig(folder / "kubeconfig", token)
    return await Cluster.connect(ClusterSettings("prod", kubeconfig=path), clock)


@asynccontextmanager
async def watched(
    server: FakeApiServer,
    folder: Path,
    resource: str = "pods",
    *,
    settings: ReflectSettings | None = None,
    scope: Scope | None = None,
    since: float | None = None,
    token: str = "",
) -> AsyncIterator[Watched]:
    """Run a reflector against the fake until the block ends."""
    observer = Watched()
    observer.clock = ManualClock(START)
    observer.cluster = await connect(server, folder, observer.clock, token)
    observer.reflector = Reflector(
        observer.cluster,
        BY_NAME[resource],
        observer.clock,
        observer.emit,
        nothing,
        settings=settings or ReflectSettings(),
        scope=scope,
        since=since,
        chance=random.Random(7),
    )
    task = asyncio.create_task(observer.reflector.run())
    try:
        yield observer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await observer.cluster.aclose()

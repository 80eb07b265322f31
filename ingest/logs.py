"""Last words: the end of the log of a container that has just been restarted.

Opt-in, for it needs the right to read ``pods/log``. A container whose `restartCount` has risen is
asked for the log of the one before it; the text is redacted here, before anything else sees it, and
travels as a fact of its own behind the pod's, so it delays nothing and a tape has it too.

Guaranteed: bounded in every way: `lines` and `SIZE` per log, `concurrency` requests at a time, one
a minute for one container, `per_minute` in all; what is beyond is counted and left out. A log that
cannot be had (the node has forgotten it) costs nothing but that. Left to others: what it is worth
(`stream.operators.restarts`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from pydantic import Field

from ingest.answers import Denied
from ingest.cluster import Cluster
from ingest.facts import Fact
from ingest.health import Status
from ingest.redact import redact
from stream.clock import Clock
from stream.errors import ForewarnError

log = logging.getLogger(__name__)

SIZE: Final = 16 * 1024  # bytes of one log; a stack trace, and little that is private
_PAUSE: Final = 60.0  # seconds between two logs of one container: a crash loop repeats itself
_WAIT: Final = 10.0  # seconds for one answer
_CAPACITY: Final = 20_000  # containers that have restarted; the longest unobserved go first
_WAITING: Final = 100  # containers whose turn has not come


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is kept as evidence of a restart, beside how the container ended."""

    tail: bool = False
    """Read the log of the container before, on a restart; needs the right to ``pods/log``."""
    events: Annotated[int, Field(ge=0, le=20)] = 0
    """Newest Events of the pod that are kept beside a restart, Warnings and Killing; 0: none."""
    lines: Annotated[int, Field(ge=1, le=200)] = 20
    """Lines of one log, the last ones."""
    per_minute: Annotated[int, Field(ge=1)] = 30
    """Most logs that are read in a minute, per cluster."""
    concurrency: Annotated[int, Field(ge=1)] = 4
    """Logs that are read at the same time, per cluster."""


class _Metadata(msgspec.Struct, gc=False):
    uid: str
    name: str
    namespace: str = ""


class _Container(msgspec.Struct, gc=False, rename="camel"):
    name: str
    restart_count: int = 0


class _Status(msgspec.Struct, gc=False, rename="camel"):
    container_statuses: list[_Container] | None = None
    init_container_statuses: list[_Container] | None = None


class _Pod(msgspec.Struct, gc=False):
    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)


_pod: Final = msgspec.json.Decoder(_Pod).decode


class _Known(msgspec.Struct, gc=False):
    count: int
    read_at: float = 0.0


class LogReader:
    """Reads last words in one cluster.

    Parameters
    ----------
    offer
        Takes a fact if there is room, and says whether there was.

    Attributes
    ----------
    status
        What it is doing. Its counts: tails, failures, dropped (too many at once).
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        offer: Callable[[Fact], bool],
        settings: LogSettings,
    ) -> None:
        self.status = Status(cluster.name, "logs", required=False)
        self._cluster = cluster
        self._clock = clock
        self._offer = offer
        self._settings = settings
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._waiting: deque[tuple[_Metadata, _Container]] = deque()
        self._came = asyncio.Event()
        self._read: deque[float] = deque(maxlen=settings.per_minute)  # when each was begun
        self._told = ""

    def note(self, fact: Fact) -> None:
        """Look whether a container has restarted; an unreadable pod is left to others."""
        try:
            pod = _pod(fact.object)
        except (ValueError, RecursionError):
            return
        containers = (
            *(pod.status.container_statuses or ()),
            *(pod.status.init_container_statuses or ()),
        )
        for each in containers:
            if each.restart_count or fact.type == "DELETED":
                self._note(pod.metadata, each, fact)

    def _note(self, pod: _Metadata, container: _Container, fact: Fact) -> None:
        key = (pod.uid, container.name)
        if fact.type == "DELETED":
            self._known.pop(key, None)
            return
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Known(0)
            if len(self._known) > _CAPACITY:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        risen = container.restart_count > known.count and fact.type != "LIST"
        known.count = container.restart_count
        if not risen or fact.at - known.read_at < _PAUSE:
            return
        if len(self._waiting) >= _WAITING:
            self.status.counts["dropped"] += 1
            return
        known.read_at = fact.at
        self._waiting.append((pod, container))
        self._came.set()

    async def run(self) -> None:
        """Read until cancelled."""
        self.status.phase = "sampling"
        self.status.listed_at = self._clock.now()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.concurrency):
                    group.create_task(self._serve())
        finally:
            self.status.phase = "stopped"

    async def _serve(self) -> None:
        while True:
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            now = self._clock.now()
            full = len(self._read) == self._settings.per_minute
            if full and now - self._read[0] < _PAUSE:
                self._waiting.popleft()
                self.status.counts["dropped"] += 1
                continue
            self._read.append(now)
            await self._tail(*self._waiting.popleft())

    async def _tail(self, pod: _Metadata, container: _Container) -> None:
        try:
            text = await self._ask(pod, container.name)
        except ForewarnError as error:
            self.status.counts["failures"] += 1
            if isinstance(error, Denied) and str(error) != self._told:
                self._told = self.status.reason = str(error)
                log.warning("%s", error)
            return
        self.status.heard_at = now = self._clock.now()
        content = {
            "namespace": pod.namespace,
            "pod": pod.name,
            "uid": pod.uid,
            "container": container.name,
            "restartCount": container.restart_count,
            "text": redact(text),
        }
        raw = msgspec.Raw(msgspec.json.encode(content))
        taken = self._offer(Fact(now, self._cluster.name, "logs", "SAMPLE", raw))
        self.status.counts["tails" if taken else "dropped"] += 1

    async def _ask(self, pod: _Metadata, container: str) -> str:
        params = [
            ("container", container),
            ("previous", "true"),
            ("tailLines", str(self._settings.lines)),
            ("limitBytes", str(SIZE)),
        ]
        async with self._cluster.request(
            "GET",
            f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/log",
            verb="get",
            resource="pods/log",
            params=params,
            wait=_WAIT,
        ) as reply:
            body = await reply.body(2 * SIZE, _WAIT)
        return body[:SIZE].decode(errors="replace")

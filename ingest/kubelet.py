"""Samples of nodes: what kubelets say of cpu, memory, disk, inodes, PIDs, volumes and containers.

Every `interval` each kubelet is asked for ``/stats/summary``, directly. The nodes are those that
the reflector knows, so no list is made for it. Where that cannot be had, metrics.k8s.io gives cpu
and memory, and no disk, which is said. The API server's proxy is used only where it was chosen: it
needs ``nodes/proxy``, which also permits exec.

Guaranteed: a cycle never waits for a kubelet; a slow or dead one is asked alone, less and less
often (up to every tenth cycle), and holds one of few separate slots, so that it delays nobody. At
most one request per node is under way, and per cycle at most two lists of metrics.k8s.io. A sample
that finds the buffer full is dropped, and said as a gap once there is room.

Left to others: what a sample means (`ingest.usage`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

import msgspec
from pydantic import Field

from ingest.answers import Denied
from ingest.cluster import Cluster, Trust
from ingest.facts import Fact, Kind
from ingest.gaps import gap_object
from ingest.health import Status
from stream.clock import Clock
from stream.errors import ForewarnError

log = logging.getLogger(__name__)

_SEEN_BY: Final = ("InternalIP", "Hostname", "InternalDNS", "ExternalIP")  # as the API server tries
_RAREST: Final = 10  # cycles between two tries of a kubelet that never answers
_METRICS: Final = "/apis/metrics.k8s.io/v1beta1"
NO_DISK: Final = "samples come from metrics.k8s.io: cpu and memory only, no disk, inodes or volumes"


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """Where samples come from."""

    source: Literal["auto", "summary", "proxy", "metrics", "off"] = "auto"
    """`summary`: each kubelet directly; `metrics`: metrics.k8s.io, which knows no disk; `auto`: the
    first, and the second for what it does not give; `proxy`: kubelets through the API server, which
    needs the right to ``nodes/proxy`` and so to exec."""
    trust: Trust = field(default_factory=Trust)
    """How kubelets prove themselves; many have certificates of their own making."""
    interval: Annotated[float, Field(ge=1)] = 30.0
    """Seconds between two samples of a node."""
    timeout: Annotated[float, Field(gt=0)] = 10.0
    """Seconds for one answer, whole."""
    concurrency: Annotated[int, Field(ge=1)] = 16
    """Kubelets asked at the same time; a fourth as many again for those that failed last time."""
    limit: Annotated[int, Field(ge=4096)] = 16 * 1024 * 1024
    """Longest answer in bytes; some 5 KB per container are usual."""


class _Address(msgspec.Struct, gc=False):
    type: str = ""
    address: str = ""


class _Endpoint(msgspec.Struct, gc=False):
    port: int = msgspec.field(default=10250, name="Port")


class _Endpoints(msgspec.Struct, gc=False):
    kubelet: _Endpoint = msgspec.field(default_factory=_Endpoint, name="kubeletEndpoint")


class _NodeStatus(msgspec.Struct, gc=False):
    addresses: list[_Address] | None = None
    endpoints: _Endpoints = msgspec.field(default_factory=_Endpoints, name="daemonEndpoints")


class _Named(msgspec.Struct, gc=False):
    name: str = ""


class _Node(msgspec.Struct, gc=False):
    metadata: _Named
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


class _Item(msgspec.Struct, gc=False):
    metadata: _Named


class _Items(msgspec.Struct, gc=False):
    items: list[msgspec.Raw] | None = None


class _Document(msgspec.Struct, gc=False):
    node: _Named | None = None


_node: Final = msgspec.json.Decoder(_Node).decode
_item: Final = msgspec.json.Decoder(_Item).decode
_items: Final = msgspec.json.Decoder(_Items).decode
_document: Final = msgspec.json.Decoder(_Document).decode  # reads to the end: all of it is JSON


class _Kubelet:
    """One node's, and how it has behaved."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.failures = 0  # in a row
        self.pause = 0  # cycles to leave out
        self.busy = False
        self.answered_at: float | None = None


class Sampler:
    """Samples all nodes of one cluster.

    Parameters
    ----------
    cluster
        Connected.
    offer
        Takes a fact if there is room, and says whether there was (`ingest.buffer`).

    Attributes
    ----------
    status
        What it is doing. Its counts: samples, failures, late (still under way from the cycle
        before), dropped, metrics.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        offer: Callable[[Fact], bool],
        settings: KubeletSettings = KubeletSettings(),
    ) -> None:
        self.status = Status(cluster.name, "summary", 3 * settings.interval, required=False)
        self._cluster = cluster
        self._clock = clock
        self._offer = offer
        self._settings = settings
        self._kubelets: dict[str, _Kubelet] = {}
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._slots_of_failing = asyncio.Semaphore(max(1, settings.concurrency // 4))
        self._tasks: set[asyncio.Task[None]] = set()
        self._full_since: float | None = None
        self._told: dict[str, str] = {}  # about kubelets, about what stands in for them

    def note(self, fact: Fact) -> None:
        """Learn a node's address from a fact about it; an unreadable one is left to others."""
        try:
            node = _node(fact.object)
        except (ValueError, RecursionError):
            return
        name = node.metadata.name
        if fact.type == "DELETED":
            self._kubelets.pop(name, None)
            return
        url = _url(node)
        before = self._kubelets.get(name)
        if before is None:
            self._kubelets[name] = _Kubelet(url)
        else:
            before.url = url

    async def run(self) -> None:
        """Sample every `interval` seconds until cancelled."""
        if self._settings.source == "off":
            return
        self.status.phase = "sampling"
        due = self._clock.now()
        try:
            while True:
                await self.cycle()
                self.status.listed_at = self._clock.now()
                due = max(due + self._settings.interval, self._clock.now())
                await self._clock.sleep_until(due)
        finally:
            self.status.phase = "stopped"
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cycle(self) -> None:
        """Begin one request per kubelet that is due, and fetch once what kubelets do not give."""
        source = self._settings.source
        if source != "metrics":
            if not any(each.failures for each in self._kubelets.values()):
                self._told.clear()
                self.status.reason = ""
            for name, kubelet in list(self._kubelets.items()):
                self._begin(name, kubelet)
        stale = self._stale()
        if source in ("auto", "metrics") and stale:
            await self._fall_back(stale)

    async def settle(self) -> None:
        """Wait until no request is under way."""
        await asyncio.gather(*self._tasks)

    # ---- kubelets ---------------------------------------------------------------------------

    def _begin(self, name: str, kubelet: _Kubelet) -> None:
        if kubelet.busy:
            self.status.counts["late"] += 1
        elif kubelet.pause:
            kubelet.pause -= 1
        else:
            kubelet.busy = True
            task = asyncio.ensure_future(self._ask(name, kubelet))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, name: str, kubelet: _Kubelet) -> None:
        try:
            async with self._slots_of_failing if kubelet.failures else self._slots:
                body = await self._summary(name, kubelet)
            _document(body)
        except (ForewarnError, ValueError, RecursionError) as error:
            self.status.counts["failures"] += 1
            kubelet.failures += 1
            kubelet.pause = min(2 ** (kubelet.failures - 1), _RAREST) - 1
            if isinstance(error, Denied) or kubelet.failures == 1:
                self._tell("kubelets", str(error))
        else:
            kubelet.failures = kubelet.pause = 0
            self.status.heard_at = kubelet.answered_at = self._clock.now()
            self._give("summary", msgspec.Raw(body), name)
        finally:
            kubelet.busy = False

    async def _summary(self, name: str, kubelet: _Kubelet) -> bytes:
        settings, proxied = self._settings, self._settings.source == "proxy"
        async with self._cluster.request(
            "GET",
            f"/api/v1/nodes/{name}/proxy/stats/summary" if proxied else "/stats/summary",
            verb="get",
            resource="nodes/proxy" if proxied else "nodes/stats",
            host="" if proxied else kubelet.url,
            trust=None if proxied else settings.trust,
            wait=settings.timeout,
        ) as reply:
            return await reply.body(settings.limit, settings.timeout)

    # ---- metrics.k8s.io ---------------------------------------------------------------------

    def _stale(self) -> set[str]:
        """Return the nodes whose kubelet has not answered of late, though it was asked."""
        fresh = self._clock.now() - 2 * self._settings.interval
        only_metrics = self._settings.source == "metrics"
        return {
            name
            for name, each in self._kubelets.items()
            if only_metrics or (each.failures and (each.answered_at or 0.0) < fresh)
        }

    async def _fall_back(self, stale: set[str]) -> None:
        try:
            nodes = await self._metrics("nodes")
            # Which node a pod is on metrics.k8s.io does not say: only where no kubelet answers.
            pods = await self._metrics("pods") if len(stale) == len(self._kubelets) else []
        except (ForewarnError, ValueError, RecursionError) as error:
            self._tell("metrics", f"no samples of {len(stale)} nodes: {error}")
            return
        self._tell("metrics", NO_DISK if pods else f"{len(stale)} nodes: {NO_DISK}")
        for item in nodes:
            if _item(item).metadata.name in stale:
                self._give("metrics", item, _item(item).metadata.name)
        for item in pods:
            self._give("metrics", item, "")

    async def _metrics(self, what: str) -> list[msgspec.Raw]:
        self.status.counts["metrics"] += 1
        body = await self._cluster.json(
            f"{_METRICS}/{what}", verb="list", resource=f"{what}.metrics.k8s.io"
        )
        return _items(body).items or []

    # ---- giving -----------------------------------------------------------------------------

    def _give(self, kind: Kind, item: msgspec.Raw, node: str) -> None:
        now, cluster = self._clock.now(), self._cluster.name
        if self._full_since is not None:
            gap = gap_object(self._full_since, "overflow")
            if self._offer(Fact(now, cluster, kind, "ERROR", gap, node)):
                self._full_since = None
        if self._offer(Fact(now, cluster, kind, "SAMPLE", item, node)):
            self.status.counts["samples"] += 1
        else:
            self.status.counts["dropped"] += 1
            if self._full_since is None:
                self._full_since = now

    def _tell(self, about: str, text: str) -> None:
        """Say what is wrong, once for as long as it is the same."""
        if text != self._told.get(about):
            self._told[about] = text
            self.status.reason = "; ".join(self._told[each] for each in sorted(self._told))
            log.warning("samples of %s: %s", self._cluster.name, text)


def _url(node: _Node) -> str:
    addresses = {each.type: each.address for each in node.status.addresses or ()}
    host = next((addresses[kind] for kind in _SEEN_BY if kind in addresses), node.metadata.name)
    port = node.status.endpoints.kubelet.port
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

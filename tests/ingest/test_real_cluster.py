"""A real API server with KWOK: every change is seen exactly once, and etcd is the witness.

Fifty nodes and five hundred pods live through creation, scaling, a release, crashes, a taint and
deletions, with everything watched that can be; then the facts are compared with etcd's own history,
revision by revision. After that the API server is killed, with and without its history. Leaves out
faults that only a fake can show.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import pytest

from ingest.cluster import ClusterSettings
from ingest.facts import Fact
from ingest.kubelet import KubeletSettings
from ingest.lease import Lease, LeaseSettings
from ingest.live import Live, watching
from ingest.resources import Also, watched
from ingest.settings import IngestSettings
from stream.clock import SystemClock
from tests.ingest.control_plane import Admin, ControlPlane, running
from tests.ingest.watching import Observer, eventually, until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ALSO = get_args(Also)
WATCHED = watched(ALSO)
KEYS = {each.name: each.name for each in WATCHED} | {"nodes": "minions"}  # as etcd calls them
NODES, PODS = 50, 500


@pytest.fixture(scope="module")
def scripts(root: Path) -> Path:
    return root / "deploy" / "kubelite" / "cluster"


@pytest.fixture(scope="module")
def plane(kubelite: Path, scripts: Path) -> Iterator[ControlPlane]:
    yield from running(kubelite, scripts)


@pytest.fixture
def some_nodes(plane: ControlPlane, scripts: Path) -> None:
    """Some nodes, where an earlier test has left none."""
    if not plane.kubectl("get", "nodes", "-o", "name"):
        plane.kubectl(
            "create",
            "-f",
            "-",
            text=json.dumps({"kind": "List", "apiVersion": "v1", "items": nodes(scripts, 3)}),
        )


class Audience(Observer):
    """Takes the live stream of a whole cluster, one oracle per resource."""

    live: Live

    def __init__(self) -> None:
        super().__init__()
        self.resources = {each.name: Observer() for each in WATCHED}
        self.told: Counter[tuple[str, str, int]] = Counter()  # resource, object, revision

    async def emit(self, fact: Fact) -> None:
        await self.resources[fact.resource].emit(fact)
        if fact.type == "ERROR":
            return
        metadata = json.loads(bytes(fact.object))["metadata"]
        name = f"{metadata.get('namespace', '')}/{metadata['name']}".lstrip("/")
        self.told[fact.resource, name, int(metadata["resourceVersion"])] += 1

    async def listen(self) -> None:
        while True:
            for fact in await self.live.facts():
                await self.emit(fact)

    async def states(self, admin: Admin) -> bool:
        """Whether every resource is as the server has it."""
        for each in WATCHED:
            if self.resources[each.name].objects != await admin.state(each.path()):
                return False
        return True

    def lost(self) -> set[str]:
        return {name for name, each in self.resources.items() if each.gaps}


@asynccontextmanager
async def audience(plane: ControlPlane) -> AsyncIterator[Audience]:
    seen = Audience()
    settings = IngestSettings(
        (ClusterSettings("real", kubeconfig=plane.kubeconfig),),
        kubelet=KubeletSettings(source="off"),
        also=ALSO,
    )
    async with watching(settings, SystemClock(), chance=random.Random(5)) as seen.live:
        listening = asyncio.create_task(seen.listen())
        try:
            await eventually(
                lambda: all(each.phase == "watching" for each in seen.live.statuses), within=30.0
            )
            yield seen
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


def deployment(name: str, replicas: int, image: str = "v1", **annotations: str) -> dict[str, Any]:
    labels = {"app": name} | ({"test.forewarn.io/crash": "true"} if annotations else {})
    prefixed = {f"test.forewarn.io/{key}": value for key, value in annotations.items()}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "strategy": {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}},
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels, "annotations": prefixed},
                "spec": {"containers": [{"name": "c", "image": f"registry/{name}:{image}"}]},
            },
        },
    }


WHERE = "/apis/apps/v1/namespaces/default/deployments"


async def is_rolled_out(admin: Admin, name: str, where: str = WHERE) -> bool:
    found = await admin.call("GET", f"{where}/{name}")
    status, wanted = found.get("status", {}), found["spec"]["replicas"]
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


def nodes(scripts: Path, count: int = NODES) -> list[dict[str, Any]]:
    command = [sys.executable, str(scripts / "nodes.py"), str(count)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    items: list[dict[str, Any]] = json.loads(listed)["items"]
    return items


def _autoscaler(most: int) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app-3"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "app-3"},
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": most},
    }


def _claim(note: str) -> dict[str, Any]:
    resources = {"requests": {"storage": "1Gi"}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "annotations": {"note": note}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources},
    }


def _config(value: str) -> dict[str, Any]:
    metadata = {"name": "rates"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}


# Where, what is made first, what it becomes.
OPTIONAL = (
    (
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
        _autoscaler(PODS),
        _autoscaler(2 * PODS),
    ),
    ("/api/v1/namespaces/default/persistentvolumeclaims", _claim("one"), _claim("two")),
    ("/api/v1/namespaces/default/configmaps", _config("canary-one"), _config("canary-two")),
)


async def play(plane: ControlPlane, admin: Admin, scripts: Path) -> None:
    """Everything that happens in a cluster's life, in some minutes."""
    there = set(plane.kubectl("get", "nodes", "-o", "name").split())
    for each in nodes(scripts):
        if f"node/{each['metadata']['name']}" not in there:
            await admin.call("POST", "/api/v1/nodes", each)
    names = [f"app-{number}" for number in range(4)]
    for name in names:
        await admin.call("POST", WHERE, deployment(name, PODS // 4))
    crashing = {"crash-after": "1s", "crash-reason": "OOMKilled", "backoff-base": "1"}
    await admin.call("POST", WHERE, deployment("crashing", 3, **crashing))
    for path, first, second in OPTIONAL:
        await admin.call("POST", path, first)
        await admin.call("PUT", f"{path}/{first['metadata']['name']}", second)
    for name in names:
        await until(lambda name=name: is_rolled_out(admin, name), within=240.0)
    await admin.call("PUT", f"{WHERE}/app-0", deployment("app-0", PODS // 8))
    await admin.call("PUT", f"{WHERE}/app-1", deployment("app-1", PODS // 4, image="v2"))
    plane.kubectl("taint", "nodes", "kwok-node-0", "maintenance=true:NoExecute")
    await until(lambda: is_rolled_out(admin, "app-0"), within=240.0)
    await until(lambda: is_rolled_out(admin, "app-1"), within=240.0)
    for name in ("app-2", "crashing"):
        await admin.call("DELETE", f"{WHERE}/{name}")
    await admin.call("DELETE", "/api/v1/nodes/kwok-node-1")
    await admin.call("DELETE", "/api/v1/namespaces/default/configmaps/rates")


async def test_every_change_is_seen_exactly_once_as_etcd_has_it(
    plane: ControlPlane, scripts: Path
) -> None:
    async with plane.admin() as admin, audience(plane) as seen:
        start = await plane.revision()
        await play(plane, admin, scripts)
        await until(lambda: seen.states(admin), within=240.0)
        end = await plane.revision()
        wanted: Counter[tuple[str, str, int]] = Counter()
        for resource, key in KEYS.items():
            prefix = f"/registry/{key}/"
            for name, version in await plane.history(prefix, start, end):
                wanted[resource, name.removeprefix(prefix), version] += 1
        await eventually(lambda: all(seen.told[each] for each in wanted), within=30.0)
        told = {each: times for each, times in seen.told.items() if start < each[2] <= end}
        assert told == wanted
        assert not seen.lost()
        by_resource = Counter(each[0] for each in wanted)
        assert by_resource.keys() >= set(ALSO)
        configs = seen.resources["configmaps"].facts
        assert not any(b"canary" in bytes(fact.object) for fact in configs)
        print(f"\nchanges seen exactly once: {sum(wanted.values())} {dict(by_resource)}")


async def test_an_api_server_killed_and_compacted_leaves_a_gap_and_the_right_state(
    plane: ControlPlane, some_nodes: None
) -> None:
    async with plane.admin() as admin, audience(plane) as seen:
        lists = sum(each.counts["lists"] + each.counts["watches"] for each in seen.live.statuses)
        async with plane.apiserver_away():
            await plane.compact()
        await admin.call("POST", WHERE, deployment("after", 5))
        await until(lambda: is_rolled_out(admin, "after"), within=120.0)
        await until(lambda: seen.states(admin), within=120.0)
        assert seen.lost()
        assert {r for each in seen.resources.values() for _, _, r in each.gaps} == {"Expired"}
        again = sum(each.counts["lists"] + each.counts["watches"] for each in seen.live.statuses)
        relists = [each.counts["restart:expired"] for each in seen.live.statuses]
        assert max(relists) <= 1
        print(
            f"\nafter a kill with compaction: {again - lists} lists and watches, gaps {seen.lost()}"
        )


async def test_an_api_server_that_restarts_is_resumed_with_at_most_one_list_each(
    plane: ControlPlane, some_nodes: None
) -> None:
    async with plane.admin() as admin, audience(plane) as seen:
        async with plane.apiserver_away():
            pass
        await admin.call("POST", WHERE, deployment("restart", 3))
        await until(lambda: is_rolled_out(admin, "restart"), within=120.0)
        await until(lambda: seen.states(admin), within=120.0)
        relists = {each.source: each.counts["restart:expired"] for each in seen.live.statuses}
        assert max(relists.values()) <= 1
        print(f"\nlists anew after a restart: {relists}")


async def test_a_lease_is_held_and_given_back(plane: ControlPlane) -> None:
    async with plane.admin() as admin:
        lease = Lease(admin.cluster, SystemClock(), "me", LeaseSettings(namespace="default"))
        began = asyncio.Event()

        async def work() -> None:
            began.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(lease.lead(work))
        await asyncio.wait_for(began.wait(), 10.0)
        path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/forewarn-ingest"
        assert (await admin.call("GET", path))["spec"]["holderIdentity"] == "me"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert (await admin.call("GET", path))["spec"].get("holderIdentity", "") == ""

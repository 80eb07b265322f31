"""Kubelets that run nothing: they tell the API server what real kubelets would, at a story's pace.

A real control plane does everything else (scheduling, controllers, taints, eviction by taint,
garbage collection), so objects on a tape differ from a live cluster's only in what this file and
`pods.py` write: node and pod status, leases and the events of a kubelet. KWOK could do the plain
part of it; it cannot hold its pods while a node is dead, reboot, forget the back-off, or count
events, and the tape is about those. All times are seconds of the tape unless said otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections import defaultdict
from typing import Any

from api import (
    STRATEGIC,
    ApiError,
    ApiServer,
    Document,
    Pace,
    micro_stamp,
    stamp,
)
from events import EventWriter, Source, node_reference
from pods import Behaviour, PodWorker, Witness

STATUS_PERIOD = 300.0  # kubelet's nodeStatusReportFrequency
LEASE_PERIOD = 1.0  # real seconds: the controller manager's grace period is in real seconds too

CAPACITY = {
    "cpu": "8",
    "memory": "33554432Ki",
    "pods": "110",
    "ephemeral-storage": "104857600Ki",
    "hugepages-2Mi": "0",
}
ALLOCATABLE = {
    "cpu": "7910m",
    "memory": "32505856Ki",
    "pods": "110",
    "ephemeral-storage": "96636764160",
    "hugepages-2Mi": "0",
}

PRESSURES = {
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}


class Kubelet:
    """One node and the pods that are bound to it."""

    def __init__(
        self,
        name: str,
        number: int,
        labels: dict[str, str],
        fleet: Fleet,
    ) -> None:
        self.name = name
        self.number = number
        self.labels = labels
        self.fleet = fleet
        self.up = asyncio.Event()
        self.source = Source("kubelet", name)
        self.images: set[str] = set()
        self.boot = str(fleet.uuid())
        self._conditions: dict[str, Document] = {}
        self._pods = 0

    @property
    def address(self) -> str:
        """The node's internal address."""
        return f"10.20.0.{10 + self.number}"

    def pod_address(self) -> str:
        """Return an address for a new pod."""
        self._pods += 1
        return f"10.244.{self.number}.{self._pods % 250 + 2}"

    async def say(self, level: str, reason: str, message: str) -> None:
        """Emit an event about the node."""
        await self.fleet.events.emit(node_reference(self.name), self.source, level, reason, message)

    async def register(self) -> None:
        """Create the node and its lease, and report it ready."""
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/zone": f"zone-{'abc'[self.number % 3]}",
            **self.labels,
        }
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {"podCIDR": f"10.244.{self.number}.0/24"},
        }
        await self.fleet.api.call("POST", "/api/v1/nodes", node, manager="kubelet")
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": self.name, "leaseDurationSeconds": 40},
        }
        await self.fleet.api.call(
            "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease
        )
        await self.come_up()

    async def come_up(self) -> None:
        """Report for the first time, or after having been down."""
        now = stamp()
        for kind, (reason, message) in PRESSURES.items():
            self._set(kind, "False", reason, message, now)
        self._set("Ready", "True", "KubeletReady", "kubelet is posting ready status", now)
        self.up.set()
        await self._renew_lease()
        await self.say("Normal", "Starting", "Starting kubelet.")
        for suffix in ("SufficientMemory", "NoDiskPressure", "SufficientPID"):
            reason = f"NodeHas{suffix}"
            await self.say("Normal", reason, f"Node {self.name} status is now: {reason}")
        await self.report()

    def go_down(self) -> None:
        """Fall silent: no lease, no status, no pod is touched until `come_up`."""
        self.up.clear()

    async def turn(self, condition: str, status: str, reason: str, message: str) -> None:
        """Change one condition and report it at once, as kubelet does."""
        self._set(condition, status, reason, message, stamp())
        await self.report()

    def _set(self, kind: str, status: str, reason: str, message: str, now: str) -> None:
        before = self._conditions.get(kind)
        changed = before is None or before["status"] != status
        self._conditions[kind] = {
            "type": kind,
            "status": status,
            "lastTransitionTime": now
            if changed or before is None
            else before["lastTransitionTime"],
            "reason": reason,
            "message": message,
        }

    async def report(self) -> None:
        """Post the node's status."""
        now = stamp()
        conditions = [{**item, "lastHeartbeatTime": now} for item in self._conditions.values()]
        status = {
            "capacity": CAPACITY,
            "allocatable": ALLOCATABLE,
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": hashlib.md5(self.name.encode()).hexdigest(),
                "systemUUID": hashlib.md5(self.name.encode()).hexdigest(),
                "bootID": self.boot,
                "kernelVersion": "6.12.57-cloud-amd64",
                "osImage": "Debian GNU/Linux 13 (trixie)",
                "containerRuntimeVersion": "containerd://2.2.1",
                "kubeletVersion": "v1.36.3",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        }
        await self.fleet.api.raw(
            "PATCH",
            f"/api/v1/nodes/{self.name}/status",
            {"status": status},
            content=STRATEGIC,
            manager="kubelet",
        )

    async def _renew_lease(self) -> None:
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.name}"
        change = {"spec": {"renewTime": micro_stamp()}}
        await self.fleet.api.raw("PATCH", path, change, content=STRATEGIC, manager="kubelet")

    async def beat(self) -> None:
        """Renew the lease and post the status, for as long as the task lives."""
        pace = self.fleet.pace
        next_report = time.time() + pace_offset(self.number, pace)
        while True:
            await asyncio.sleep(LEASE_PERIOD)
            if not self.up.is_set():
                continue
            await self._renew_lease()
            if time.time() >= next_report:
                next_report += STATUS_PERIOD / pace.factor
                await self.report()


def pace_offset(number: int, pace: Pace) -> float:
    """Real seconds by which a node's status reports are shifted against the other nodes'."""
    return number * 47.0 / pace.factor


class Fleet:
    """All kubelets of the cluster, fed by one watch of the pods."""

    def __init__(
        self,
        api: ApiServer,
        events: EventWriter,
        pace: Pace,
        behaviour: Behaviour,
        witness: Witness,
        seed: int,
    ) -> None:
        self.api = api
        self.events = events
        self.pace = pace
        self.behaviour = behaviour
        self.witness = witness
        self.random = random.Random(seed)
        self.kubelets: dict[str, Kubelet] = {}
        self.workers: dict[str, PodWorker] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.troubles: dict[str, int] = defaultdict(int)

    def uuid(self) -> str:
        """Return a uuid from the seeded generator."""
        digits = f"{self.random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    async def start(self, nodes: dict[str, dict[str, str]]) -> None:
        """Register the nodes and begin to play their pods."""
        for number, (name, labels) in enumerate(nodes.items(), start=1):
            kubelet = Kubelet(name, number, labels, self)
            self.kubelets[name] = kubelet
            await kubelet.register()
            self.spawn(kubelet.beat())
        self.spawn(self._follow_pods())

    def stop(self) -> None:
        """Cancel everything that is being played."""
        for task in list(self._tasks):
            task.cancel()

    def spawn(self, work: Any) -> None:
        """Play a coroutine beside the others; an API error in it is counted, not raised."""
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except ApiError as error:
            self.troubles[str(error)[:160]] += 1
            print(f"  trouble: {error}", flush=True)

    def of(self, app: str) -> list[PodWorker]:
        """Return the pods of one app that are not being deleted, by name."""
        found = [w for w in self.workers.values() if w.app == app and not w.leaving]
        return sorted(found, key=lambda w: w.name)

    def on(self, node: str) -> list[PodWorker]:
        """Return the pods on one node that are not being deleted, by name."""
        found = [w for w in self.workers.values() if w.kubelet.name == node and not w.leaving]
        return sorted(found, key=lambda w: w.name)

    async def _follow_pods(self) -> None:
        listed = await self.api.call("GET", "/api/v1/pods")
        for pod in listed["items"]:
            self._see("ADDED", pod)
        query = {
            "resourceVersion": listed["metadata"]["resourceVersion"],
            "timeoutSeconds": "86400",
        }
        async for line in self.api.watch("/api/v1/pods", query):
            seen = json.loads(line)
            self._see(seen["type"], seen["object"])

    def _see(self, kind: str, pod: Document) -> None:
        uid = pod["metadata"]["uid"]
        worker = self.workers.get(uid)
        if kind == "DELETED":
            if worker is not None:
                worker.gone = True
                worker.interrupt("gone")
                del self.workers[uid]
            return
        node = pod["spec"].get("nodeName")
        if worker is None:
            if node in self.kubelets:
                worker = PodWorker(self.kubelets[node], pod)
                self.workers[uid] = worker
                self.spawn(worker.run())
            else:
                return
        worker.pod = pod
        if pod["metadata"].get("deletionTimestamp") and not worker.leaving:
            worker.leaving = True
            worker.interrupt("delete")

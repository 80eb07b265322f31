"""Two days in the life of a cluster: who does what at which hour, and what of it deserves an alert.

Each act is one coroutine that waits for its hour, acts through the API server as the person,
controller or kubelet that would, and notes the truth about it. Hours are the tape's. Acts do not
know of each other; whatever one does to another's pods (a drain meets the leak) happens as it would
in a cluster.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace

from api import MERGE, ApiServer, Document, Pace
from events import EventWriter
from kubelets import Fleet
from noise import Noise
from pods import Life, PodWorker
from workloads import Workload, by_name, job, manifest

LENGTH = 48.0  # hours
BAD_IMAGE = "registry.example.com/shop/checkout:v42"
LEAK_HOURS = (6.6, 7.1, 7.6)  # from start to the limit, by pod in turn
TICKER_SECONDS = 2700.0


@dataclass
class Truth:
    """One labelled span; `start`, `end` and `moments` are real Unix seconds until stretched."""

    id: str
    kind: str  # incident or benign
    what: str
    object: str
    start: float
    end: float
    note: str = ""
    moments: list[float] = field(default_factory=list)


class Story:
    """The acts, and what they noted."""

    def __init__(
        self, api: ApiServer, events: EventWriter, fleet: Fleet, kubectl: list[str], seed: int
    ) -> None:
        self.api = api
        self.events = events
        self.fleet = fleet
        self.kubectl_command = kubectl
        self.truths: list[Truth] = []
        self.deaths: list[tuple[str, str, float]] = []
        self.random = random.Random(seed)
        self.noise = Noise(api, events, fleet, seed + 1)

    @property
    def pace(self) -> Pace:
        """The relation of real time to the tape."""
        return self.fleet.pace

    async def run(self) -> None:
        """Play every act to the end of the story."""
        acts: list[Callable[[], Awaitable[None]]] = [
            self.bad_release,
            self.good_releases,
            self.scaling,
            self.reports,
            self.drain,
            self.reboot,
            self.node_failure,
            self.disk_pressure,
            self.quota,
            *self.noise.acts(),
        ]
        tasks = [asyncio.create_task(self._play(act)) for act in acts]
        await self.pace.until(LENGTH)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._note_deaths()

    async def _play(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except Exception as error:  # the other acts go on; the recording's summary names this one
            self.fleet.troubles[f"{act.__name__}: {error!r}"[:200]] += 1
            print(f"  act {act.__name__} failed: {error!r}", flush=True)

    def say(self, text: str) -> None:
        """Print a line with the hour."""
        print(f"  h{self.pace.hour():05.2f} {text}", flush=True)

    async def kubectl(self, *arguments: str) -> None:
        """Run the real kubectl, as a person would."""
        process = await asyncio.create_subprocess_exec(
            *self.kubectl_command,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {output.decode()[-300:]}")

    # The lives of containers

    def behaviour(self, pod: Document, lives: int) -> Life:
        """Decide what a pod's container does this time; the kubelets ask."""
        app = pod["metadata"].get("labels", {}).get("app.kubernetes.io/name", "")
        image = pod["spec"]["containers"][0]["image"]
        if image == BAD_IMAGE:
            return Life(self.random.uniform(32.0, 44.0), 1, "Error", ready=False)
        if app == "ledger":
            turn = int(pod["metadata"]["uid"][:8], 16) % len(LEAK_HOURS)
            hours = LEAK_HOURS[turn] * self.random.uniform(0.97, 1.03)
            return Life(hours * 3600, 137, "OOMKilled")
        if app == "ticker":
            return Life(TICKER_SECONDS * self.random.uniform(0.95, 1.05), 0, "Completed")
        if app == "report":
            return Life(self.random.uniform(600.0, 900.0), 0, "Completed")
        if app == "canary":
            return Life(ready=False)
        return Life()

    def witness(self, what: str, pod: Document, when: float) -> None:
        """Keep each death for the truth."""
        meta = pod["metadata"]
        app = meta.get("labels", {}).get("app.kubernetes.io/name", "")
        self.deaths.append((app, what, when))
        if what == "OOMKilled":
            self.say(f"{meta['namespace']}/{meta['name']} OOMKilled")

    def _moments(self, app: str, what: str) -> list[float]:
        return [when for who, how, when in self.deaths if (who, how) == (app, what)]

    def _note_deaths(self) -> None:
        end = time.time()
        self.truths.append(
            Truth(
                "canary-unhealthy",
                "benign",
                "a test pod whose readiness probe has always failed",
                "Deployment platform/canary",
                self.pace.began,
                end,
            )
        )
        kills = self._moments("ledger", "OOMKilled")
        self.truths.append(
            Truth(
                "ledger-leak",
                "incident",
                "memory grows to its 512Mi limit in about 7 h, then OOMKilled, again and again",
                "Deployment payments/ledger",
                self.pace.began,
                end,
                "moments are the kills; each can be forecast for hours before",
                kills,
            )
        )
        self.truths.append(
            Truth(
                "ticker-exits-0",
                "benign",
                "the process ends with exit code 0 about every 45 min and is started again",
                "Deployment platform/ticker",
                self.pace.began,
                end,
                moments=self._moments("ticker", "exit 0"),
            )
        )

    # Releases and scaling

    async def release(self, workload: Workload) -> None:
        """Apply a workload in its new version."""
        await self.api.apply(workload.path, manifest(workload), workload.manager)

    async def bad_release(self) -> None:
        """Release checkout v42, which crashes, and roll it back three hours later."""
        await self.pace.until(2.0)
        start = time.time()
        checkout = by_name("checkout")
        bad = replace(checkout, version="v42", cause="release v42: new tax rules")
        self.say("bad release of shop/checkout: v41 to v42")
        await self.release(bad)
        await self.pace.until(5.0)
        self.say("rollback of shop/checkout")
        await self.kubectl("rollout", "undo", "deployment/checkout", "-n", "shop")
        self.truths.append(
            Truth(
                "checkout-v42",
                "incident",
                "release v42 crash-loops (exit code 1), the rolling update stalls; rolled back",
                "Deployment shop/checkout",
                start,
                time.time(),
                "cause: image v41 to v42 by argocd-controller",
                self._moments("checkout", "Error"),
            )
        )
        await self.pace.until(27.5)
        await self.good_release(
            replace(checkout, version="v43", cause="release v43: tax rules, fixed")
        )

    async def good_release(self, workload: Workload) -> None:
        """Release a version that works."""
        start = time.time()
        self.say(f"good release of {workload.namespace}/{workload.name}: {workload.version}")
        await self.release(workload)
        await self.pace.wait(1200)
        self.truths.append(
            Truth(
                f"{workload.name}-{workload.version}",
                "benign",
                f"clean rolling update to {workload.version}",
                f"{workload.kind} {workload.namespace}/{workload.name}",
                start,
                time.time(),
            )
        )

    async def good_releases(self) -> None:
        """Release working versions at several hours."""
        releases = (
            (1.0, "cart", "v78"),
            (8.2, "frontend", "v119"),
            (10.5, "gateway", "v56"),
            (13.0, "search", "v10"),
            (15.5, "frontend", "v120"),
            (24.8, "node-agent", "v0.31"),
            (32.2, "frontend", "v121"),
            (38.4, "gateway", "v57"),
            (40.6, "cart", "v79"),
        )
        # Whoever holds a field's latest value releases the next version from there.
        for hour, name, version in releases:
            await self.pace.until(hour)
            cause = f"release {version}"
            replicas = await self._replicas(by_name(name))
            changed = replace(by_name(name), version=version, cause=cause, replicas=replicas)
            await self.good_release(changed)

    async def _replicas(self, workload: Workload) -> int:
        if workload.kind == "DaemonSet":
            return 0
        found = await self.api.call("GET", workload.path)
        return int(found["spec"]["replicas"])

    async def scaling(self) -> None:
        """Scale Deployments up and down, by a person and by an autoscaler."""
        steps = (
            (6.5, "frontend", 7, "horizontal-pod-autoscaler"),
            (12.2, "fraud", 3, "kubectl"),
            (18.6, "frontend", 5, "horizontal-pod-autoscaler"),
            (22.0, "fraud", 2, "kubectl"),
            (30.8, "frontend", 7, "horizontal-pod-autoscaler"),
            (36.1, "gateway", 4, "kubectl"),
            (42.7, "frontend", 5, "horizontal-pod-autoscaler"),
            (44.0, "gateway", 3, "kubectl"),
        )
        for hour, name, replicas, manager in steps:
            await self.pace.until(hour)
            await self.scale(by_name(name), replicas, manager)

    async def scale(self, workload: Workload, replicas: int, manager: str) -> None:
        """Set the replicas through the scale subresource."""
        self.say(f"{manager} scales {workload.namespace}/{workload.name} to {replicas}")
        change = {"spec": {"replicas": replicas}}
        path = f"{workload.path}/scale"
        await self.api.raw("PATCH", path, change, content=MERGE, manager=manager)
        now = time.time()
        what = f"scaled to {replicas} by {manager}"
        place = f"{workload.kind} {workload.namespace}/{workload.name}"
        end = now + 600 / self.pace.factor
        self.truths.append(
            Truth(
                f"{workload.name}-scale-{replicas}-{int(self.pace.hour())}",
                "benign",
                what,
                place,
                now,
                end,
            )
        )

    # Jobs

    async def reports(self) -> None:
        """Start a Job every two hours and keep the last three."""
        start, number = time.time(), 0
        path = "/apis/batch/v1/namespaces/batch/jobs"
        hour = 0.4
        while hour < LENGTH:
            await self.pace.until(hour)
            if hour < 0.5:
                self.truths.append(
                    Truth(
                        "report-jobs",
                        "benign",
                        "a Job every 2 h whose pod ends with exit code 0",
                        "Job batch/report-*",
                        start,
                        self.pace.began + LENGTH * 3600 / self.pace.factor,
                    )
                )
            await self.api.call("POST", path, job(f"report-{29384400 + 120 * number}"))
            if number >= 3:  # successfulJobsHistoryLimit
                old = f"{path}/report-{29384400 + 120 * (number - 3)}"
                await self.api.raw("DELETE", old, propagationPolicy="Background")
            number += 1
            hour += 2.0

    # Nodes

    async def drain(self) -> None:
        """Drain node-2 for an hour."""
        await self.pace.until(20.0)
        start = time.time()
        self.say("drain of node-2")
        await self.kubectl("drain", "node-2", "--ignore-daemonsets", "--delete-emptydir-data")
        await self.pace.until(21.0)
        self.say("uncordon of node-2")
        await self.kubectl("uncordon", "node-2")
        self.truths.append(
            Truth(
                "drain-node-2",
                "benign",
                "a person drains node-2 for an hour; its pods move",
                "Node node-2",
                start,
                time.time(),
            )
        )

    async def reboot(self) -> None:
        """Reboot node-5."""
        await self.pace.until(30.0)
        start = time.time()
        kubelet = self.fleet.kubelets["node-5"]
        self.say("reboot of node-5")
        await kubelet.turn("Ready", "False", "KubeletNotReady", "node is shutting down")
        kubelet.go_down()
        for worker in self.fleet.on("node-5"):
            worker.interrupt("reboot")
        await asyncio.sleep(3.5)  # real seconds: below the pods' toleration
        kubelet.boot = self.fleet.uuid()
        message = f"Node node-5 has been rebooted, boot id: {kubelet.boot}"
        await kubelet.come_up()
        await kubelet.say("Warning", "Rebooted", message)
        self.truths.append(
            Truth(
                "reboot-node-5",
                "benign",
                "node-5 reboots; each of its containers restarts once with exit code 255",
                "Node node-5",
                start,
                time.time(),
                "a short NotReady of the node is true; a restart burst of its pods is not",
            )
        )

    async def node_failure(self) -> None:
        """Let node-1 fall silent for three hours."""
        await self.pace.until(34.0)
        start = time.time()
        kubelet = self.fleet.kubelets["node-1"]
        self.say("node-1 fails")
        kubelet.go_down()
        await self.pace.until(37.0)
        self.say("node-1 comes back")
        for worker in self.fleet.on("node-1"):
            worker.interrupt("reboot")
        kubelet.boot = self.fleet.uuid()
        await kubelet.come_up()
        await kubelet.say(
            "Warning", "Rebooted", f"Node node-1 has been rebooted, boot id: {kubelet.boot}"
        )
        self.truths.append(
            Truth(
                "node-1-down",
                "incident",
                "node-1 stops answering (Ready Unknown); its pods are evicted and replaced",
                "Node node-1",
                start,
                time.time(),
            )
        )

    async def disk_pressure(self) -> None:
        """Put node-4 under disk pressure and evict from it."""
        start = self.pace.began + 8.0 * 3600 / self.pace.factor
        await self.pace.until(42.0)
        kubelet = self.fleet.kubelets["node-4"]
        self.say("node-4 is under disk pressure")
        await kubelet.say(
            "Warning", "EvictionThresholdMet", "Attempting to reclaim ephemeral-storage"
        )
        await kubelet.turn(
            "DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure"
        )
        await kubelet.say(
            "Normal", "NodeHasDiskPressure", "Node node-4 status is now: NodeHasDiskPressure"
        )
        pressed = time.time()
        victims = self._victims("node-4")
        for worker in victims:
            worker.interrupt(f"evict:{eviction_message(worker)}")
            self.say(f"evicts {worker.namespace}/{worker.name}")
            await self.pace.wait(40.0)
        await self.pace.wait(360.0)  # kubelet's pressure transition period is five minutes
        await kubelet.turn(
            "DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"
        )
        await kubelet.say(
            "Normal", "NodeHasNoDiskPressure", "Node node-4 status is now: NodeHasNoDiskPressure"
        )
        note = f"evicted: {', '.join(f'{w.namespace}/{w.name}' for w in victims)}"
        self.truths.append(
            Truth(
                "node-4-disk",
                "incident",
                "data/ingest fills node-4's disk from 55 % to the eviction threshold (90 % used)",
                "Node node-4",
                start,
                time.time(),
                note + "; moments: the threshold is met",
                [pressed],
            )
        )

    def _victims(self, node: str) -> list[PodWorker]:
        """Choose in kubelet's order, roughly: the greatest writer first, then two more."""
        pods = [w for w in self.fleet.on(node) if w.namespace in ("data", "shop", "platform")]
        return sorted(pods, key=lambda w: (w.app != "ingest", w.namespace, w.name))[:3]

    # Limits

    async def quota(self) -> None:
        """Keep batcher from its replicas by a quota, for an hour."""
        await self.pace.until(26.0)
        start = time.time()
        used = await self.api.call("GET", "/api/v1/namespaces/shop/pods")
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "shop-pods", "namespace": "shop"},
            "spec": {"hard": {"pods": str(len(used["items"]))}},
        }
        self.say("quota in shop, and batcher wants more pods")
        path = "/api/v1/namespaces/shop/resourcequotas"
        await self.api.call("POST", path, quota, manager="kubectl-create")
        await asyncio.sleep(1.0)  # until the quota's usage has been counted
        batcher = by_name("batcher")
        change = {"spec": {"replicas": 4}}
        await self.api.raw(
            "PATCH", f"{batcher.path}/scale", change, content=MERGE, manager="kubectl"
        )
        await self.pace.until(27.0)
        await self.api.raw("DELETE", f"{path}/shop-pods")
        await asyncio.sleep(0.5)
        await self.api.raw(
            "PATCH",
            f"{batcher.path}/scale",
            {"spec": {"replicas": 3}},
            content=MERGE,
            manager="kubectl",
        )
        self.truths.append(
            Truth(
                "batcher-quota",
                "incident",
                "a quota on pods keeps batcher at one replica of four (FailedCreate)",
                "Deployment shop/batcher",
                start,
                time.time(),
            )
        )


def eviction_message(worker: PodWorker) -> str:
    """Kubelet's words for an eviction by the root file system."""
    return (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10737418240, "
        f"available: 10239428Ki. Container {worker.container['name']} was using "
        f"{'35810716Ki' if worker.app == 'ingest' else '48216Ki'}, request is 0, has larger "
        "consumption of ephemeral-storage. "
    )


def documents(truths: list[Truth]) -> list[Document]:
    """Return the labels as documents, by start."""
    return [asdict(truth) for truth in sorted(truths, key=lambda t: t.start)]

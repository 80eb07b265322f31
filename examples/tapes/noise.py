"""What complains all day and means nothing: the events that an early warning has to see through.

Each act is a coroutine without an end, played beside the story. The rates are those of a small,
slightly neglected cluster; every message is one that a kubelet or controller really writes.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from api import STRATEGIC, ApiServer
from events import EventWriter, Source, reference
from kubelets import Fleet
from pods import PodWorker
from workloads import ARGO, by_name

PROBE = "Readiness probe failed: HTTP probe failed with statuscode: 503"
PROBE_REFUSED = (
    'Readiness probe failed: Get "http://{}:8080/ready": dial tcp: connect: connection refused'
)
LIVENESS = (
    'Liveness probe failed: Get "http://{}:8080/live": context deadline exceeded '
    "(Client.Timeout exceeded while awaiting headers)"
)
NAME_SERVERS = (
    "Nameserver limits were exceeded, some nameservers have been omitted, the applied "
    "nameserver line is: 10.0.0.10 10.20.0.2 10.20.0.3"
)
MOUNT = (
    'MountVolume.SetUp failed for volume "settings" : failed to sync configmap cache: timed out '
    "waiting for the condition"
)
PULL_SECRET = (
    "Unable to retrieve some image pull secrets (registry-old); attempting to pull the image may "
    "not succeed."
)


class Noise:
    """The acts, on one fleet."""

    def __init__(self, api: ApiServer, events: EventWriter, fleet: Fleet, seed: int) -> None:
        self.api = api
        self.events = events
        self.fleet = fleet
        self.random = random.Random(seed)

    def acts(self) -> list[Callable[[], Awaitable[None]]]:
        """Return what to play."""
        return [
            self.canary_noise,
            self.name_server_noise,
            self.mount_noise,
            self.probe_noise,
            self.pull_secret_noise,
            self.ingress_chatter,
            self.config_churn,
        ]

    async def canary_noise(self) -> None:
        """Fail the readiness probe of the canary, always."""
        while True:
            for worker in self.fleet.of("canary"):
                if worker.kubelet.up.is_set():
                    address = worker.pod["status"].get("podIP", "10.244.0.2")
                    message = PROBE if self.random.random() < 0.8 else PROBE_REFUSED.format(address)
                    await worker.say("Warning", "Unhealthy", message)
            await self.fleet.pace.wait(self.random.choice((10.0, 10.0, 20.0, 60.0)))

    async def name_server_noise(self) -> None:
        """Complain of too many name servers."""
        while True:
            for app in ("cache", "dispatcher", "node-agent"):
                for worker in self.fleet.of(app):
                    if worker.kubelet.up.is_set() and worker.pod["status"].get("podIP"):
                        await worker.say(
                            "Warning", "DNSConfigForming", NAME_SERVERS, of_container=False
                        )
            await self.fleet.pace.wait(self.random.uniform(240.0, 420.0))

    async def mount_noise(self) -> None:
        """Fail to mount a volume a few times, then succeed."""
        while True:
            await self.fleet.pace.wait(self.random.expovariate(1 / 1500.0))
            worker = self._anyone()
            for _ in range(self.random.randint(1, 4)):
                await worker.say("Warning", "FailedMount", MOUNT, of_container=False)
                await self.fleet.pace.wait(self.random.uniform(1.0, 8.0))

    async def probe_noise(self) -> None:
        """Miss a liveness probe once or twice."""
        while True:
            await self.fleet.pace.wait(self.random.expovariate(1 / 1100.0))
            worker = self._anyone("search", "gateway", "frontend", "coredns", "fraud")
            address = worker.pod["status"].get("podIP", "10.244.0.2")
            for _ in range(self.random.randint(1, 2)):
                await worker.say("Warning", "Unhealthy", LIVENESS.format(address))
                await self.fleet.pace.wait(10.0)

    async def pull_secret_noise(self) -> None:
        """Complain of a pull secret that nobody needs."""
        while True:
            for worker in self.fleet.of("postgres"):
                if worker.kubelet.up.is_set():
                    await worker.say(
                        "Warning",
                        "FailedToRetrieveImagePullSecret",
                        PULL_SECRET,
                        of_container=False,
                    )
            await self.fleet.pace.wait(self.random.uniform(100.0, 180.0))

    async def ingress_chatter(self) -> None:
        """Say at every resync that it resynced, as a controller."""
        path = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses"
        listed = await self.api.call("GET", path)
        while True:
            for ingress in listed["items"]:
                involved = reference("Ingress", ingress)
                source = Source("ingress-controller")
                await self.events.emit(involved, source, "Normal", "Sync", "Scheduled for sync")
            await self.fleet.pace.wait(self.random.uniform(120.0, 200.0))

    async def config_churn(self) -> None:
        """Touch annotations and change nothing that runs, as a controller."""
        place = by_name("cart").path
        number = 0
        while True:
            await self.fleet.pace.wait(1800.0)
            number += 1
            change = {"metadata": {"annotations": {"argocd.example.com/sync": f"wave-{number}"}}}
            await self.api.raw("PATCH", place, change, content=STRATEGIC, manager=ARGO)

    def _anyone(self, *apps: str) -> PodWorker:
        workers = [
            w
            for w in self.fleet.workers.values()
            if w.kubelet.up.is_set()
            and not w.leaving
            and w.pod["status"].get("phase") == "Running"
            and (not apps or w.app in apps)
        ]
        return self.random.choice(sorted(workers, key=lambda w: w.name))

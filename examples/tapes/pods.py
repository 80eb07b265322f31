"""One pod's life on its node, as kubelet would report it.

Kept as kubelet has them: a container that dies is first seen terminated, then waiting in
CrashLoopBackOff; `restartCount` grows when the next life starts; the first restart is immediate,
then 10 s doubling to 300 s, forgotten after 600 s of running; a pod on a dead node is neither
updated nor removed. Every pod here has one container. What it does with its life is the story's
decision (`Behaviour`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api import STRATEGIC, ApiError, Document, stamp
from events import reference

if TYPE_CHECKING:
    from kubelets import Kubelet

BACK_OFF_FIRST = 10.0
BACK_OFF_CAP = 300.0
BACK_OFF_FORGOTTEN = 600.0  # of running: twice the cap, as in kubelet


@dataclass(frozen=True)
class Life:
    """What a container will do this time: run `seconds` (None: until told to stop) and end so."""

    seconds: float | None = None
    exit_code: int = 0
    reason: str = "Completed"
    ready: bool = True
    ready_after: float = 0.0


Behaviour = Callable[[Document, int], Life]
"""The life of a pod's container, from the pod and the number of lives before."""

Witness = Callable[[str, Document, float], None]
"""Told of each death of a container: what it was, the pod, the real time."""


def image_id(image: str) -> str:
    """Return the digest form of an image, made up from its name."""
    digest = hashlib.sha256(image.encode()).hexdigest()
    return f"{image.rsplit(':', 1)[0]}@sha256:{digest}"


class PodWorker:
    """Plays one pod."""

    def __init__(self, kubelet: Kubelet, pod: Document) -> None:
        self.kubelet = kubelet
        self.pod = pod
        self.leaving = False
        self.gone = False
        self._interrupts: asyncio.Queue[str] = asyncio.Queue()
        self._last: Document = {}
        self._restarts = 0
        self._rung = 0
        self._id = ""
        self._started = ""
        self._ready = False
        self._start_time = ""
        self._address = ""

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.pod["metadata"]["namespace"])

    @property
    def app(self) -> str:
        """The name label."""
        labels = self.pod["metadata"].get("labels", {})
        return str(labels.get("app.kubernetes.io/name", ""))

    @property
    def container(self) -> Document:
        """The container's spec."""
        found: Document = self.pod["spec"]["containers"][0]
        return found

    def interrupt(self, what: str) -> None:
        """Make the pod stop what it is at: delete, gone, kill, reboot, or evict:<message>."""
        self._interrupts.put_nowait(what)

    async def say(
        self, level: str, reason: str, message: str, *, of_container: bool = True
    ) -> None:
        """Emit an event about the pod, or about its container."""
        place = f"spec.containers{{{self.container['name']}}}" if of_container else ""
        involved = reference("Pod", self.pod, place)
        source = self.kubelet.source
        await self.kubelet.fleet.events.emit(involved, source, level, reason, message)

    async def run(self) -> None:
        """Play the pod until it is gone."""
        with contextlib.suppress(_Ended):
            await self._admit()
            lives = 0
            while True:
                life = self.kubelet.fleet.behaviour(self.pod, lives)
                lives += 1
                await self._start(life)
                began = time.time()
                killed = await self._wait(life.seconds)
                await self._die(life, killed, (time.time() - began) * self._factor)
                self._restarts += 1

    @property
    def _factor(self) -> float:
        return self.kubelet.fleet.pace.factor

    async def _admit(self) -> None:
        await self._wait(0.5)
        self._start_time = stamp()
        await self._report("Pending", {"waiting": {"reason": "ContainerCreating"}})
        image = self.container["image"]
        name = self.container["name"]
        if image in self.kubelet.images:
            await self._say_present()
        else:
            self.kubelet.images.add(image)
            await self.say("Normal", "Pulling", f'Pulling image "{image}"')
            seconds = self.kubelet.fleet.random.uniform(2.0, 9.0)
            await self._wait(seconds)
            size = 40_000_000 + int(hashlib.md5(image.encode()).hexdigest()[:7], 16)
            await self.say(
                "Normal",
                "Pulled",
                f'Successfully pulled image "{image}" in {seconds:.3f}s ({seconds:.3f}s '
                f"including waiting). Image size: {size} bytes.",
            )
        self._address = self.kubelet.pod_address()
        await self.say("Normal", "Created", f"Container created: {name}")

    async def _say_present(self) -> None:
        image = self.container["image"]
        text = (
            f'Container image "{image}" already present on machine and can be accessed by the pod'
        )
        await self.say("Normal", "Pulled", text)

    async def _start(self, life: Life) -> None:
        if self._restarts:
            await self._say_present()
            await self.say("Normal", "Created", f"Container created: {self.container['name']}")
        self._id = f"containerd://{self.kubelet.fleet.random.getrandbits(256):064x}"
        self._started = stamp()
        await self.say("Normal", "Started", "Container started")
        state = {"running": {"startedAt": self._started}}
        probed = "readinessProbe" in self.container
        self._ready = life.ready and not probed
        await self._report("Running", state)
        if life.ready and probed:
            await self._wait(life.ready_after or 8.0)
            self._ready = True
            await self._report("Running", state)

    async def _wait(self, seconds: float | None) -> str:
        """Wait, unless interrupted; return "" when time ran out, or what killed the container."""
        timeout = None if seconds is None else seconds / self._factor
        try:
            what = await asyncio.wait_for(self._interrupts.get(), timeout)
        except TimeoutError:
            what = ""
        await self.kubelet.up.wait()
        if what == "gone" or self.gone:
            raise _Ended
        if what == "delete" or self.leaving:
            await self._leave()
        if what.startswith("evict:"):
            await self._evict(what.removeprefix("evict:"))
        return what

    async def _die(self, life: Life, killed: str, lived: float) -> None:
        code, reason = life.exit_code, life.reason
        if killed == "reboot":
            code, reason = 255, "Unknown"
        elif killed:
            code, reason = 137, "Error"
        self._last = self._termination(code, reason)
        self._ready = False
        self.kubelet.fleet.witness(reason if code else "exit 0", self.pod, time.time())
        if self.pod["spec"]["restartPolicy"] == "Never":
            phase = "Failed" if code else "Succeeded"
            await self._report(phase, {"terminated": self._last}, last={})
            while True:
                await self._wait(None)
        if killed == "reboot":
            return  # the next life is reported with this death as its last state
        await self._report("Running", {"terminated": self._last})
        if lived >= BACK_OFF_FORGOTTEN:
            self._rung = 0
        await self._back_off()

    async def _back_off(self) -> None:
        self._rung += 1
        if self._rung == 1:
            return
        seconds = min(BACK_OFF_FIRST * 2.0 ** (self._rung - 2), BACK_OFF_CAP)
        spoken = _go_duration(seconds)
        pod = f"{self.name}_{self.namespace}({self.pod['metadata']['uid']})"
        name = self.container["name"]
        message = f"back-off {spoken} restarting failed container={name} pod={pod}"
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        await self._report("Running", waiting)
        event = f"Back-off restarting failed container {name} in pod {pod}"
        while seconds > 0:
            await self.say("Warning", "BackOff", event)
            await self._wait(min(seconds, 75.0))
            seconds -= 75.0

    async def _leave(self) -> None:
        """Stop the container and take the pod away, as the API server was told to."""
        name = self.container["name"]
        if self._id and self.pod["status"].get("phase") == "Running":
            await self.say("Normal", "Killing", f"Stopping container {name}")
            await self.kubelet.fleet.pace.wait(3.0)
            polite = int(hashlib.md5(self.app.encode()).hexdigest(), 16) % 2 == 0
            code, reason = (0, "Completed") if polite else (143, "Error")
            self._ready = False
            phase = "Succeeded" if polite else "Failed"
            await self._report(phase, {"terminated": self._termination(code, reason)})
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        preconditions = {"uid": self.pod["metadata"]["uid"]}
        with contextlib.suppress(ApiError):  # somebody forced it
            await self.kubelet.fleet.api.raw(
                "DELETE",
                path,
                {
                    "apiVersion": "v1",
                    "kind": "DeleteOptions",
                    "gracePeriodSeconds": 0,
                    "preconditions": preconditions,
                },
            )
        raise _Ended

    async def _evict(self, message: str) -> None:
        """Kill the pod for a node's pressure: it stays, Failed, until somebody deletes it."""
        await self.say("Warning", "Evicted", message, of_container=False)
        await self.say("Normal", "Killing", f"Stopping container {self.container['name']}")
        self._ready = False
        terminated = {"terminated": self._termination(137, "Error")}
        await self._report("Failed", terminated, reason="Evicted", message=message)
        while True:
            await self._wait(None)

    def _termination(self, code: int, reason: str) -> Document:
        return {
            "exitCode": code,
            "reason": reason,
            "startedAt": self._started,
            "finishedAt": stamp(),
            "containerID": self._id,
        }

    async def _report(
        self, phase: str, state: Document, last: Document | None = None, **more: str
    ) -> None:
        """Patch the pod's status."""
        name = self.container["name"]
        image = self.container["image"]
        last = self._last if last is None else last
        if state.get("terminated") is last:
            last = {}
        status = {
            "name": name,
            "image": image,
            "imageID": image_id(image) if self._id else "",
            "ready": self._ready,
            "started": "running" in state,
            "restartCount": self._restarts,
            "state": state,
            "lastState": {"terminated": last} if last else {},
        }
        if self._id:
            status["containerID"] = self._id
        body: Document = {
            "observedGeneration": self.pod["metadata"].get("generation", 1),
            "phase": phase,
            "hostIP": self.kubelet.address,
            "hostIPs": [{"ip": self.kubelet.address}],
            "startTime": self._start_time,
            "conditions": self._conditions(phase),
            "containerStatuses": [status],
            **more,
        }
        if self._address:
            body |= {"podIP": self._address, "podIPs": [{"ip": self._address}]}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}/status"
        change = {"metadata": {"uid": self.pod["metadata"]["uid"]}, "status": body}
        try:
            self.pod = await self.kubelet.fleet.api.call(
                "PATCH", path, change, content=STRATEGIC, manager="kubelet"
            )
        except ApiError as error:
            if error.code in (404, 409):  # the pod is gone, or another has its name
                raise _Ended from error
            raise

    def _conditions(self, phase: str) -> list[Document]:
        before = {c["type"]: c for c in self.pod["status"].get("conditions", [])}
        name = self.container["name"]
        unready = f"containers with unready status: [{name}]"
        done = phase == "Succeeded"
        why = ("PodCompleted", "") if done else ("ContainersNotReady", unready)
        wanted = [
            ("PodReadyToStartContainers", bool(self._address) and not done, ("", "")),
            ("Initialized", True, ("", "")),
            ("Ready", self._ready, why),
            ("ContainersReady", self._ready, why),
        ]
        conditions = []
        for kind, holds, (reason, message) in wanted:
            status = "True" if holds else "False"
            old = before.get(kind)
            since = old["lastTransitionTime"] if old and old["status"] == status else stamp()
            condition: Document = {
                "type": kind,
                "status": status,
                "lastProbeTime": None,
                "lastTransitionTime": since,
                "reason": None if holds else reason or None,
                "message": None if holds else message or None,
            }
            conditions.append(condition)
        return conditions


class _Ended(Exception):
    """The pod is no more; its worker is done."""


def _go_duration(seconds: float) -> str:
    """Whole seconds as Go prints a Duration: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"

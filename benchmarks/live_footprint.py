"""What `forewarn ingest` costs on a live cluster of 100 nodes and 5,000 pods.

    python -m benchmarks.live_footprint [--nodes 100] [--pods 5000] [--seconds 60]

A real API server (`deploy/kubelite`) holds nodes and pods that nobody plays; kubelets on the real
Go types (`deploy/kubelets`) measure them. First the lists are read in this process, and the CPU of
that is told. Then `forewarn ingest` runs as a process of its own, while pods change and Events come
at a steady rate; told are its peak memory and its CPU as a share of a core. Asserted before any
figure: every pod is known, every node is sampled, nothing was dropped. Needs `make components`;
some three minutes, mostly the API server's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from ingest.cluster import ClusterSettings
from ingest.intake import Intake
from ingest.kubelet import KubeletSettings
from ingest.live import watching
from ingest.normalise import Normaliser
from ingest.publish import Publisher
from ingest.settings import IngestSettings
from stream.clock import SystemClock
from tests.conftest import ROOT
from tests.ingest.control_plane import Admin, ControlPlane, running
from tests.ingest.watching import until

AT_ONCE = 24  # requests
CHANGES = 10.0  # pods that change a second
EVENTS = 5.0  # a second
_TICKS = os.sysconf("SC_CLK_TCK")


def node(name: str, port: int) -> dict[str, Any]:
    amounts = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        },
    }


def pod(number: int, nodes: int) -> dict[str, Any]:
    """Return a pod of two containers, some 5 KB with what the API server adds."""
    name = f"app-{number % 100}"
    env = [{"name": f"SETTING_{each}", "value": "x" * 20} for each in range(15)]
    resources = {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"cpu": "1", "memory": "512Mi"},
    }
    containers = [
        {"name": each, "image": f"registry/{name}:v1", "env": env, "resources": resources}
        for each in ("app", "sidecar")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-7d9f8b6c5-{number:05d}",
            "labels": {"app": name, "pod-template-hash": "7d9f8b6c5"},
        },
        "spec": {"nodeName": f"node-{number % nodes:03d}", "containers": containers},
    }


def status(restarts: int) -> dict[str, Any]:
    started = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": each, "status": "True", "lastTransitionTime": started}
        for each in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    statuses = [
        {
            "name": each,
            "image": "registry/app:v1",
            "imageID": "registry/app@sha256:" + "0" * 64,
            "containerID": "containerd://" + "0" * 64,
            "restartCount": restarts,
            "ready": True,
            "started": True,
            "state": {"running": {"startedAt": started}},
        }
        for each in ("app", "sidecar")
    ]
    return {"phase": "Running", "conditions": conditions, "containerStatuses": statuses}


class Filled:
    """The control plane with its nodes and pods."""

    def __init__(self, plane: ControlPlane, admin: Admin, nodes: int, pods: int) -> None:
        self.plane, self.admin, self.nodes, self.pods = plane, admin, nodes, pods
        self.made: list[dict[str, Any]] = []
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def fill(self, ports: dict[str, int]) -> None:
        await asyncio.gather(*(self._pod(number) for number in range(self.pods)))
        for name, port in ports.items():
            there = await self.admin.call("GET", f"/api/v1/nodes/{name}")
            there["status"] = node(name, port)["status"]
            await self.admin.call("PUT", f"/api/v1/nodes/{name}/status", there)

    async def _pod(self, number: int) -> None:
        where = "/api/v1/namespaces/default/pods"
        async with self._slots:
            made = await self.admin.call("POST", where, pod(number, self.nodes))
            made["status"] = status(0)
            path = f"{where}/{made['metadata']['name']}/status"
            self.made.append(await self.admin.call("PUT", path, made))

    async def live(self, seconds: float) -> None:
        """Let pods change and Events come, at their rates."""
        ends = time.monotonic() + seconds
        began, done = time.monotonic(), 0
        while time.monotonic() < ends:
            each = self.made[(done * 37) % len(self.made)]
            each["status"] = status(done)
            name = each["metadata"]["name"]
            path = f"/api/v1/namespaces/default/pods/{name}/status"
            each["metadata"].pop("resourceVersion", None)
            self.made[(done * 37) % len(self.made)] = await self.admin.call("PUT", path, each)
            if done % int(CHANGES / EVENTS) == 0:
                await self._event(name, done)
            done += 1
            await asyncio.sleep(max(0.0, began + done / CHANGES - time.monotonic()))

    async def _event(self, name: str, number: int) -> None:
        event = {
            "metadata": {"name": f"{name}.{number}", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": name},
            "reason": "Unhealthy",
            "message": f"Readiness probe failed: try {number}",
            "type": "Warning",
            "count": 1,
            "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-01T00:00:00Z",
        }
        await self.admin.call("POST", "/api/v1/namespaces/default/events", event)


async def lists(plane: ControlPlane, pods: int) -> tuple[float, float]:
    """Return CPU seconds of all first lists as records, and of a second time, imports done."""
    taken = []
    for _ in range(2):
        settings = IngestSettings(
            (ClusterSettings("real", kubeconfig=plane.kubeconfig),),
            kubelet=KubeletSettings(source="off"),
        )
        intake = Intake(Normaliser(), Publisher(1))
        began = time.process_time()
        async with watching(settings, SystemClock()) as live:
            while not (live.statuses and all(each.listed_at for each in live.statuses)):
                for fact in await live.facts():
                    intake.offer(fact, "x")
            while len(live.buffer):
                for fact in await live.facts():
                    intake.offer(fact, "x")
            taken.append(time.process_time() - began)
        assert intake.normaliser.stats["pods"].records == pods
    return taken[0], taken[1]


def usage(pid: int) -> tuple[float, float, float]:
    """Return CPU seconds so far, resident and peak MiB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    sizes = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    mib = {name: int(sizes[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}
    return cpu, mib["VmRSS"], mib["VmHWM"]


async def ingested(
    filled: Filled, where: ClusterSettings, folder: Path, seconds: float
) -> dict[str, float]:
    """Run `forewarn ingest` beside the living cluster and return what it cost."""
    document = {
        "store": {"path": str(folder / "store.db"), "synchronous": "normal"},
        "ingest": {
            "clusters": [{"name": "real", "kubeconfig": where.kubeconfig}],
            "kubelet": {
                "source": "summary",
                "trust": {"ca_file": str(filled.plane.folder / "pki" / "ca.crt")},
            },
        },
        "probes": {"port": 0},
    }
    (folder / "forewarn.yaml").write_text(json.dumps(document))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "forewarn", "ingest", "-c", str(folder / "forewarn.yaml")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert process.stdout is not None
    probe = (await process.stdout.readline()).decode().split("metrics on ")[1].strip()
    async with aiohttp.ClientSession() as session:

        async def metric(name: str) -> float:
            async with session.get(f"{probe}/metrics") as reply:
                lines = (await reply.text()).splitlines()
            return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

        async def settled() -> bool:
            async with session.get(f"{probe}/readyz") as reply:
                ready = reply.status == 200
            return ready and await metric("forewarn_source_samples_total") >= filled.nodes

        await until(settled, within=120.0)
        first, rss, _ = usage(process.pid)
        began = time.monotonic()
        await filled.live(seconds)
        lasted = time.monotonic() - began
        last, _, peak = usage(process.pid)
        facts = await metric("forewarn_source_facts_total")
        samples = await metric("forewarn_source_samples_total")
        assert await metric("forewarn_source_samples_dropped_total") == 0
        assert await metric('forewarn_watch_objects{cluster="real",resource="pods"}') == filled.pods
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    return {
        "CPU seconds until ready and sampled": first,
        "resident MiB then": rss,
        "peak MiB": peak,
        "share of a core while it lives": (last - first) / lasted,
        "facts in all": facts,
        "samples in all": samples,
    }


def cached(name: str) -> Path:
    """Return a binary that `make components` has built."""
    command = ["bash", str(ROOT / "deploy" / name / "ensure.sh")]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


async def measure(plane: ControlPlane, nodes: int, pods: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with plane.admin() as admin:
            await until(admin.ready)
            for number in range(nodes):
                await admin.call("POST", "/api/v1/nodes", node(f"node-{number:03d}", 1))
            async with plane.kubelets(cached("kubelets")) as ports:
                filled = Filled(plane, admin, nodes, pods)
                await filled.fill(ports)
                cold, warm = await lists(plane, pods)
                print(f"first lists of {pods} pods, {nodes} nodes: {warm:.2f} CPU s", end="")
                print(f" ({cold:.2f} with the client library's import)")
                where = plane.account(ROOT, folder)
                for what, value in (await ingested(filled, where, folder, seconds)).items():
                    print(f"{what}: {value:.3f}" if value < 10 else f"{what}: {value:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    scripts = ROOT / "deploy" / "kubelite" / "cluster"
    for plane in running(cached("kubelite"), scripts, WITH_KWOK="0", NODE_GRACE="24h"):
        asyncio.run(measure(plane, given.nodes, given.pods, given.seconds))


if __name__ == "__main__":
    main()

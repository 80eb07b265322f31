"""A day in the life of a real cluster, in some minutes: is each thing seen for what it is?

    python -m benchmarks.live_story

A real API server with KWOK (`deploy/kubelite`). While the whole pipeline follows it and a tape is
taken down: a StatefulSet is restarted pod by pod, a node is drained, all nodes fall silent and
return, the API server is killed and its history compacted. Asserted: the rolling restart, the drain
and the kill raise no alert; NotReady is told of each node and resolved; after the kill the state is
the server's and the gap is told; and a replay of the tape gives the findings and incidents of the
live run. Needs `make components`; some four minutes, mostly waiting.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.live_footprint import cached
from forewarn.config import Config
from forewarn.follow import Follower
from forewarn.pipeline import Pipeline
from forewarn.play import play
from forewarn.report import Report, build
from forewarn.takers import Takers
from ingest.cluster import ClusterSettings
from ingest.facts import read_fact
from ingest.kubelet import KubeletSettings
from ingest.recorder import Recorder
from ingest.recording import TapeWriter
from ingest.resources import RESOURCES
from ingest.settings import IngestSettings
from ingest.tape import TapeReader
from stream.clock import SystemClock
from stream.embedded import EmbeddedBus
from stream.operators.settings import OperatorSettings
from stream.records import Finding
from tests.conftest import ROOT
from tests.ingest.control_plane import Admin, ControlPlane, running
from tests.ingest.test_real_cluster import WHERE, deployment, is_rolled_out, nodes
from tests.ingest.watching import Observer, eventually, until

NODES = 6
APPS = "/apis/apps/v1/namespaces/default"


def settings(plane: ControlPlane) -> Config:
    operators = OperatorSettings()
    return Config(
        cluster="real",
        ingest=IngestSettings(
            (ClusterSettings("real", kubeconfig=plane.kubeconfig),),
            kubelet=KubeletSettings(source="off"),
        ),
        # Ten seconds instead of a minute, for nobody is to wait here.
        operators=replace(operators, nodes=replace(operators.nodes, not_ready_after=10.0)),
    )


async def roll(plane: ControlPlane, admin: Admin) -> None:
    """Restart a StatefulSet pod by pod."""
    await asyncio.to_thread(plane.kubectl, "rollout", "restart", "statefulset", "db")

    async def rolled() -> bool:
        told = (await admin.call("GET", f"{APPS}/statefulsets/db"))["status"]
        new = told.get("updateRevision") == told.get("currentRevision")
        return bool(new and told.get("readyReplicas") == 3)

    await until(rolled, within=90.0)


async def drain(plane: ControlPlane, admin: Admin) -> None:
    """Empty a node as an administrator does, and give it back."""
    await asyncio.to_thread(plane.kubectl, "drain", "kwok-node-1", "--force", "--timeout=60s")
    await until(lambda: is_rolled_out(admin, "web"), within=60.0)
    await asyncio.to_thread(plane.kubectl, "uncordon", "kwok-node-1")


async def silence(plane: ControlPlane, findings: list[Finding]) -> None:
    """Stop all kubelets until their nodes are NotReady and that was told; let them return."""
    pid = plane.pid("kwok")
    os.kill(pid, signal.SIGSTOP)
    try:
        await eventually(lambda: told(findings, "node-not-ready", "firing") == NODES, 120.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    await eventually(lambda: told(findings, "node-not-ready", "resolved") == NODES, 200.0)


def told(findings: list[Finding], rule: str, state: str) -> int:
    return sum(each.rule == rule and each.state == state for each in findings)


def firing(findings: list[Finding]) -> Counter[str]:
    return Counter(each.rule for each in findings if each.state == "firing")


async def live(plane: ControlPlane, path: Path) -> Report:
    config, clock, stop = settings(plane), SystemClock(), asyncio.Event()
    findings: list[Finding] = []

    def hear(topic: str, record: Any) -> None:
        if isinstance(record, Finding):
            findings.append(record)

    async with plane.admin() as admin, EmbeddedBus.open(None) as bus:
        await begin(plane, admin)

        @asynccontextmanager
        async def stage() -> AsyncIterator[Pipeline]:
            async with Pipeline.open(bus, config, clock, takers=Takers(hear)) as pipeline:
                yield pipeline

        with TapeWriter(path) as tape:
            follower = Follower(config, clock, Recorder(tape))
            following = asyncio.create_task(follower.run(stage, stop))
            await eventually(lambda: all(each.passed for each in follower.checks()), 30.0)
            await roll(plane, admin)
            print("rolling restart:", dict(firing(findings)))
            await drain(plane, admin)
            print("drain:", dict(firing(findings)))
            assert not firing(findings)
            await silence(plane, findings)
            print("all nodes silent:", dict(firing(findings)))
            assert set(firing(findings)) == {"node-not-ready"}
            async with plane.apiserver_away():
                await plane.compact()
            await admin.call("POST", WHERE, deployment("after", 3))
            await until(lambda: is_rolled_out(admin, "after"), within=120.0)
            await eventually(lambda: told(findings, "gap", "evidence"), 60.0)
            await asyncio.sleep(20.0)  # whatever is to be told of the kill is told by then
            print("API server killed and compacted:", dict(firing(findings)))
            assert set(firing(findings)) == {"node-not-ready"}
            state = {each.name: await admin.state(each.path()) for each in RESOURCES}
            stop.set()
            await following
        report = await build(bus, {}, "")
    print("gaps:", dict(Counter(each.labels["resource"] for each in gaps(findings))))
    await compare(path, state)
    return report


def gaps(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.rule == "gap"]


async def begin(plane: ControlPlane, admin: Admin) -> None:
    scripts = ROOT / "deploy" / "kubelite" / "cluster"
    for each in nodes(scripts, NODES):
        await admin.call("POST", "/api/v1/nodes", each)
    await admin.call("POST", WHERE, deployment("web", 12))
    stateful = deployment("db", 3)
    stateful["kind"] = "StatefulSet"
    stateful["spec"].pop("strategy")
    stateful["spec"]["serviceName"] = "db"
    await admin.call("POST", f"{APPS}/statefulsets", stateful)
    await until(lambda: is_rolled_out(admin, "web"), within=90.0)


async def compare(path: Path, state: dict[str, dict[str, str]]) -> None:
    """Fold the tape into the state that it leads to, and hold it against the server's."""
    seen = {each.name: Observer() for each in RESOURCES}
    for line in TapeReader([path], read_fact):
        if line.fact is not None and line.fact.type != "BOOKMARK":
            await seen[line.fact.resource].emit(line.fact)
    for name in ("deployments", "statefulsets", "replicasets", "pods"):
        assert seen[name].objects == state[name], name


async def replayed(plane: ControlPlane, path: Path) -> Report:
    config, clock = settings(plane), SystemClock()
    async with EmbeddedBus.open(None) as bus, Pipeline.open(bus, config, clock) as pipeline:
        await play(pipeline, [path], clock)
        return await build(bus, {}, "")


def main() -> None:
    scripts = ROOT / "deploy" / "kubelite" / "cluster"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "live.tape")
        for plane in running(cached("kubelite"), scripts, NODE_GRACE="20s"):
            said = asyncio.run(live(plane, path))
            again = asyncio.run(replayed(plane, path))
    rules = Counter(f"{each.rule} {each.state}" for each in said.findings)
    print("findings:", dict(sorted(rules.items())))
    same = said.findings == again.findings and said.incidents == again.incidents
    print(f"live {len(said.findings)} findings, {len(said.incidents)} incidents; ", end="")
    print("the replay says the same" if same else "THE REPLAY DIFFERS")
    if not same:
        ours = {each.id for each in said.findings}
        theirs = {each.id for each in again.findings}
        print(
            "only live:", [str(each)[:200] for each in said.findings if each.id not in theirs][:5]
        )
        print("only replay:", [str(x)[:200] for x in again.findings if x.id not in ours][:5])
        sys.exit(1)


if __name__ == "__main__":
    main()

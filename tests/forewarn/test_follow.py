"""A live cluster all the way to findings, and to the tape that says the same; and how it ends.

The API server is the strict fake; what a real one shows is `tests/ingest/test_real_cluster.py`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from forewarn.config import Config
from forewarn.follow import Appender, Follower
from forewarn.metrics import registry_of
from forewarn.pipeline import Pipeline
from forewarn.play import play
from forewarn.report import build
from ingest.cluster import ClusterSettings
from ingest.kubelet import KubeletSettings
from ingest.lease import LeaseSettings
from ingest.live import LiveChunk
from ingest.recorder import Recorder
from ingest.recording import TapeWriter
from ingest.settings import IngestSettings
from stream.codec import decode
from stream.embedded import EmbeddedBus
from stream.errors import Unavailable
from stream.records import PodRecord
from stream.testing import ManualClock
from stream.topics import PODS, specs
from tests.ingest.fake_apiserver import FakeApiServer
from tests.ingest.watching import START, eventually

ROOT = Path(__file__).resolve().parents[2]


def config(server: FakeApiServer, folder: Path, *, elect: bool = False) -> Config:
    cluster = ClusterSettings("prod", kubeconfig=server.kubeconfig(folder / "kubeconfig"))
    return Config(
        cluster="prod",
        ingest=IngestSettings(
            (cluster,),
            kubelet=KubeletSettings(source="off"),
            lease=LeaseSettings(elect=elect, namespace="ops"),
        ),
    )


@asynccontextmanager
async def passing(clock: ManualClock) -> AsyncIterator[None]:
    """Let time pass, a quarter of a second at a time, as fast as the work allows."""

    async def tick() -> None:
        while True:
            for _ in range(5):
                await asyncio.sleep(0.001)
            clock.advance(0.25)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking


def crashing(restarts: int, version: str = "v1") -> dict[str, Any]:
    ended = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2025-10-09T08:53:20Z"}
    return {
        "metadata": {"labels": {"pod-template-hash": version}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": f"web:{version}"}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": "c",
                    "restartCount": restarts,
                    "ready": True,
                    "state": {"running": {}},
                    "lastState": {"terminated": ended},
                }
            ],
        },
    }


async def drama(server: FakeApiServer, follower: Follower, clock: ManualClock) -> None:
    """A pod that restarts again and again, and a deployment that is released and scaled."""
    spec: dict[str, Any] = {"replicas": 2, "template": {"spec": {"containers": []}}}
    for number in range(12):
        before = follower.records
        await server.put("pods", "web-1", "shop", **crashing(number))
        spec = {**spec, "replicas": 2 + number % 3}
        await server.put("deployments", "web", "shop", spec=spec)
        await eventually(lambda before=before: follower.records > before)
        target = clock.now() + 20.0
        await eventually(lambda target=target: clock.now() >= target)


async def test_a_tape_of_a_live_run_says_what_the_live_run_said(tmp_path: Path) -> None:
    clock = ManualClock(START)
    path = tmp_path / "live.tape"
    async with FakeApiServer() as server, passing(clock), EmbeddedBus.open(None) as bus:
        settings = config(server, tmp_path)
        stop = asyncio.Event()

        @asynccontextmanager
        async def stage() -> AsyncIterator[Pipeline]:
            async with Pipeline.open(bus, settings, clock) as pipeline:
                yield pipeline

        with TapeWriter(path) as tape:
            follower = Follower(settings, clock, Recorder(tape))
            following = asyncio.create_task(follower.run(stage, stop))
            await eventually(lambda: follower.live and follower.records)
            await drama(server, follower, clock)
            assert all(each.passed for each in follower.checks())
            counts = dict(_samples(follower))
            stop.set()
            await following
        assert not follower.checks()[0].passed
        live = await build(bus, {}, "")
    async with EmbeddedBus.open(None) as bus, Pipeline.open(bus, settings, clock) as pipeline:
        await play(pipeline, [path], clock)
        replayed = await build(bus, {}, "")
    assert [each.rule for each in live.findings].count("scale") == 11
    assert any(each.state == "firing" for each in live.findings)
    assert replayed.findings == live.findings
    assert replayed.incidents == live.incidents
    assert counts["deployment_events_total", "MODIFIED", "replicas"] == 11
    assert counts["deployment_events_total", "ADDED", "deployment"] == 1


def _samples(follower: Follower) -> list[tuple[tuple[str, str, str], float]]:
    return [
        ((sample.name, sample.labels["type"], sample.labels["field"]), sample.value)
        for family in registry_of(follower).collect()
        for sample in family.samples
        if sample.name == "deployment_events_total"
    ]


class Stubborn(Appender):
    """A bus that takes nothing for a while."""

    refusals = 3

    async def publish(self, chunk: LiveChunk) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("the bus is away")
        await super().publish(chunk)


async def test_a_bus_that_takes_nothing_is_asked_again_and_gets_everything_once(
    tmp_path: Path,
) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server, EmbeddedBus.open(None) as bus:
        await bus.ensure(specs(1))
        follower = Follower(config(server, tmp_path), clock)
        stop = asyncio.Event()

        @asynccontextmanager
        async def stage() -> AsyncIterator[Appender]:
            yield Stubborn(bus, 1)

        for number in range(20):
            await server.put("pods", f"p{number}", "shop", **crashing(0))
        following = asyncio.create_task(follower.run(stage, stop))
        await eventually(lambda: follower.problem)
        check = next(each for each in follower.checks() if each.name == "bus")
        assert (check.passed, check.text) == (False, "the bus is away")
        async with passing(clock):
            await eventually(lambda: not follower.problem and follower.checks()[0].passed)
            stop.set()
            await following
        batch = await bus.read(PODS, 0, 0, 1000)
        assert batch is not None
        told = [decode(PODS, each.value) for each in batch.messages]
        pods = [each.pod for each in told if isinstance(each, PodRecord)]
        assert sorted(pods) == sorted(f"p{number}" for number in range(20))


class Hoarse(Appender):
    """A stage that writes the first chunks and is not heard to have done so."""

    unheard = 3

    async def publish(self, chunk: LiveChunk) -> None:
        await super().publish(chunk)
        if self.unheard and chunk.messages:
            self.unheard -= 1
            raise Unavailable("not known whether it was written")


async def test_a_chunk_that_was_written_unheard_is_not_written_again(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server, EmbeddedBus.open(None) as bus:
        await bus.ensure(specs(1))
        follower = Follower(config(server, tmp_path), clock)
        stop = asyncio.Event()

        @asynccontextmanager
        async def stage() -> AsyncIterator[Appender]:
            yield Hoarse(bus, 1)

        following = asyncio.create_task(follower.run(stage, stop))
        async with passing(clock):
            for number in range(20):
                await server.put("pods", f"p{number}", "shop", **crashing(0))
                await eventually(lambda: follower.live is not None and not follower.problem)
            await eventually(lambda: follower.checks()[0].passed)
            target = clock.now() + 10.0
            await eventually(lambda: clock.now() >= target)
            stop.set()
            await following
        batch = await bus.read(PODS, 0, 0, 1000)
        assert batch is not None
        told = [decode(PODS, each.value) for each in batch.messages]
        pods = [each.pod for each in told if isinstance(each, PodRecord)]
        assert sorted(pods) == sorted(f"p{number}" for number in range(20))


async def test_of_two_replicas_one_follows_and_the_other_takes_over(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server, EmbeddedBus.open(None) as bus, passing(clock):
        await bus.ensure(specs(1))
        settings = config(server, tmp_path, elect=True)
        replicas = [Follower(settings, clock) for _ in range(2)]
        stops = [asyncio.Event() for _ in replicas]

        @asynccontextmanager
        async def stage() -> AsyncIterator[Appender]:
            yield Appender(bus, 1)

        tasks = []
        for follower, stop in zip(replicas, stops, strict=True):
            tasks.append(asyncio.create_task(follower.run(stage, stop)))
            await eventually(lambda follower=follower: follower.live or follower.checks()[0].passed)
        first, second = replicas
        assert first.live is not None
        assert second.live is None
        assert second.checks()[0].text.startswith("standing by")
        stops[0].set()
        await tasks[0]
        await eventually(lambda: second.live is not None)
        stops[1].set()
        await tasks[1]


def ask(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.mark.parametrize("command", ["run", "ingest"])
async def test_the_command_is_ready_when_lists_are_complete_and_ends_in_order(
    command: str, tmp_path: Path
) -> None:
    async with FakeApiServer() as server:
        await server.put("pods", "a", "shop", **crashing(1))
        document = {
            "store": {"path": str(tmp_path / "store.db"), "synchronous": "normal"},
            "ingest": {
                "clusters": [
                    {"name": "prod", "kubeconfig": server.kubeconfig(tmp_path / "kubeconfig")}
                ],
                "kubelet": {"source": "off"},
            },
            "console": {"port": 0},
            "probes": {"port": 0},
        }
        (tmp_path / "forewarn.yaml").write_text(json.dumps(document))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "forewarn",
            command,
            "-c",
            str(tmp_path / "forewarn.yaml"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "200"},
        )
        assert process.stdout is not None
        try:
            line = (await process.stdout.readline()).decode()
            probe = line.split("metrics on ")[1].strip()
            status, text = 0, ""
            async with asyncio.timeout(20.0):
                while status != 200:
                    status, text = await asyncio.to_thread(ask, f"{probe}/readyz")
                    await asyncio.sleep(0.01)
            assert "[+] prod/watch:pods: last byte" in text
            _, metrics = await asyncio.to_thread(ask, f"{probe}/metrics")
            assert 'forewarn_watch_objects{cluster="prod",resource="pods"} 1.0' in metrics
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10.0):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
        rest = (await process.stdout.read()).decode()
        assert "Traceback" not in rest

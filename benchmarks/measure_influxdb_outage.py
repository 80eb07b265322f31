"""InfluxDB away by the clock, under everything that `forewarn run` does: does anybody wait for it?

    python -m benchmarks.measure_influxdb_outage [1|2] [seconds of the outage]

One process: a watched cluster (the tests' strict API server), operators, incidents, a file that
gets the messages, and the sink. Beside that 2,000 points a second go onto the bus, and once a
second a container is killed for its memory, each of a workload of its own. Measured is the time
from the API server's word to the message on the disk: with a healthy server before and after, and
while it is dead. Afterwards no point may be missing, and what had waited must go at five times real
time at least.

Restarts are judged every 15 seconds by design. What is compared is what lies beyond that moment,
so that the wait that was chosen does not hide one of our own; ticks are 0.2 s and there is no
group_wait for the same reason.
"""

import asyncio
import json
import math
import random
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure_influxdb import RATE, SERIES, container, server_of
from forewarn.config import Config
from forewarn.families import process_registry
from forewarn.figures import Outputs
from forewarn.follow import Follower
from forewarn.history import beside
from forewarn.pipeline import Pipeline
from forewarn.takers import Takers
from stream.clock import SystemClock
from stream.codec import outgoing
from stream.embedded import EmbeddedBus
from stream.operators.restarts import GRID
from stream.sinks.drain import Drain
from tests.ingest.fake_apiserver import FakeApiServer
from tests.stream.influx_server import BUCKET, VERSIONS, InfluxServer

PODS = 1_000
HEALTHY = 120.0  # seconds before, and after: eight times the grid
CUT = 0.1  # seconds between two lots of points


class Watcher:
    """Kills containers, and sees when their message is on the disk."""

    def __init__(self, server: FakeApiServer, clock: SystemClock, file: Path) -> None:
        self._server = server
        self._clock = clock
        self._file = file
        self._killed = 0
        self._read = 0
        self.begun: dict[str, tuple[float, str]] = {}  # namespace → when, and in which phase
        self.phase = "before"
        self.took: dict[str, list[tuple[float, float]]] = {}  # in all, and beyond the grid

    async def fill(self) -> None:
        """Put all pods there, well."""
        for i in range(PODS):
            await self._server.put("pods", "app-0", f"ns-{i}", **pod(i, 0, ""))

    async def kill(self) -> None:
        """Kill one container after another, not in step with anything."""
        chance = random.Random(7)
        while True:
            # Once a second, at no fixed moment, and never so near to its end that the operators'
            # grid could pass on the way.
            moment = math.floor(self._clock.now()) + 1.0 + chance.uniform(0.1, 0.7)
            await self._clock.sleep_until(moment)
            now = self._clock.now()
            name = f"ns-{self._killed}"
            when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self.begun[name] = now, self.phase
            await self._server.put("pods", "app-0", name, **pod(self._killed, 1, when))
            self._killed += 1

    async def look(self) -> None:
        """Note when a message is there."""
        while True:
            with self._file.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read += len(line)
                    self._note(json.loads(line))
            await self._clock.sleep_until(self._clock.now() + 0.01)

    def _note(self, message: dict[str, Any]) -> None:
        now = self._clock.now()
        for incident in message["incidents"]:
            found = self.begun.pop(incident["object"]["namespace"], None)
            if found is not None:
                judged = math.ceil(found[0] / GRID) * GRID
                self.took.setdefault(found[1], []).append((now - found[0], now - judged))


def pod(i: int, restarts: int, when: str) -> dict[str, Any]:
    status: dict[str, Any] = {
        "name": "c",
        "restartCount": restarts,
        "ready": True,
        "state": {"running": {}},
    }
    if when:
        ended = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": when}
        status["lastState"] = {"terminated": ended}
    return {
        "spec": {"nodeName": f"n{i}", "containers": [{"name": "c", "image": f"app-{i}:v1"}]},
        "status": {"phase": "Running", "containerStatuses": [status]},
    }


class Points:
    """Puts points on the bus, at their rate, by the clock."""

    def __init__(self, bus: EmbeddedBus, clock: SystemClock) -> None:
        self._bus = bus
        self._clock = clock
        self.total = 0

    async def flow(self) -> None:
        """Go on until cancelled."""
        chance, began = random.Random(7), self._clock.now()
        while True:
            now = self._clock.now()
            due = int((now - began) * RATE) - self.total
            # Each at its own time: after a pause of ours two of one series must not be one point.
            numbers = range(self.total, self.total + due)
            made = [container(i % SERIES, began + i / RATE, chance) for i in numbers]
            await self._bus.publish([outgoing(point, 1) for point in made])
            self.total += due
            await self._clock.sleep_until(now + CUT)


def settings(api: FakeApiServer, influx: InfluxServer, folder: Path) -> Config:
    kubeconfig = api.kubeconfig(folder / "kubeconfig")
    return Config.model_validate(
        {
            "cluster": "prod",
            "tick_seconds": 0.2,
            "ingest": {
                "clusters": [{"name": "prod", "kubeconfig": kubeconfig}],
                "kubelet": {"source": "off"},
            },
            "operators": {"restarts": {"oom_threshold": 1}},
            "alerting": {
                "grouping": {"group_wait": "0s"},
                "receivers": {"file": {"type": "file", "path": str(folder / "messages")}},
                "route": {"receivers": ["file"]},
            },
            "influxdb": {
                "url": influx.url,
                "token": influx.token,
                "bucket": BUCKET,
                "compress": False,
            },
        }
    )


async def measure(major: int, seconds: float) -> None:
    clock = SystemClock()
    with server_of(major) as influx, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "messages").touch()
        async with (
            FakeApiServer() as api,
            EmbeddedBus.open(folder / "bus.db") as bus,
        ):
            watcher = Watcher(api, clock, folder / "messages")
            await watcher.fill()
            points = Points(bus, clock)
            config = settings(api, influx, folder)
            follower, outputs = Follower(config, clock), Outputs()
            ready: asyncio.Future[Drain] = asyncio.get_running_loop().create_future()

            @asynccontextmanager
            async def stage() -> AsyncIterator[Pipeline]:
                opened = Pipeline.open(bus, config, clock, send=True, takers=Takers(outputs.apply))
                async with (
                    opened as pipeline,
                    beside(pipeline, clock, process_registry(outputs), Outputs()) as drain,
                ):
                    assert drain is not None
                    ready.set_result(drain)
                    yield pipeline

            stop = asyncio.Event()
            following = asyncio.create_task(follower.run(stage, stop))
            drain = await ready
            while not (follower.live and all(each.passed for each in follower.checks())):
                await clock.sleep_until(clock.now() + 0.1)
            working = [
                asyncio.create_task(each)
                for each in (watcher.kill(), watcher.look(), points.flow())
            ]
            await clock.sleep_until(clock.now() + HEALTHY)
            watcher.phase = "dead"
            influx.stop(kill=True)
            began = clock.now()
            await clock.sleep_until(began + seconds)
            watcher.phase = "catching up"
            await asyncio.to_thread(influx.start)
            away = clock.now() - began
            written = drain.tally.written
            while drain.tally.trouble is not None:
                await clock.sleep_until(clock.now() + 0.05)
            noticed, waiting = clock.now() - began - away, points.total - written
            again = clock.now()
            while drain.tally.trouble is not None or await behind(bus) > 2 * RATE:
                await clock.sleep_until(clock.now() + 0.05)
            caught_up = clock.now() - again
            watcher.phase = "after"
            await clock.sleep_until(clock.now() + HEALTHY)
            working.pop().cancel()  # points
            for task in working[:1]:
                task.cancel()
            while await behind(bus):
                await clock.sleep_until(clock.now() + 0.1)
            await clock.sleep_until(clock.now() + GRID + 3.0)
            there = await count(influx)
            stop.set()
            await following
            for task in working:
                task.cancel()
    assert there == points.total, f"{points.total - there} points are missing"
    report(major, watcher, points.total, there)
    speed = waiting / caught_up / RATE
    print(
        f"away {away:.0f} s, noticed {noticed:.0f} s later; {waiting:,} points had waited and "
        f"went in {caught_up:.1f} s beside the live ones: {speed:.0f} times real time"
    )
    assert speed >= 5.0


async def behind(bus: EmbeddedBus) -> int:
    return sum(lag.records for lag in await bus.lag() if lag.group == "influxdb")


async def count(influx: InfluxServer) -> int:
    client = influx.client()
    answer = await client.query('SELECT count("memory_bytes") FROM "container"', BUCKET)
    await client.aclose()
    return int(answer["results"][0]["series"][0]["values"][0][1])


def report(major: int, watcher: Watcher, total: int, there: int) -> None:
    print(f"InfluxDB {VERSIONS[major]}: {total:,} points, {total - there} missing")
    took = watcher.took
    phases = {**took, "healthy": took["before"] + took["after"]}
    for name, pairs in phases.items():
        whole, beyond = zip(*pairs, strict=True)
        parts = statistics.quantiles(beyond, n=20)
        print(
            f"  {name}: {len(pairs)} alerts, mean {statistics.fmean(whole):.2f} s; beyond the grid "
            f"mean {statistics.fmean(beyond):.3f} s, P50 {statistics.median(beyond):.3f} s, P95 "
            f"{parts[18]:.3f} s, most {max(beyond):.3f} s"
        )
    dead, healthy = ([beyond for _, beyond in phases[name]] for name in ("dead", "healthy"))
    mean = statistics.fmean(dead) / statistics.fmean(healthy) - 1
    middle = statistics.median(dead) / statistics.median(healthy) - 1
    print(
        f"  dead beside healthy: mean {mean:+.1%}, P50 {middle:+.1%}; untold {len(watcher.begun)}"
    )


def main() -> None:
    """Measure one outage."""
    major = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    asyncio.run(measure(major, float(sys.argv[2]) if len(sys.argv) > 2 else 600.0))


if __name__ == "__main__":
    main()

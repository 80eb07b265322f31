"""Figures of the history against a real InfluxDB: an outage, the pipeline beside it, disk.

    python -m benchmarks.measure_influxdb outage|beside|disk [1|2]

`outage`: ten minutes at 2,000 points a second go by while the server is down; afterwards nothing
may be missing, and catching up must be five times as fast as real time. `beside`: the demo's
recording with a healthy server, a dead one and none; what is concluded must be the same to the bit.
`disk`: a day of 200 containers, a point a minute each, after full compaction.

Every figure is asserted before it is printed. CPU seconds, since machines are shared.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from forewarn.config import Config
from forewarn.demo import TAPE
from forewarn.figures import Outputs
from forewarn.history import beside
from forewarn.pipeline import Pipeline
from forewarn.play import play
from forewarn.replay import REPLAY_PACE
from forewarn.takers import Takers
from stream.clock import SystemClock
from stream.codec import outgoing
from stream.embedded import EmbeddedBus
from stream.records import Point
from stream.sinks.base import Trouble
from stream.sinks.drain import Drain
from stream.topics import specs
from tests.stream.influx_server import VERSIONS, InfluxServer, binary

RATE = 2_000  # points per second
DOWN = 600  # seconds
SERIES = 700
AT = 1_760_000_000.0
DEAD = "http://127.0.0.1:9"  # nobody listens there


@contextmanager
def server_of(major: int, cold: str = "10m") -> Iterator[InfluxServer]:
    path = binary(major)
    if path is None:
        raise SystemExit("InfluxDB is not built: run `make components`")
    with tempfile.TemporaryDirectory() as folder:
        server = InfluxServer(major, path, Path(folder) / "data", cold=cold)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def container(i: int, at: float, chance: random.Random) -> Point:
    name = f"app-{i}"
    tags = (
        *(("cluster", "prod"), ("container", name), ("namespace", f"ns-{i % 7}")),
        *(("workload", name), ("workload_kind", "Deployment")),
    )
    memory = 4096.0 * chance.randint(40_000, 44_000)
    cpu = chance.randint(20, 90) / 1000
    fields = {
        "memory_bytes": memory,
        "memory_percent": memory / 2**28 * 100,
        "cpu_cores": cpu,
        "cpu_percent": cpu * 200,
    }
    return Point("container", tags, fields, at)


async def outage(major: int) -> None:
    clock, chance = SystemClock(), random.Random(7)
    with server_of(major) as server, tempfile.TemporaryDirectory() as folder:
        async with EmbeddedBus.open(Path(folder) / "bus.db") as bus:
            await bus.ensure(specs(1))
            influx = server.client(clock=clock)
            drain = Drain(bus, 1, influx, clock)
            stop = asyncio.Event()
            working = asyncio.create_task(drain.run(stop))
            total = 0

            async def second() -> None:
                nonlocal total
                made = [
                    container((total + i) % SERIES, AT + (total + i) // SERIES, chance)
                    for i in range(RATE)
                ]
                total += RATE
                await bus.publish([outgoing(point, 1) for point in made])

            for _ in range(5):
                await second()
            while drain.tally.written < total:
                await clock.sleep_until(clock.now() + 0.05)
            server.stop(kill=True)
            for _ in range(DOWN):
                await second()
            while drain.tally.trouble is not Trouble.UNREACHABLE:
                await clock.sleep_until(clock.now() + 0.05)
            await asyncio.to_thread(server.start)
            while drain.tally.trouble is not None:
                await clock.sleep_until(clock.now() + 0.05)
            waiting = total - drain.tally.written
            began, cpu = clock.now(), time.process_time()
            while drain.tally.written < total:
                await clock.sleep_until(clock.now() + 0.05)
            took, cpu = clock.now() - began, time.process_time() - cpu
            stop.set()
            await working
            answer = await influx.query('SELECT count("memory_bytes") FROM "container"', "forewarn")
            there = answer["results"][0]["series"][0]["values"][0][1]
            await influx.aclose()
            assert there == total, f"{total - there} points are missing"
            assert waiting / took >= 5 * RATE
            print(
                f"InfluxDB {VERSIONS[major]}: {total:,} points, {waiting:,} after the outage; "
                f"0 missing; caught up in {took:.1f} s = {waiting / took / RATE:.0f} times real "
                f"time; {waiting / cpu:,.0f} points per CPU second of ours, "
                f"{total / server.cpu_seconds():,.0f} per CPU second of the server"
            )


async def _played(url: str | None, token: str) -> tuple[str, float]:
    history = {"url": url, "token": token, "retention": 0, "compress": False} if url else {}
    config = Config.model_validate({"influxdb": history})
    clock, outputs = SystemClock(), Outputs()
    async with EmbeddedBus.open(None) as bus:
        opened = Pipeline.open(bus, config, clock, pace=REPLAY_PACE, takers=Takers(outputs.apply))
        async with opened as pipeline:
            registry = CollectorRegistry()
            async with beside(pipeline, clock, registry, outputs, last=0.1):
                cpu = time.thread_time()
                await play(pipeline, [TAPE], clock)
                cpu = time.thread_time() - cpu
            return await pipeline.state_hash(), cpu


async def pipeline_beside(major: int) -> None:
    with server_of(major) as server:
        runs: dict[str, list[tuple[str, float]]] = {"none": [], "healthy": [], "dead": []}
        for name, url in (("none", None), ("healthy", server.url), ("dead", DEAD)):
            runs[name].append(await _played(url, server.token))
    hashes = {state for each in runs.values() for state, _ in each}
    assert len(hashes) == 1, "a sink must not change what is concluded"
    cpu = {name: min(seconds for _, seconds in each) for name, each in runs.items()}
    print(
        f"the same state in all runs; CPU of the event loop: without a sink {cpu['none']:.2f} s, "
        f"healthy {cpu['healthy']:.2f} s, dead {cpu['dead']:.2f} s"
    )


async def disk(major: int) -> None:
    chance, clock = random.Random(7), SystemClock()
    containers, minutes = 200, 1440
    with server_of(major, cold="1s") as server:
        influx = server.client(clock=clock)
        async with EmbeddedBus.open(None) as bus:
            await bus.ensure(specs(1))
            for minute in range(minutes):
                at = AT // 86_400 * 86_400 + 60.0 * minute
                made = [container(i, at, chance) for i in range(containers)]
                await bus.publish([outgoing(point, 1) for point in made])
            drain = Drain(bus, 1, influx, clock)
            assert await drain.drain() == containers * minutes
        size, same = 0, 0
        while same < 10:  # seconds without a change: everything is compacted
            await clock.sleep_until(clock.now() + 1.0)
            now = sum(path.stat().st_size for path in server.data.rglob("*.tsm"))
            same = same + 1 if now == size and now else 0
            size = now
        await influx.aclose()
    points = containers * minutes
    print(
        f"InfluxDB {VERSIONS[major]}: {points:,} points of 4 fields, {size:,} bytes: "
        f"{size / points:.1f} bytes a point, {size / containers / 1024:.1f} KiB per container and "
        "day at a point a minute"
    )


MEASURES = {"outage": outage, "beside": pipeline_beside, "disk": disk}


def main() -> None:
    """Run one measure."""
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in MEASURES:
        raise SystemExit(__doc__)
    asyncio.run(MEASURES[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) == 3 else 2))


if __name__ == "__main__":
    main()

"""The demo's recording in real InfluxDB servers, and what a dashboard would ask of them.

The recording is played once, with a sink for each server beside it, as `forewarn demo` does.
Queries are expanded as Grafana's InfluxQL does it.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from forewarn.bus_metrics import watched
from forewarn.config import load
from forewarn.demo import TAPE
from forewarn.families import process_registry
from forewarn.figures import Outputs, OwnRows, SinkCollector
from forewarn.influxdb import InfluxConfig, sink
from forewarn.metrics import sources
from forewarn.pipeline import Pipeline
from forewarn.play import Run, play
from forewarn.replay import REPLAY_PACE
from forewarn.stage_metrics import StageCollector
from forewarn.takers import Takers
from ingest.health import Status
from stream.embedded import EmbeddedBus
from stream.sinks.drain import Drain
from stream.testing import ManualClock
from tests.stream.influx_server import InfluxServer

DATABASE = "demo"
BOARDS = Path(__file__).resolve().parent.parent.parent / "dashboards" / "json"
DAY = 86_400.0
LISTED_EVERY = 6 * 3600.0
_SPEED = 18_000.0  # half an hour of the recording at a time


class Hasty(ManualClock):
    """A clock that jumps: the recording is cut as for `_SPEED`, and not held up."""

    async def sleep_until(self, deadline: float) -> None:
        """Jump."""
        self.advance(max(0.0, deadline - self.now()))
        await asyncio.sleep(0)


class Watches(Collector):
    """Watches of a cluster, which a recording has none of: a byte every 45 s, a list every 6 h."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._lists: dict[str, Status] = {
            name: Status("demo", name) for name in ("pods", "nodes", "events")
        }

    def collect(self) -> Iterator[Metric]:
        now = self._clock.now()
        for delay, status in enumerate(self._lists.values()):
            status.heard_at = now - (now + 15.0 * delay) % 45.0
            if status.listed_at is None or now - status.listed_at >= LISTED_EVERY:
                status.listed_at = now
                status.lists.observe(0.8 + delay)
                status.counts["restart:expired"] += 1
            status.counts["restart:timeout"] += 1
        yield from sources(list(self._lists.values()))


@dataclass
class History:
    """What was written, for oracles, and where."""

    servers: Sequence[InfluxServer]
    begin: float
    end: float
    records: dict[str, list[Any]] = field(default_factory=dict)  # by class name
    drains: list[Drain] = field(default_factory=list)


async def write(servers: Sequence[InfluxServer]) -> History:
    """Play the recording and write it to every server."""
    config = load(None)
    clock = ManualClock(0.0)
    outputs = Outputs()
    history = History(servers, 0.0, 0.0)

    def apply(topic: str, record: Any) -> None:
        outputs.apply(topic, record)
        history.records.setdefault(type(record).__name__, []).append(record)

    def progress(run: Run) -> None:
        clock.advance(max(0.0, run.event_time - clock.now()))

    async with EmbeddedBus.open(None) as bus:
        opened = Pipeline.open(bus, config, clock, pace=REPLAY_PACE, takers=Takers(apply))
        async with opened as pipeline, AsyncExitStack() as sinks:
            for server in servers:
                filling = _filling(server, pipeline, outputs, clock)
                history.drains.append(await sinks.enter_async_context(filling))
            run = await play(pipeline, [TAPE], Hasty(), speed=_SPEED, progress=progress)
            history.begin, history.end = run.event_time - 2 * DAY, run.event_time
    return history


@asynccontextmanager
async def _filling(
    server: InfluxServer, pipeline: Pipeline, outputs: Outputs, clock: ManualClock
) -> AsyncIterator[Drain]:
    """Fill one server while the recording is played, our own figures with it."""
    stages = StageCollector(pipeline.stages, clock.now)
    registry = process_registry(outputs, stages, Watches(clock))
    config = InfluxConfig.model_validate(
        {
            "url": server.url,
            "bucket": server.database(DATABASE),
            "token": server.token,
            "compress": False,
            "retention": 0,
        }
    )
    group = f"influxdb-{server.major}"
    own = OwnRows(registry, clock.now, every=600.0)
    async with (
        watched(pipeline.bus, clock, registry),
        sink(pipeline.bus, 1, config, clock, own=own, group=group) as drain,
    ):
        registry.register(SinkCollector(drain))
        stop = asyncio.Event()
        working = asyncio.create_task(drain.run(stop))
        yield drain
        stop.set()
        await working
        await drain.drain()


def board(name: str) -> dict[str, Any]:
    """A dashboard as it is committed."""
    found: dict[str, Any] = json.loads((BOARDS / f"{name}.json").read_text())
    return found


def boards() -> list[str]:
    return sorted(path.stem for path in BOARDS.glob("*.json"))


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


VALUES = {
    "cluster": "demo",
    "namespace": ".*",
    "workload": ".*",
    "node": "node-4",
    "horizon": "6h",
    "severity": ".*",
}
# Panels of what is over when the recording ends are asked about a time when it was not: seconds
# before the end.
SHOWN_EARLIER = {"Node limits within 24 h": 14 * 3600.0}
OF_BOARD = {"workload": {"namespace": "payments", "workload": "ledger"}}


def expand(name: str, query: str, begin: float, end: float, interval: str = "30m") -> str:
    """Fill a query's variables in as Grafana does."""
    values = {**VALUES, **OF_BOARD.get(name, {})}
    text = query.replace(
        "$timeFilter", f"time >= {begin * 1000:.0f}ms AND time <= {end * 1000:.0f}ms"
    )
    text = text.replace("$__interval", interval).replace("${__from}", f"{begin * 1000:.0f}")
    return re.sub(r"\$(\w+)", lambda match: values[match[1]], text)


def span(history: History, name: str, panel: dict[str, Any]) -> tuple[float, float]:
    """The time that a panel shows: the recording, and a day ahead where its dashboard looks."""
    if panel["title"] in SHOWN_EARLIER:
        return history.begin, history.end - SHOWN_EARLIER[panel["title"]]
    ahead = DAY if board(name)["time"]["to"] == "now+24h" else 0.0
    shift = DAY if panel.get("timeShift") == "1d" else 0.0
    begin = history.end - DAY if shift else history.begin
    return begin - shift, history.end + ahead - shift


def ask(server: InfluxServer, query: str) -> list[dict[str, Any]]:
    """The series that a server answers with."""

    async def go() -> Any:
        client = server.client(DATABASE)
        try:
            return await client.query(query, DATABASE)
        finally:
            await client.aclose()

    found: list[dict[str, Any]] = asyncio.run(go())["results"][0].get("series", [])
    return found


def filled(series: list[dict[str, Any]]) -> bool:
    """Whether there is any value at all: InfluxQL also answers with rows of nothing."""
    return any(value is not None for one in series for row in one["values"] for value in row[1:])

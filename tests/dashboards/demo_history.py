"""The demo's recording in real InfluxDB servers, and what a dashboard would ask of them.

The recording is played once, with the sink beside it, as `forewarn demo` does; what is on the bus
in the end is drained into each server. Queries are expanded as Grafana's InfluxQL does it.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector

from forewarn.config import load
from forewarn.demo import TAPE
from forewarn.figures import Outputs, PipelineCollector, SinkCollector, rows_of
from forewarn.influxdb import InfluxConfig, sink
from forewarn.pipeline import Pipeline
from forewarn.play import Run, play
from forewarn.replay import REPLAY_PACE
from stream.embedded import EmbeddedBus
from stream.sinks.drain import Drain
from stream.testing import ManualClock
from tests.stream.influx_server import InfluxServer

DATABASE = "demo"
BOARDS = Path(__file__).resolve().parent.parent.parent / "dashboards" / "json"
DAY = 86_400.0


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
        opened = Pipeline.open(bus, config, clock, pace=REPLAY_PACE, apply=apply)
        async with opened as pipeline:
            run = await play(pipeline, [TAPE], clock, progress=progress)
            history.begin, history.end = run.event_time - 2 * DAY, run.event_time
            for server in servers:
                settings = InfluxConfig(
                    url=server.url,
                    bucket=server.database(DATABASE),
                    token=server.token,  # type: ignore[arg-type]
                    compress=False,
                    retention=0,
                )
                async with sink(bus, 1, settings, clock, group=server.url) as drain:
                    history.drains.append(drain)
                    await drain.drain()
                    await _own(drain, [outputs, PipelineCollector(pipeline)], history, server)
    return history


async def _own(drain: Drain, others: list[Any], history: History, server: InfluxServer) -> None:
    """Write our own figures as of the last hours, as a process that lives so long does."""
    registry = CollectorRegistry()
    for collector in (*others, SinkCollector(drain)):
        registry.register(collector)
    ProcessCollector(registry=registry)
    client = server.client(DATABASE)
    for i in range(10):
        rows = list(rows_of(registry, history.end - 1800 * (9 - i)))
        await client.write([drain.encoder.line(row) for row in rows])
    await client.aclose()


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
    text = text.replace("$__interval", interval)
    text = re.sub(r"\$(\w+)", lambda match: values[match[1]], text)
    assert "$" not in text.replace("$/", ""), text
    return text


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

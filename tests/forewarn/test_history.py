"""The history beside a pipeline: it fills, it says how it is, and it holds nobody up.

Leaves out the sink's own faults (`tests/stream/test_drain.py`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from forewarn.config import Config
from forewarn.figures import Outputs
from forewarn.history import beside, check
from forewarn.pipeline import Pipeline
from forewarn.takers import Takers
from stream.clock import SystemClock
from stream.codec import outgoing
from stream.embedded import EmbeddedBus
from stream.records import Point
from stream.sinks.base import Trouble
from stream.sinks.drain import Drain
from tests.stream.fake_influx import FakeInflux, running

AT = 1_760_000_000.0


def config(url: str | None) -> Config:
    history = {"url": url, "token": FakeInflux().token, "retention": 0} if url else {}
    return Config.model_validate({"influxdb": history})


@asynccontextmanager
async def working(
    url: str | None, registry: CollectorRegistry, last: float = 5.0
) -> AsyncIterator[tuple[Pipeline, Drain | None]]:
    clock, outputs = SystemClock(), Outputs()
    async with EmbeddedBus.open(None) as bus:
        opened = Pipeline.open(bus, config(url), clock, takers=Takers(outputs.apply))
        async with opened as pipeline:
            beginning = beside(pipeline, clock, registry, outputs, now=lambda: AT, last=last)
            async with beginning as drain:
                yield pipeline, drain


async def publish(pipeline: Pipeline, count: int) -> None:
    points = [
        Point("node", (("cluster", "c"), ("node", "n")), {"pods": 1.0}, AT + i)
        for i in range(count)
    ]
    await pipeline.bus.publish([outgoing(point, 1) for point in points])


async def test_what_is_on_the_bus_when_it_ends_still_arrives_with_our_own_figures() -> None:
    registry = CollectorRegistry()
    async with running() as fake:
        async with working(fake.url, registry) as (pipeline, _):
            await publish(pipeline, 700)
            await pipeline.drain()
        names = {series[0] for series, _ in fake.points}
        assert names == {"node", "forewarn_metric"}
        assert sum(series[0] == "node" for series, _ in fake.points) == 700
        own = {
            dict(series[1])["metric"] for series, _ in fake.points if "metric" in dict(series[1])
        }
        assert {"forewarn_influx_up", "forewarn_records_processed_total"} <= own
    assert generate_latest(registry) == b"", "what ended is no longer shown"


async def test_a_server_that_is_away_delays_the_end_by_no_more_than_its_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = CollectorRegistry()
    clock = SystemClock()
    async with working("http://127.0.0.1:9", registry, last=0.2) as (pipeline, drain):
        assert drain is not None
        await publish(pipeline, 10)
        async with asyncio.timeout(10):
            while drain.tally.trouble is not Trouble.UNREACHABLE:
                await clock.sleep_until(clock.now() + 0.01)
        text = generate_latest(registry).decode()
        assert "forewarn_influx_up 0.0" in text
        assert check(drain).passed, "degraded is not unready"
        assert check(drain).text.startswith("degraded, unreachable for ")
        assert 'forewarn_influx_request_failures_total{reason="unreachable"}' in text
        began = clock.now()
    assert clock.now() - began < 2.0
    assert "influxdb=behind" in caplog.text


async def test_a_sink_that_must_stop_stops_alone_and_aloud(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    registry = CollectorRegistry()
    clock = SystemClock()
    async with running() as fake:
        fake.kinds["node", "pods"] = float
        async with working(fake.url, registry) as (pipeline, drain):
            assert drain is not None
            await publish(pipeline, 200)
            async with asyncio.timeout(10):
                while drain.tally.trouble is not Trouble.STOPPED:
                    await clock.sleep_until(clock.now() + 0.01)
            assert await pipeline.drain() == 0, "the pipeline goes on"
    assert "influxdb=stopped" in caplog.text


async def test_without_an_address_there_is_no_sink_and_the_figures_are_there() -> None:
    registry = CollectorRegistry()
    async with working(None, registry) as (_, drain):
        assert drain is None
        assert b"forewarn_records_processed_total" in generate_latest(registry)
        assert b"forewarn_influx" not in generate_latest(registry)

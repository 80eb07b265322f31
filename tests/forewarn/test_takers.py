"""Who hears what: a page is shown the past, a counter counts nothing twice."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from forewarn import takers
from forewarn.takers import Takers
from stream import codec, topics
from stream.embedded import EmbeddedBus
from stream.records import Point


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedBus]:
    async with EmbeddedBus.open(tmp_path / "bus.db", synchronous="OFF") as opened:
        await opened.ensure(topics.specs(2))
        yield opened


class Hearer:
    """Keeps the event times of the points that it was given."""

    def __init__(self) -> None:
        self.heard: list[float] = []

    def take(self, topic: str, record: Any) -> None:
        assert (topic, type(record)) == (topics.TS, Point)
        self.heard.append(record.at)


async def say(bus: EmbeddedBus, *times: int) -> None:
    points = [Point("m", (("cluster", "prod"),), {"v": 1.0}, float(at)) for at in times]
    await bus.publish([codec.outgoing(point, 1) for point in points])


async def test_a_page_is_shown_what_was_said_before_it_and_a_counter_is_not(
    bus: EmbeddedBus,
) -> None:
    await say(bus, 1, 2)
    page, counter = Hearer(), Hearer()
    told = Takers(counter.take, show=page.take)
    async with told.reading(bus):
        await say(bus, 3)
        await told.take()
        assert page.heard == [1.0, 2.0, 3.0]
        assert counter.heard == [3.0]
        await told.take()
        assert len(page.heard) == 3


async def test_a_bus_that_is_opened_again_is_read_from_where_it_got_to(bus: EmbeddedBus) -> None:
    page, counter = Hearer(), Hearer()
    told = Takers(counter.take, show=page.take)
    async with told.reading(bus):
        await say(bus, 1)
        await told.take()
    await told.take()  # nobody reads
    await say(bus, 2)
    async with told.reading(bus):
        await told.take()
    assert page.heard == counter.heard == [1.0, 2.0]


async def test_of_a_long_past_the_newest_is_shown(
    bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takers, "PAST", 3)
    await say(bus, *range(10))
    page = Hearer()
    told = Takers(show=page.take)
    async with told.reading(bus):
        await told.take()
    assert page.heard == [7.0, 8.0, 9.0]

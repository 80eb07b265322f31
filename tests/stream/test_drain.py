"""The sink's loop: nothing lost, nothing twice, nobody held up, whatever the server does.

Faults by script against the strict fake, on a clock that the test holds; an outage and a refused
token against real servers. Figures of a long outage: `benchmarks/measure_influxdb.py`.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stream.bus import Batch, Bus, Outgoing, Subscription
from stream.clock import SystemClock
from stream.codec import decode, outgoing
from stream.embedded import EmbeddedBus
from stream.errors import Corrupt, Unavailable
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.records import DeadLetter, Point
from stream.sinks.base import Trouble, Troubled
from stream.sinks.drain import GROUP, Drain
from stream.sinks.encode import Encoder, Refusal, Row
from stream.sinks.influxdb import InfluxDB
from stream.testing import ManualClock
from stream.topics import DEAD_LETTERS, FINDINGS, FORECASTS, TS, specs
from tests.conftest import missing
from tests.kafka_broker import Broker
from tests.stream.fake_influx import Answer, FakeInflux, running
from tests.stream.influx_server import DATABASE, ORG, InfluxServer, binary

AT = 1_760_000_000.0


class Hasty(ManualClock):
    """A clock on which waiting takes no time: it jumps to the deadline, and says so."""

    def __init__(self, now: float, before: Callable[[], None] = lambda: None) -> None:
        super().__init__(now)
        self._before = before

    async def sleep_until(self, deadline: float) -> None:
        """Jump."""
        self._before()
        self.advance(max(0.0, deadline - self.now()))
        await asyncio.sleep(0)


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with EmbeddedBus.open(None) as opened:
        await opened.ensure(specs(1))
        yield opened


@pytest.fixture
async def fake() -> AsyncIterator[FakeInflux]:
    async with running() as server:
        yield server


@pytest.fixture
def clock() -> Hasty:
    return Hasty(AT + 1000)


def client(fake: FakeInflux, clock: Hasty) -> InfluxDB:
    return InfluxDB(fake.url, org=ORG, bucket="forewarn", token=lambda: "canary-token", clock=clock)


def point(i: int, **fields: float) -> Point:
    tags = (("cluster", "prod"), ("node", f"n{i % 7}"))
    return Point("node", tags, fields or {"pods": float(i)}, AT + i)


async def publish(bus: Bus, points: Sequence[Point]) -> None:
    await bus.publish([outgoing(each, 1) for each in points])


async def letters(bus: Bus) -> list[DeadLetter]:
    found = await bus.read(DEAD_LETTERS, 0, 0, 10_000)
    return [decode(DEAD_LETTERS, message.value) for message in found.messages] if found else []


async def uncommitted(bus: Bus) -> int:
    async with bus.subscribe([TS, FINDINGS, FORECASTS], GROUP) as subscription:
        return sum(len(batch.messages) for batch in await subscription.poll(100_000))


async def test_what_the_server_took_is_committed_and_not_sent_again(
    bus: Bus, fake: FakeInflux, clock: Hasty
) -> None:
    await publish(bus, [point(i) for i in range(300)])
    drain = Drain(bus, 1, client(fake, clock), clock, batch=100)
    assert await drain.drain() == 300
    assert len(fake.points) == 300
    assert [lines for _, lines in fake.requests] == [100, 100, 100]
    assert await Drain(bus, 1, client(fake, clock), clock).drain() == 0
    assert drain.tally.written == 300
    assert drain.tally.waiting_since is None
    assert drain.tally.written_at == AT + 299


async def test_a_crash_after_the_write_repeats_lines_and_leaves_the_same_points(
    bus: Bus, fake: FakeInflux, clock: Hasty
) -> None:
    await publish(bus, [point(i) for i in range(50)])
    server = client(fake, clock)

    class Dies:
        async def write(self, lines: Sequence[bytes]) -> None:
            await server.write(lines)
            raise asyncio.CancelledError

        async def aclose(self) -> None: ...

    with pytest.raises(asyncio.CancelledError):
        await Drain(bus, 1, Dies(), clock).drain()
    before = dict(fake.points)
    assert len(before) == 50
    assert await Drain(bus, 1, server, clock).drain() == 50
    assert fake.points == before


async def test_an_answer_that_got_lost_is_asked_for_again_and_changes_nothing(
    bus: Bus, fake: FakeInflux, clock: Hasty
) -> None:
    await publish(bus, [point(i) for i in range(50)])
    fake.script.append(Answer(502, "<html>gateway</html>", after_writing=True))
    assert await Drain(bus, 1, client(fake, clock), clock).drain() == 50
    assert len(fake.points) == 50
    assert len(fake.requests) == 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("header", ["30", "Thu, 09 Oct 2025 08:53:50 GMT"])
async def test_no_retry_comes_earlier_than_the_server_asked_for(
    bus: Bus, fake: FakeInflux, status: int, header: str
) -> None:
    clock = Hasty(1_760_000_000.0)  # 2025-10-09 08:53:20
    fake.now = clock.now
    await publish(bus, [point(1)])
    fake.script.append(Answer(status, headers={"Retry-After": header}))
    drain = Drain(bus, 1, client(fake, clock), clock)
    assert await drain.drain() == 1
    (first, _), (second, _) = fake.requests
    assert second - first == 30
    assert drain.tally.troubles == {Trouble.BUSY: 1}


async def test_a_server_that_is_away_is_asked_ever_less_often_and_memory_holds_one_batch(
    bus: Bus, fake: FakeInflux, clock: Hasty
) -> None:
    fake.now = clock.now
    await publish(bus, [point(i) for i in range(1000)])
    fake.script.extend(Answer(500, "overloaded") for _ in range(9))
    drain = Drain(bus, 1, client(fake, clock), clock, batch=100)
    assert await drain.drain() == 1000
    pauses = [b[0] - a[0] for a, b in zip(fake.requests[:9], fake.requests[1:10], strict=True)]
    assert pauses[0] <= 2
    assert 30 <= max(pauses) <= 61
    assert {lines for _, lines in fake.requests} == {100}, "it read no further meanwhile"
    assert len(fake.points) == 1000


async def test_a_refused_token_is_loud_keeps_everything_and_heals(
    bus: Bus, fake: FakeInflux, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="stream")
    fake.token = "rotated"
    await publish(bus, [point(i) for i in range(10)])
    seen = []

    def look() -> None:
        seen.append((drain.tally.trouble, drain.tally.waiting_since, len(fake.points)))
        if len(seen) == 5:
            fake.token = "canary-token"

    clock = Hasty(AT + 1000, look)
    drain = Drain(bus, 1, client(fake, clock), clock)
    assert await drain.drain() == 10
    assert seen == [(Trouble.UNAUTHORISED, AT + 1000, 0)] * 5
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    assert "canary" not in caplog.text
    assert drain.tally.trouble is None
    assert "influxdb=well after=unauthorised" in caplog.text


async def test_bad_lines_go_to_the_dead_letters_with_reasons_and_good_ones_arrive(
    bus: Bus, fake: FakeInflux, clock: Hasty
) -> None:
    fake.kinds["node", "pods"] = int
    fake.kinds["node", "pids"] = float  # another writer got here first
    bad = {100, 350, 351, 999}
    points = [point(i, **({"pids": 1.0} if i in bad else {"pods": float(i)})) for i in range(1000)]
    await publish(bus, points)
    drain = Drain(bus, 1, client(fake, clock), clock)
    assert await drain.drain() == 996
    assert len(fake.points) == 996, "no good point lost"
    found = await letters(bus)
    assert sorted(int(letter.place.split("@")[1]) for letter in found) == sorted(bad)
    for letter in found:
        assert letter.place.startswith("ts/0@")
        assert "server: influxdb at" in letter.error
        assert 'input field "pids" on measurement "node"' in letter.error
        assert "line: node,cluster=prod" in letter.error
        assert decode(TS, letter.value) in points
    assert drain.tally.refused == {Refusal.SERVER: 4}
    assert len(fake.requests) < 100, "halving, not one by one"


async def test_what_is_no_record_or_not_in_the_schema_goes_to_the_dead_letters(
    bus: Bus, fake: FakeInflux, clock: Hasty
) -> None:
    await publish(bus, [point(i) for i in range(500)])
    await bus.publish([Outgoing(TS, 0, b"k", b"\xff\x00", AT)])
    await publish(bus, [Point("moods", (), {"good": 1.0}, AT)])
    drain = Drain(bus, 1, client(fake, clock), clock)
    assert await drain.drain() == 500
    unreadable, unknown = await letters(bus)
    assert unreadable.value == b"\xff\x00"
    assert unreadable.error.startswith("unreadable: ")
    assert unknown.error == "unknown-measurement: measurement 'moods' is not in the schema"


async def test_when_too_much_is_bad_it_stops_where_it_was(
    bus: Bus, fake: FakeInflux, clock: Hasty
) -> None:
    fake.kinds["node", "pods"] = float
    await publish(bus, [point(i) for i in range(300)])
    with pytest.raises(Corrupt, match="of ts/0 are unusable"):
        await Drain(bus, 1, client(fake, clock), clock).drain()
    assert await uncommitted(bus) == 300
    assert await letters(bus) == []


async def test_points_older_than_the_server_keeps_are_counted_and_not_sent(
    bus: Bus, fake: FakeInflux, clock: Hasty
) -> None:
    await publish(bus, [point(i) for i in range(1000)])
    drain = Drain(bus, 1, client(fake, clock), clock, retention=500.0)
    assert await drain.drain() == 500
    assert drain.tally.refused[Refusal.BEYOND_RETENTION] == 500
    assert await letters(bus) == []


class Shaky:
    """A bus whose first subscriptions fail: one when read, one when committed."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.failures = ["poll", "commit"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], group: str) -> AsyncIterator[Subscription]:
        async with self._bus.subscribe(topics, group) as inner:
            failing = self.failures.pop(0) if self.failures else ""

            class Failing:
                async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
                    if failing == "poll":
                        raise Unavailable("no broker")
                    return await inner.poll(limit, wait)

                async def commit(self) -> None:
                    if failing == "commit":
                        raise Unavailable("some of it went to another member")
                    await inner.commit()

            yield Failing()


async def test_a_bus_that_fails_is_subscribed_to_anew_and_nothing_is_lost(
    bus: Bus, fake: FakeInflux, clock: Hasty, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(bus, [point(i) for i in range(100)])
    shaky: Any = Shaky(bus)
    drain = Drain(shaky, 1, client(fake, clock), clock, linger=0.01)
    stop = asyncio.Event()
    working = asyncio.create_task(drain.run(stop))
    async with asyncio.timeout(20):
        while shaky.failures or drain.tally.written < 200:
            await SystemClock().sleep_until(SystemClock().now() + 0.01)
    stop.set()
    await working
    assert len(fake.points) == 100, "written twice, there once"
    assert await uncommitted(bus) == 0
    assert caplog.text.count("bus=unavailable") == 2


@pytest.mark.kafka
async def test_over_kafka_two_sinks_of_one_group_share_the_work_and_lose_nothing(
    kafka: Broker, fake: FakeInflux
) -> None:
    clock = SystemClock()
    settings = KafkaSettings(
        bootstrap=(kafka.address,),
        prefix=f"drain{uuid.uuid4().hex[:8]}.",
        replication_factor=1,
        min_insync_replicas=1,
    )
    async with KafkaBus.open(settings) as one, KafkaBus.open(settings) as two:
        await one.ensure(specs(2))
        influx = InfluxDB(
            fake.url, org=ORG, bucket="forewarn", token=lambda: "canary-token", clock=clock
        )
        drains = [Drain(each, 2, influx, clock, linger=0.05) for each in (one, two)]
        stop = asyncio.Event()
        working = [asyncio.create_task(drain.run(stop)) for drain in drains]
        for wave in range(10):
            points = [point(wave * 200 + i) for i in range(200)]
            await one.publish([outgoing(each, 2) for each in points])
        async with asyncio.timeout(60):
            while len(fake.points) < 2000:
                await clock.sleep_until(clock.now() + 0.05)
        stop.set()
        await asyncio.gather(*working)
        await influx.aclose()
    assert len(fake.points) == 2000


def first(tmp_path: Path, *, auth: bool = False) -> InfluxServer:
    """A server of the test's own, to be killed."""
    path = binary(1)
    if path is None:
        missing("InfluxDB 1.8.10", "run `make components`")
    assert path is not None
    server = InfluxServer(1, path, tmp_path / "data", auth=auth)
    server.start()
    return server


async def test_a_real_server_may_die_in_the_middle_and_misses_nothing(
    bus: Bus, tmp_path: Path
) -> None:
    server = first(tmp_path)
    clock = SystemClock()
    influx = server.client(clock=clock)
    drain = Drain(bus, 1, influx, clock, linger=0.05)
    stop = asyncio.Event()
    working = asyncio.create_task(drain.run(stop))

    async def until(reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not reached():
                await clock.sleep_until(clock.now() + 0.01)

    sent = 0
    for wave in range(30):
        await publish(bus, [point(sent + i) for i in range(500)])
        sent += 500
        if wave == 5:
            await until(lambda: drain.tally.written > 0)
            server.stop(kill=True)
        if wave == 20:
            await until(lambda: drain.tally.trouble is Trouble.UNREACHABLE)
            await asyncio.to_thread(server.start)
    await until(lambda: drain.tally.written >= sent)
    stop.set()
    await working
    answer = await influx.query("SELECT count(pods) FROM node", DATABASE)
    assert answer["results"][0]["series"][0]["values"][0][1] == sent
    await influx.aclose()
    server.stop()


async def test_a_real_1_8_with_passwords_lets_the_right_one_in_and_hides_the_wrong_one(
    tmp_path: Path,
) -> None:
    server = first(tmp_path, auth=True)
    line = Encoder().line(Row("node", (("node", "n1"),), {"pods": 7}, AT))
    wrong = server.client(token=lambda: "admin:hunter2")
    with pytest.raises(Troubled) as caught:
        await wrong.write([line])
    assert caught.value.reason is Trouble.UNAUTHORISED
    assert "hunter2" not in str(caught.value)
    right = server.client()
    await right.write([line])
    answer = await right.query("SELECT pods FROM node", DATABASE)
    assert answer["results"][0]["series"][0]["values"] == [[int(AT) * 10**9, 7]]
    await wrong.aclose()
    await right.aclose()
    server.stop()

"""What every bus must do, tried on each row of `BUSES`; nothing here knows how a bus stores things.

Leaves out speed, and what only one kind has: damaged files and locks (`tests/stream`), rebalancing.
"""

import asyncio
import hashlib
import multiprocessing
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import pytest

from stream.bus import Abort, Bus, Lag, Message, Outgoing, Ownership, Position, TopicSpec
from stream.embedded import EmbeddedBus
from stream.errors import Corrupt, Fenced, Rejected
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from tests.kafka_broker import Broker

# Opens the bus at a place; opening the same place again, also in another process, finds everything.
Opener = Callable[[Path], AbstractAsyncContextManager[Bus]]


def embedded(place: Path) -> AbstractAsyncContextManager[Bus]:
    return EmbeddedBus.open(place / "bus.db")


def embedded_normal(place: Path) -> AbstractAsyncContextManager[Bus]:
    return EmbeddedBus.open(place / "bus.db", synchronous="NORMAL")


def kafka(place: Path) -> AbstractAsyncContextManager[Bus]:
    settings = KafkaSettings(
        bootstrap=(os.environ["FOREWARN_TEST_KAFKA"],),
        prefix=f"{hashlib.sha256(bytes(place)).hexdigest()[:12]}.",
        replication_factor=1,
        min_insync_replicas=1,
        transaction_timeout=5.0,
    )
    return KafkaBus.open(settings)


BUSES: Final[dict[str, Opener]] = {
    "embedded": embedded,
    "embedded-normal": embedded_normal,
    "kafka": kafka,
}

DAY: Final = 86_400.0
TOPICS: Final = (
    TopicSpec("in", 2, None),
    TopicSpec("also-in", 2, None),
    TopicSpec("out", 2, None),
    TopicSpec("wide", 64, None),
    TopicSpec("short", 1, DAY),
)
# A child on Kafka takes a second to start; benchmarks/chaos kills it more often, and harder.
KILLS: Final = {"embedded": 20, "embedded-normal": 20, "kafka": 6}


@pytest.fixture(
    params=[pytest.param(n, marks=pytest.mark.kafka if n == "kafka" else ()) for n in BUSES]
)
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Opener:
    if request.param == "kafka":
        broker: Broker = request.getfixturevalue("kafka")
        monkeypatch.setenv("FOREWARN_TEST_KAFKA", broker.address)
    return BUSES[request.param]


@pytest.fixture
async def bus(opener: Opener, tmp_path: Path) -> AsyncIterator[Bus]:
    async with opened(opener, tmp_path) as bus:
        yield bus


@asynccontextmanager
async def opened(opener: Opener, place: Path) -> AsyncIterator[Bus]:
    async with opener(place) as bus:
        await bus.ensure(TOPICS)
        yield bus


def message(topic: str, partition: int, value: bytes, at: float = 1.0) -> Outgoing:
    return Outgoing(topic, partition, b"key", value, at)


def numbered(topic: str, count: int, partition: int = 0, start: int = 0) -> list[Outgoing]:
    return [message(topic, partition, b"%d" % i, float(i)) for i in range(start, start + count)]


async def everything(
    bus: Bus, topic: str, partition: int = 0, offset: int = 0, limit: int = 1_000
) -> list[Message]:
    """All messages of one partition from `offset`, read `limit` at a time."""
    await bus.settled(topic)
    found: list[Message] = []
    while batch := await bus.read(topic, partition, offset, limit):
        assert (batch.topic, batch.partition) == (topic, partition)
        assert 0 < len(batch.messages) <= limit
        found.extend(batch.messages)
        offset = batch.next_offset
    return found


async def values(bus: Bus, topic: str, partition: int = 0) -> list[bytes]:
    return [message.value for message in await everything(bus, topic, partition)]


async def polled(owner: Ownership, count: int) -> list[Message]:
    found: list[Message] = []
    while len(found) < count:
        batches = await owner.poll(1_000, 5.0)
        assert batches, f"only {len(found)} of {count} came"
        found.extend(message for batch in batches for message in batch.messages)
    return found


# ---- the log ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 7, 1_000, 5_000])
async def test_a_partition_keeps_its_order_and_offsets_rise(bus: Bus, limit: int) -> None:
    for start in range(0, 2_500, 500):
        await bus.publish(numbered("in", 500, start=start))
    found = await everything(bus, "in", limit=limit)
    assert [message.value for message in found] == [b"%d" % i for i in range(2_500)]
    offsets = [message.offset for message in found]
    assert offsets == sorted(set(offsets))


async def test_a_message_of_many_partitions_goes_where_it_was_sent(bus: Bus) -> None:
    sent = [message("wide", i % 64, b"%d" % i) for i in range(1_000)]
    random.Random(1).shuffle(sent)
    await bus.publish(sent)
    for partition in range(64):
        expected = [m.value for m in sent if m.partition == partition]
        assert await values(bus, "wide", partition) == expected
    assert sum(await bus.end_offsets("wide")) >= 1_000


@pytest.mark.parametrize("offset", [0, 1, 999, 1_000, 1_001, 1_999])
async def test_it_is_read_again_from_any_offset(bus: Bus, offset: int) -> None:
    await bus.publish(numbered("in", 2_000))
    first = await everything(bus, "in")
    again = await everything(bus, "in", offset=first[offset].offset, limit=300)
    assert again == first[offset:]


async def test_nothing_is_read_at_the_end(bus: Bus) -> None:
    assert await bus.read("in", 0, 0, 10) is None
    await bus.publish(numbered("in", 3))
    await bus.settled("in")
    end = (await bus.end_offsets("in"))[0]
    assert await bus.read("in", 0, end, 10) is None
    assert list(await bus.start_offsets("in")) == [0, 0]


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"", b"", ()),
        (b"\x00\xff", bytes(range(256)), (("schema", b"pod.v1"), ("empty", b""))),
        ("schlüssel".encode(), random.Random(3).randbytes(1 << 20), (("again", b"1"),) * 2),
    ],
    ids=["empty", "binary", "1 MiB"],
)
async def test_bytes_come_back_as_they_went(
    bus: Bus, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...]
) -> None:
    await bus.publish([Outgoing("in", 1, key, value, 1_700_000_000.25, headers)])
    [found] = await everything(bus, "in", 1)
    assert found[1:] == (key, value, 1_700_000_000.25, headers)


async def test_many_large_messages_fit_into_one_publish(bus: Bus) -> None:
    sent = [message("in", 0, random.Random(i).randbytes(1 << 19)) for i in range(20)]
    await bus.publish(sent)
    assert await values(bus, "in") == [m.value for m in sent]


async def test_an_unknown_topic_or_partition_is_rejected_and_nothing_written(bus: Bus) -> None:
    for bad in (message("nowhere", 0, b""), message("in", 2, b"")):
        with pytest.raises(Rejected):
            await bus.publish([message("in", 0, b"good"), bad])
    assert await values(bus, "in") == []


async def test_a_topic_with_another_number_of_partitions_is_corrupt(bus: Bus) -> None:
    with pytest.raises(Corrupt, match="partitions"):
        await bus.ensure([TopicSpec("new", 1, None), TopicSpec("in", 3, None)])
    await bus.ensure(TOPICS)


async def test_a_position_is_remembered_with_its_messages_or_not_at_all(bus: Bus) -> None:
    assert await bus.position("tape") is None
    await bus.publish([message("in", 0, b"1")], Position("tape", b"line 1"))
    await bus.publish([], Position("other", b""))
    with pytest.raises(Rejected):
        await bus.publish([message("nowhere", 0, b"2")], Position("tape", b"line 2"))
    assert await bus.position("tape") == b"line 1"
    assert await bus.position("other") == b""


async def test_notes_are_kept_beside_a_position_until_they_are_deleted(bus: Bus) -> None:
    assert await bus.position("live") is None
    assert await bus.notes("live") == {}
    await bus.publish([], Position("live", b"1", {"a/1": b"x", "b": b"y", "c": b"z"}))
    await bus.publish([], Position("live2", b"1", {"a/1": b"another's"}))
    await bus.publish([], Position("live", b"2", {"b": None, "c": b"new", "never": None}))
    with pytest.raises(Rejected):
        await bus.publish([message("nowhere", 0, b"")], Position("live", b"3", {"a/1": None}))
    await bus.publish([], Position("live", b"4"))
    assert await bus.position("live") == b"4"
    assert await bus.notes("live") == {"a/1": b"x", "c": b"new"}
    assert await bus.notes("live2") == {"a/1": b"another's"}
    assert await bus.notes("li") == {}


async def test_a_restart_finds_everything(opener: Opener, tmp_path: Path) -> None:
    async with opened(opener, tmp_path) as bus:
        await bus.publish(numbered("in", 10), Position("tape", b"10"))
        owner = await bus.own("app", 0, ["in"])
        await owner.commit([message("out", 0, b"said")], {b"k": b"v"}, {"in": 4})
        async with bus.subscribe(["in"], "group") as group:
            await group.poll(100)
            await group.commit()
        epoch = owner.epoch
    async with opened(opener, tmp_path) as bus:
        assert len(await everything(bus, "in")) == 10
        assert await bus.position("tape") == b"10"
        owner = await bus.own("app", 0, ["in"])
        assert owner.epoch > epoch
        assert dict(await owner.changelog()) == {b"k": b"v"}
        assert await values(bus, "out") == [b"said"]
        async with bus.subscribe(["in"], "group") as group:
            assert not await group.poll(100)


# ---- a task -----------------------------------------------------------------------------------


async def test_a_task_reads_its_own_partition_of_each_input(bus: Bus) -> None:
    await bus.publish(numbered("in", 5, 1) + numbered("also-in", 5, 1, 5) + numbered("in", 9, 0))
    owner = await bus.own("app", 1, ["in", "also-in"])
    owner.seek({})
    found = await polled(owner, 10)
    assert sorted(int(m.value) for m in found) == list(range(10))
    assert not await owner.poll(10)


async def test_a_task_reads_from_where_it_seeks_and_elsewhere_from_the_oldest(bus: Bus) -> None:
    await bus.publish(numbered("in", 5) + numbered("also-in", 5, start=10))
    first = await everything(bus, "in")
    owner = await bus.own("app", 0, ["in", "also-in"])
    assert not await owner.poll(10)
    owner.seek({"in": first[3].offset})
    assert sorted(int(m.value) for m in await polled(owner, 7)) == [3, 4, 10, 11, 12, 13, 14]
    owner.seek({"in": first[0].offset, "also-in": (await bus.end_offsets("also-in"))[0]})
    assert [int(m.value) for m in await polled(owner, 5)] == [0, 1, 2, 3, 4]


async def test_a_poll_keeps_to_its_limit_and_starves_no_input(bus: Bus) -> None:
    await bus.publish(numbered("in", 3_000) + numbered("also-in", 10))
    owner = await bus.own("app", 0, ["in", "also-in"])
    owner.seek({})
    topics: list[str] = []
    for _ in range(6):
        batches = await owner.poll(100)
        assert sum(len(batch.messages) for batch in batches) <= 100
        topics.extend(batch.topic for batch in batches)
    assert set(topics) == {"in", "also-in"}


async def test_a_commit_shows_outputs_and_state_together(bus: Bus) -> None:
    owner = await bus.own("app", 0, ["in"])
    assert not await owner.changelog()
    await owner.commit(numbered("out", 3) + numbered("out", 2, 1), {b"a": b"1"}, {"in": 7})
    assert await values(bus, "out") == [b"0", b"1", b"2"]
    assert await values(bus, "out", 1) == [b"0", b"1"]
    assert dict(await owner.changelog()) == {b"a": b"1"}


async def test_a_failed_commit_shows_nothing(bus: Bus) -> None:
    owner = await bus.own("app", 0, ["in"])
    await owner.commit([message("out", 0, b"before")], {b"a": b"1"}, {"in": 1})
    with pytest.raises(Rejected):
        await owner.commit(
            [*numbered("out", 2_000), message("nowhere", 0, b"")], {b"a": b"2"}, {"in": 2}
        )
    again = await bus.own("app", 0, ["in"])
    assert await values(bus, "out") == [b"before"]
    assert dict(await again.changelog()) == {b"a": b"1"}


async def test_the_changelog_keeps_the_last_value_per_key_and_forgets_deleted_ones(
    bus: Bus,
) -> None:
    owner = await bus.own("app", 0, ["in"])
    for i in range(5):
        await owner.commit([], {b"a": b"%d" % i, b"b/%d" % i: b"", b"\xff": b"\x00" * i}, {})
    await owner.commit([], {b"b/0": None, b"b/1": None, b"never": None}, {})
    expected = {b"a": b"4", b"b/2": b"", b"b/3": b"", b"b/4": b"", b"\xff": b"\x00" * 4}
    assert dict(await owner.changelog()) == expected


async def test_tasks_keep_their_state_apart(bus: Bus) -> None:
    for app, partition in (("app", 0), ("app", 1), ("other", 0)):
        owner = await bus.own(app, partition, ["in"])
        assert not await owner.changelog()
        await owner.commit([], {b"me": f"{app}{partition}".encode()}, {})
    owner = await bus.own("app", 1, ["in"])
    assert dict(await owner.changelog()) == {b"me": b"app1"}


async def test_a_zombie_is_fenced_and_leaves_no_trace(bus: Bus) -> None:
    old = await bus.own("app", 0, ["in"])
    await old.commit([], {b"who": b"old"}, {"in": 1})
    new = await bus.own("app", 0, ["in"])
    assert new.epoch > old.epoch
    for _ in range(2):  # before and after the new owner has committed something
        with pytest.raises(Fenced):
            await old.commit([message("out", 0, b"ghost")], {b"who": b"ghost"}, {"in": 9})
        await new.commit([message("out", 0, b"alive")], {b"who": b"new"}, {"in": 2})
    assert await values(bus, "out") == [b"alive", b"alive"]
    assert dict(await new.changelog()) == {b"who": b"new"}


async def test_a_zombie_on_another_bus_at_the_same_place_is_fenced(
    opener: Opener, tmp_path: Path
) -> None:
    async with opened(opener, tmp_path) as one, opened(opener, tmp_path) as two:
        old = await one.own("app", 0, ["in"])
        new = await two.own("app", 0, ["in"])
        with pytest.raises(Fenced):
            await old.commit([message("out", 0, b"ghost")], {}, {})
        await new.commit([message("out", 0, b"alive")], {}, {})
        assert await values(one, "out") == [b"alive"]


async def test_a_released_task_commits_no_more(bus: Bus) -> None:
    owner = await bus.own("app", 0, ["in"])
    await owner.release()
    await owner.release()
    with pytest.raises(Fenced):
        await owner.commit([message("out", 0, b"late")], {}, {})
    assert await values(bus, "out") == []


# ---- groups -----------------------------------------------------------------------------------


async def test_two_groups_read_independently(bus: Bus) -> None:
    await bus.publish(numbered("wide", 40, 3) + numbered("wide", 40, 60))
    async with bus.subscribe(["wide"], "one") as one, bus.subscribe(["wide"], "two") as two:
        for group in (one, two):
            got = [m.value for batch in await group.poll(1_000, 5.0) for m in batch.messages]
            assert sorted(got) == sorted([b"%d" % i for i in range(40)] * 2)
        await one.commit()
    async with bus.subscribe(["wide"], "one") as one, bus.subscribe(["wide"], "two") as two:
        assert not await one.poll(1_000)
        assert await two.poll(1_000, 5.0)


async def test_a_group_resumes_at_its_last_commit_and_misses_nothing(bus: Bus) -> None:
    await bus.publish(numbered("in", 100))
    seen: list[int] = []
    for committed in (True, False, True):
        async with bus.subscribe(["in"], "group") as group:
            got = [int(m.value) for b in await group.poll(30, 5.0) for m in b.messages]
            seen += got
            if committed:
                await group.commit()
    assert seen == [*range(30), *range(30, 60), *range(30, 60)]


async def test_a_reading_begins_where_it_is_told_and_goes_on_with_what_comes(bus: Bus) -> None:
    await bus.publish(numbered("wide", 5, 3) + numbered("wide", 5, 60))
    ends = await bus.end_offsets("wide")
    await bus.publish([message("wide", 3, b"new")])
    async with bus.reading({("wide", 3): ends[3], ("wide", 60): 0}) as reading:
        first = [m.value for batch in await reading.poll(100, 5.0) for m in batch.messages]
        assert sorted(first) == sorted([b"new", *[b"%d" % i for i in range(5)]])
        await bus.publish([message("wide", 3, b"newer"), message("wide", 4, b"of others")])
        [batch] = await reading.poll(100, 5.0)
        assert [m.value for m in batch.messages] == [b"newer"]


async def test_two_readings_see_everything_each(bus: Bus) -> None:
    await bus.publish(numbered("in", 5))
    async with bus.reading({("in", 0): 0}) as one, bus.reading({("in", 0): 0}) as two:
        for reading in (one, two):
            [batch] = await reading.poll(100, 5.0)
            assert len(batch.messages) == 5


# ---- figures ----------------------------------------------------------------------------------


async def test_lag_is_what_a_task_and_a_group_have_not_read_yet(bus: Bus) -> None:
    def behind(lags: Sequence[Lag]) -> dict[str, int]:
        return {f"{lag.group} {lag.topic}": lag.records for lag in lags if not lag.partition}

    assert not await bus.lag()
    owner = await bus.own("app", 0, ["in"])
    owner.seek({})
    await owner.poll(1)
    async with bus.subscribe(["in"], "group") as group:
        await group.poll(1)
        await bus.publish(numbered("in", 10))
        await bus.settled("in")
        before = behind(await bus.lag())
        assert min(before.values()) >= 10  # on Kafka a transaction ends with a marker
        assert set(before) == {"app in", "group in"}
        async with asyncio.timeout(10):
            while any(behind(await bus.lag()).values()):
                await owner.poll(100, 0.1)
                await group.poll(100, 0.1)
        assert {lag.held_seconds for lag in await bus.lag()} == {0.0}
    await owner.release()
    assert not await bus.lag()


async def test_transactions_are_counted_and_those_that_fail_by_reason(bus: Bus) -> None:
    await bus.publish(numbered("in", 1))
    old = await bus.own("app", 0, ["in"])
    new = await bus.own("app", 0, ["in"])
    with pytest.raises(Fenced):
        await old.commit([message("out", 0, b"ghost")], {}, {})
    await new.commit([message("out", 0, b"alive")], {}, {})
    assert bus.counters.transactions == 2
    assert bus.counters.aborts == {Abort.FENCED: 1}


# ---- waiting ----------------------------------------------------------------------------------


async def test_a_waiting_poll_wakes_on_a_publish_and_on_a_commit(bus: Bus) -> None:
    reader = await bus.own("reader", 0, ["in"])
    reader.seek({})
    writer = await bus.own("writer", 0, [])
    for write in (
        lambda: bus.publish([message("in", 0, b"published")]),
        lambda: writer.commit([message("in", 0, b"committed")], {}, {}),
    ):
        waiting = asyncio.create_task(reader.poll(10, 30.0))
        await asyncio.sleep(0)
        await write()
        async with asyncio.timeout(2.0):
            [batch] = await waiting
        assert len(batch.messages) == 1


async def test_a_waiting_poll_wakes_on_another_bus_at_the_same_place(
    opener: Opener, tmp_path: Path
) -> None:
    async with (
        opened(opener, tmp_path) as one,
        opened(opener, tmp_path) as two,
        one.subscribe(["in"], "group") as group,
    ):
        waiting = asyncio.create_task(group.poll(10, 30.0))
        await asyncio.sleep(0)
        await two.publish([message("in", 0, b"hello")])
        async with asyncio.timeout(2.0):
            assert await waiting


async def test_a_poll_gives_up_when_its_time_is_over(bus: Bus) -> None:
    owner = await bus.own("app", 0, ["in"])
    owner.seek({})
    async with asyncio.timeout(2.0):
        assert not await owner.poll(10, 0.05)
        assert not await owner.poll(10)


# ---- retention --------------------------------------------------------------------------------


async def test_what_is_older_than_its_topics_retention_goes(bus: Bus) -> None:
    for day in range(5):
        await bus.publish([message("short", 0, b"%d" % day, day * DAY)])
        await bus.publish([message("in", 0, b"%d" % day, day * DAY)])
    await bus.settled("short")
    assert await bus.trim(4.5 * DAY) == 4
    start = (await bus.start_offsets("short"))[0]
    assert [m.value for m in await everything(bus, "short", offset=start)] == [b"4"]
    assert len(await everything(bus, "in")) == 5
    assert await bus.trim(4.5 * DAY) == 0


async def test_a_lost_offset_is_corrupt_and_never_a_silent_gap(bus: Bus) -> None:
    owner = await bus.own("app", 0, ["short"])
    owner.seek({"short": 0})
    async with bus.subscribe(["short"], "group") as group:
        await bus.publish([message("short", 0, b"old", 0.0)])
        assert await group.poll(1, 5.0)
        await group.commit()
        await bus.publish([message("short", 0, b"also old", 1.0)])
        await bus.publish([message("short", 0, b"new", 9 * DAY)])
        await bus.settled("short")
        await bus.trim(9 * DAY)
        with pytest.raises(Corrupt, match="retention"):
            await bus.read("short", 0, 0, 10)
        with pytest.raises(Corrupt, match="retention"):
            await owner.poll(10)
    # Anew: one that was there all the time may have fetched ahead what went since.
    async with bus.subscribe(["short"], "group") as group:
        with pytest.raises(Corrupt, match="retention"):
            await group.poll(10)
    owner.seek({})  # not named: from the oldest that there is
    assert [m.value for m in await polled(owner, 1)] == [b"new"]


async def test_offsets_go_on_after_everything_was_trimmed(bus: Bus) -> None:
    await bus.publish([message("short", 0, b"%d" % i, 0.0) for i in range(3)])
    await bus.settled("short")
    end = (await bus.end_offsets("short"))[0]
    await bus.trim(9 * DAY)
    assert list(await bus.start_offsets("short")) == list(await bus.end_offsets("short")) == [end]
    await bus.publish([message("short", 0, b"next", 9 * DAY)])
    assert [m.value for m in await everything(bus, "short", offset=end)] == [b"next"]


async def test_an_offset_beyond_the_end_is_corrupt(bus: Bus) -> None:
    with pytest.raises(Corrupt):
        await bus.read("in", 0, 5, 1)


# ---- crash ------------------------------------------------------------------------------------


def commit_for_ever(name: str, place: Path, parent: Connection) -> None:
    """Commit step after step, each with its number in outputs, state and position."""

    async def main() -> None:
        async with opened(BUSES[name], place) as bus:
            owner = await bus.own("app", 0, ["in"])
            step = int((await owner.changelog()).get(b"step", b"0"))
            while True:
                step += 1
                said = [message("out", p, b"%d" % step) for p in (0, 1)]
                await owner.commit(said, {b"step": b"%d" % step}, {"in": step})
                await bus.publish([message("in", 0, b"%d" % step)], Position("s", b"%d" % step))
                parent.send(step)

    asyncio.run(main())


@pytest.mark.slow
async def test_kills_at_random_moments_lose_nothing_and_duplicate_nothing(
    request: pytest.FixtureRequest, opener: Opener, tmp_path: Path
) -> None:
    name = request.node.callspec.params["opener"]
    chance = random.Random(20)
    told = 0
    for _ in range(KILLS[name]):
        here, there = multiprocessing.get_context("fork").Pipe()
        child = multiprocessing.get_context("fork").Process(
            target=commit_for_ever, args=(name, tmp_path, there)
        )
        child.start()
        there.close()
        for _ in range(chance.randint(1, 20)):
            assert await asyncio.to_thread(here.poll, 30.0)
            told = here.recv()
        child.join(chance.uniform(0.0, 0.005))  # the moment is random, in or between two commits
        child.kill()
        child.join()
        here.close()
    async with opened(opener, tmp_path) as bus:
        owner = await bus.own("app", 0, ["in"])
        step = int((await owner.changelog())[b"step"])
        assert step >= told > KILLS[name], "what was told to be committed is there"
        expected = [b"%d" % i for i in range(1, step + 1)]
        assert await values(bus, "out", 0) == expected
        assert await values(bus, "out", 1) == expected
        published = await values(bus, "in")
        assert len(set(published)) == len(published)
        assert (await bus.position("s")) == published[-1]

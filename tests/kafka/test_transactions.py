"""Transactions whose end the broker has lost: ended as they were decided, or left to a person.

The broker of these tests does not check that a partition belongs to a transaction. A producer that
tells its coordinator of one partition only, but writes to more, leaves just what a killed broker
does: a transaction that is complete for its coordinator and open in the other partitions.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition
from typer.testing import CliRunner

from forewarn.cli import app
from forewarn.config import Config
from forewarn.transactions import Verdict, abort, ls, settle
from stream.bus import Outgoing, Position, TopicSpec
from stream.clock import SystemClock
from stream.errors import Corrupt, Rejected, Unavailable
from stream.kafka import KafkaBus
from stream.kafka_connection import Admin, Connection
from stream.kafka_protocol import Asked
from stream.kafka_settings import KafkaSettings
from stream.kafka_topics import state_topic
from stream.kafka_transactions import Hanging, Transactions
from tests.kafka_broker import Broker

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def careless(kafka_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that does not verify what belongs to a transaction."""
    extra = "transaction.partition.verification.enable=false"
    broker = Broker(kafka_home, tmp_path_factory.mktemp("careless"), extra)
    broker.start()
    yield broker
    broker.stop()


def settings(broker: Broker, prefix: str) -> KafkaSettings:
    return KafkaSettings(
        bootstrap=(broker.address,), prefix=prefix, replication_factor=1, min_insync_replicas=1
    )


@asynccontextmanager
async def predecessor(where: KafkaSettings, name: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer under one of our names that ends without a word."""
    producer = AIOKafkaProducer(
        **Connection(where).arguments(), transactional_id=where.prefix + name
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def half_told(producer: AIOKafkaProducer, where: KafkaSettings, told: str, not_: str) -> None:
    """Begin a transaction on two topics of which the coordinator knows one."""
    await producer.begin_transaction()
    for topic, value in ((told, b"told"), (not_, b"hidden")):
        part = TopicPartition(where.prefix + topic, 0)
        if topic == not_:
            producer._txn_manager._txn_partitions.add(part)  # as if the coordinator had said yes
        await (await producer.send(part.topic, value, b"k", partition=0))


async def opened(where: KafkaSettings) -> list[str]:
    connection = Connection(where)
    async with connection.admin() as admin:
        return sorted(each.topic for each in await Transactions(connection, admin).open())


async def values(bus: KafkaBus, topic: str) -> list[bytes]:
    found: list[bytes] = []
    offset = 0
    while batch := await bus.read(topic, 0, offset, 10):
        found += [message.value for message in batch.messages]
        offset = batch.next_offset
    return found


@pytest.mark.parametrize(("decision", "state"), [("commit", b"hidden"), ("abort", b"before")])
async def test_a_successor_ends_what_hangs_as_it_was_decided(
    careless: Broker, decision: str, state: bytes
) -> None:
    where = settings(careless, f"{decision}.")
    async with KafkaBus.open(where) as bus:
        await bus.ensure([TopicSpec("out", 1, None)])
        first = await bus.own("app", 0, [])
        await first.commit([], {b"k": b"before"}, {})
        await first.release()
        async with predecessor(where, "app-0") as producer:
            await half_told(producer, where, "out", state_topic("app"))
            await getattr(producer, f"{decision}_transaction")()
        assert await opened(where) == [where.prefix + state_topic("app")]
        second = await bus.own("app", 0, [])
        assert await opened(where) == []
        assert dict(await second.changelog()) == {b"k": state}
        assert bus.counters.settled == 1
        await second.commit([], {b"k": b"after"}, {})  # and everything goes on
        assert dict(await second.changelog()) == {b"k": b"after"}


async def test_a_publisher_ends_it_in_its_inputs_and_its_position(careless: Broker) -> None:
    where = settings(careless, "published.")
    async with KafkaBus.open(where) as bus:
        await bus.ensure([TopicSpec("in", 1, None)])
        await bus.publish([Outgoing("in", 0, b"", b"1")], Position("s", b"1"))
    async with predecessor(where, "publish-s") as producer:
        await half_told(producer, where, "positions", "in")
        await producer.commit_transaction()
    async with KafkaBus.open(where) as bus:
        assert await bus.position("s") == b"1"
        await bus.settled("in")
        assert await values(bus, "in") == [b"1", b"hidden"]


async def test_a_predecessor_that_is_still_at_work_is_only_fenced(careless: Broker) -> None:
    where = settings(careless, "works.")
    async with KafkaBus.open(where) as bus:
        await (await bus.own("app", 0, [])).release()
        async with predecessor(where, "app-0") as producer:
            await producer.begin_transaction()
            await (await producer.send("works.app-state", b"ghost", b"k", partition=0))
            successor = await bus.own("app", 0, [])
            assert dict(await successor.changelog()) == {}
            assert bus.counters.settled == 0
            with pytest.raises(Exception, match=r"Fenced|fenced|newer"):
                await producer.commit_transaction()


async def test_what_was_begun_again_before_it_was_fenced_is_left_to_a_person(
    careless: Broker,
) -> None:
    where = settings(careless, "again.")
    connection = Connection(where)
    async with KafkaBus.open(where) as bus, connection.admin() as admin:
        await bus.ensure([TopicSpec("out", 1, None)])
        await (await bus.own("app", 0, [])).release()
        transactions = Transactions(connection, admin)
        async with predecessor(where, "app-0") as producer:
            await half_told(producer, where, "out", "app-state")
            await producer.commit_transaction()
            hanging = await transactions.hanging("app-0")
            assert isinstance(hanging, Hanging)
            await producer.begin_transaction()  # a zombie, between our look and our fence
            await (await producer.send("again.app-state", b"late", b"k", partition=0))
        async with predecessor(where, "app-0") as successor:
            inside = successor._txn_manager
            with pytest.raises(Corrupt, match="begun again before it was fenced"):
                await transactions.settle(hanging, inside.producer_id << 16 | inside.producer_epoch)


async def test_a_broken_connection_makes_a_task_and_a_publisher_start_anew(
    careless: Broker,
) -> None:
    where = settings(careless, "shaken.")
    async with KafkaBus.open(where) as bus:
        await bus.ensure([TopicSpec("in", 1, None)])
        task = await bus.own("app", 0, ["in"])
        await task.commit([], {b"k": b"v"}, {})
        await bus.publish([Outgoing("in", 0, b"", b"1")], Position("s", b"1"))
        writers = [task._writer, bus._writers["publish-s"]]  # type: ignore[attr-defined]
        for writer in writers:
            for connection in writer._producer.client._conns.values():
                connection._writer.transport.abort()  # as a broker that dies
        async with asyncio.timeout(10.0):
            while not all(writer.shaken for writer in writers):  # noqa: ASYNC110
                await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="connection"):
            await task.poll(1)
        with pytest.raises(Unavailable, match="connection"):
            await bus.publish([Outgoing("in", 0, b"", b"2")], Position("s", b"2"))
        assert await bus.position("s") == b"1"
        await bus.publish([Outgoing("in", 0, b"", b"2")], Position("s", b"2"))
        assert dict(await (await bus.own("app", 0, ["in"])).changelog()) == {b"k": b"v"}


async def test_a_person_ends_what_nobody_will_start_under_again(careless: Broker) -> None:
    where = settings(careless, "person.")
    config = Config(bus="kafka", partitions=1, kafka=where)
    async with KafkaBus.open(where) as bus:
        await bus.ensure([TopicSpec("in", 1, None), TopicSpec("other", 1, None)])
        async with predecessor(where, "gone") as producer:
            await half_told(producer, where, "in", "other")
            await producer.commit_transaction()
        async with predecessor(where, "fenced") as producer:
            await half_told(producer, where, "other", "in")
            await producer.commit_transaction()
        async with predecessor(where, "fenced"):
            pass  # a start that did not look: the decision is forgotten
        running = predecessor(where, "running")
        async with running as producer:
            await producer.begin_transaction()
            await (await producer.send("person.in", b"", b"k", partition=0))
            assert {line.name: line.verdict for line in await ls(config)} == {
                "person.gone": Verdict.SETTLE,
                "person.fenced": Verdict.ABORT,
                "person.running": Verdict.RUNS,
            }
            [ended] = await settle(config, SystemClock())
            assert (ended.name, ended.place.topic) == ("person.gone", "person.other")
            [ended] = await abort(config, SystemClock(), "person.in", 0)
            assert ended.name == "person.fenced"
            with pytest.raises(Rejected, match=r"running: runs"):
                await abort(config, SystemClock(), "person.in", 0)
            await producer.abort_transaction()
        await bus.settled("in")
        await bus.settled("other")
        assert await values(bus, "other") == [b"hidden", b"told"]
        assert await ls(config) == []


async def test_brokers_before_3_0_are_not_asked(careless: Broker) -> None:
    class Old(Admin):
        async def ask(self, broker: int, request: Asked) -> object:
            return request.prepare({})  # what such a broker says that it speaks

    where = settings(careless, "old.")
    connection = Connection(where)
    async with connection.admin() as admin:
        old = Transactions(connection, Old(connection, admin._client))
        assert await old.hanging("app-0") is None
        with pytest.raises(Rejected, match=r"needs Kafka 3\.0"):
            await old.described("old.app-0")


def test_the_command_lists_them_and_says_what_it_needs(careless: Broker, tmp_path: Path) -> None:
    file = tmp_path / "forewarn.yaml"
    file.write_text(
        "bus: kafka\npartitions: 1\nkafka: {bootstrap: ["
        f"'{careless.address}'], prefix: command., replication_factor: 1}}\n"
    )
    said = CliRunner().invoke(app, ["transactions", "ls", "-c", str(file)])
    assert (said.exit_code, "verdict" in said.output) == (0, True), said.output
    said = CliRunner().invoke(app, ["transactions", "abort", "-c", str(file)])
    assert "abort needs the place" in str(said.exception)

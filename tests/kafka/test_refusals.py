"""What Kafka can have done to a task's logs while it was away: refused, not built upon."""

import pytest
from aiokafka import AIOKafkaProducer

from stream.errors import Corrupt
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.kafka_topics import state_topic
from stream.runtime import Task
from stream.testing import ManualClock
from stream.topics import PODS, specs
from tests.kafka_broker import Broker
from tests.stream.toy import Toy, messages, stream

pytestmark = pytest.mark.kafka


async def test_a_hanging_transaction_is_refused(
    kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.kafka_task._DECIDED", 0.3)
    settings = KafkaSettings(
        bootstrap=(kafka.address,), prefix="hang.", replication_factor=1, min_insync_replicas=1
    )
    stranger = AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id="stranger")
    async with KafkaBus.open(settings) as bus:
        owner = await bus.own("app", 0, [])
        await owner.commit([], {b"k": b"v"}, {})
        assert dict(await owner.changelog()) == {b"k": b"v"}
        await stranger.start()
        await stranger.begin_transaction()
        sent = await stranger.send(settings.prefix + state_topic("app"), b"ghost", b"k")
        await sent
        with pytest.raises(Corrupt, match=r"hangs in hang\.app-state/0"):
            await owner.changelog()
        await stranger.abort_transaction()
        await stranger.stop()
        assert dict(await owner.changelog()) == {b"k": b"v"}


async def test_an_input_that_was_made_anew_is_refused(kafka: Broker) -> None:
    settings = KafkaSettings(
        bootstrap=(kafka.address,), prefix="anew.", replication_factor=1, min_insync_replicas=1
    )
    forever = [each._replace(retention=None) for each in specs(1)]
    async with KafkaBus.open(settings) as bus:
        await bus.ensure(forever)
        await bus.publish(messages(stream(100)))
        await bus.settled(PODS)
        running = Task(bus, "app", 0, 1, lambda: [Toy()], clock=ManualClock())
        assert await running.step()
        await running.flush(snapshot=True)
        await running.aclose()
    kafka.java("org.apache.kafka.tools.TopicCommand", "--delete", "--topic", "anew.pods")
    async with KafkaBus.open(settings) as bus:
        await bus.ensure(forever)
        await bus.publish(messages(stream(10)))
        running = Task(bus, "app", 0, 1, lambda: [Toy()], clock=ManualClock())
        with pytest.raises(Corrupt, match=r"replaced|is committed"):
            await running.step(10, 5.0)

"""A transaction that nobody ended, in a changelog whose writer is gone: refused, not built upon."""

import pytest
from aiokafka import AIOKafkaProducer

from stream.errors import Corrupt
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.kafka_topics import state_topic
from tests.kafka_broker import Broker

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

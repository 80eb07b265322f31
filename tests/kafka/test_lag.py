"""Lag on a real broker: what a transaction that nobody ends does to it."""

import pytest
from aiokafka import AIOKafkaProducer

from forewarn.bus_metrics import BusCollector
from stream.bus import Outgoing, TopicSpec
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.testing import ManualClock
from tests.kafka_broker import Broker

pytestmark = pytest.mark.kafka


async def served(bus: KafkaBus) -> dict[str, float]:
    """What the collector says, by name; the last of each."""
    collector = BusCollector(bus)
    await collector.look()
    return {s.name: s.value for family in collector.collect() for s in family.samples}


async def test_an_open_transaction_holds_the_end_back_and_it_is_said_how_long(
    kafka: Broker,
) -> None:
    settings = KafkaSettings(
        bootstrap=(kafka.address,), prefix="held.", replication_factor=1, min_insync_replicas=1
    )
    clock = ManualClock(1_000.0)
    async with KafkaBus.open(settings, clock) as bus:
        await bus.ensure([TopicSpec("in", 1, None)])
        owner = await bus.own("app", 0, ["in"])
        owner.seek({})
        await owner.poll(1)
        other = AIOKafkaProducer(bootstrap_servers=kafka.address, transactional_id="other")
        await other.start()
        try:
            async with other.transaction():
                await other.send_and_wait("held.in", b"open", partition=0)
                await bus.publish([Outgoing("in", 0, b"", b"behind it")])

                async def held() -> tuple[int, float]:
                    [lag] = await bus.lag()
                    return lag.records, lag.held_seconds

                assert await held() == (0, 0.0)
                clock.advance(30.0)
                assert await held() == (0, 30.0)
                assert (await served(bus))["forewarn_lso_lag_seconds"] == 30.0
            await bus.settled("in")
            [lag] = await bus.lag()
            assert lag.records >= 2
            assert lag.held_seconds == 0.0
            said = await served(bus)
            assert said["forewarn_consumer_lag_records"] == lag.records
            assert said["forewarn_lso_lag_seconds"] == 0.0
            assert said["forewarn_state_restore_progress_ratio"] == 1.0
        finally:
            await other.stop()

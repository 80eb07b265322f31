"""`forewarn topics` on a real broker."""

import pytest

from forewarn.config import Config
from forewarn.doctor import examine
from forewarn.topics import topics, wanted
from stream.clock import SystemClock
from stream.errors import Rejected
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from tests.kafka_broker import Broker

pytestmark = pytest.mark.kafka


def config(kafka: Broker, prefix: str, partitions: int = 2) -> Config:
    settings = KafkaSettings(
        bootstrap=(kafka.address,), prefix=prefix, replication_factor=1, min_insync_replicas=1
    )
    return Config(bus="kafka", partitions=partitions, kafka=settings)


async def test_what_is_missing_is_made_and_what_is_there_is_good(kafka: Broker) -> None:
    first = config(kafka, "topics.")
    assert {line.state for line in await topics(first, ensure=False)} == {"missing"}
    assert {line.state for line in await topics(first, ensure=True)} == {"created"}
    lines = await topics(first, ensure=True)
    assert {line.state for line in lines} == {"good"}
    assert len(lines) == len(wanted(first)) == 16
    assert all(line.topic.startswith("topics.") and line.replicas == 1 for line in lines)


async def test_changelogs_are_compacted_and_records_go_by_retention(kafka: Broker) -> None:
    await topics(config(kafka, "kept."), ensure=True)
    said = kafka.java(
        "org.apache.kafka.tools.TopicCommand", "--describe", "--topic", "kept.work-state"
    )
    assert "cleanup.policy=compact" in said
    said = kafka.java("org.apache.kafka.tools.TopicCommand", "--describe", "--topic", "kept.pods")
    assert "retention.ms=172800000" in said
    assert "cleanup.policy=compact" not in said


async def test_another_number_of_partitions_is_shown_and_refused(kafka: Broker) -> None:
    await topics(config(kafka, "grown."), ensure=True)
    more = config(kafka, "grown.", partitions=3)
    shown = {line.topic: line.state for line in await topics(more, ensure=False)}
    assert "has 2 partitions, wanted 3" in shown["grown.pods"]
    async with KafkaBus.open(more.kafka) as bus:
        with pytest.raises(Rejected, match="does not exist"):
            await bus.own("work", 0, ["nowhere"])


async def test_the_embedded_bus_has_no_topics_to_make() -> None:
    with pytest.raises(Rejected, match="bus: kafka"):
        await topics(Config(), ensure=False)


async def test_the_doctor_looks_at_them(kafka: Broker) -> None:
    async def kafkas(settings: Config) -> tuple[str, str]:
        return next(
            (str(each.verdict), each.text)
            for each in [one async for one in examine(settings, SystemClock())]
            if each.where == "kafka"
        )

    sick = config(kafka, "doctor.")
    assert await kafkas(sick) == (
        "poor",
        "16 of 16 are missing; run `forewarn topics ensure`",
    )
    await topics(sick, ensure=True)
    assert (await kafkas(sick))[0] == "well"
    verdict, text = await kafkas(config(kafka, "doctor.", partitions=3))
    assert verdict == "wrong"
    assert "has 2 partitions, wanted 3" in text

"""Who runs which task: groups of Kafka, and what a crew sees of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.topics import PODS, specs
from tests.kafka_broker import Broker

pytestmark = pytest.mark.kafka
TASKS = frozenset(range(4))


class Seen:
    """A crew that only notes what it is told."""

    def __init__(self) -> None:
        self.has: frozenset[int] = frozenset()
        self.told: list[str] = []

    async def pause(self) -> None:
        self.told.append("pause")

    async def take(self, partitions: frozenset[int]) -> None:
        self.has = partitions
        self.told.append(f"take {sorted(partitions)}")


@asynccontextmanager
async def member(settings: KafkaSettings) -> AsyncIterator[Seen]:
    crew = Seen()
    async with KafkaBus.open(settings) as bus:
        await bus.ensure([each._replace(retention=None) for each in specs(len(TASKS))])
        following = asyncio.create_task(bus.follow("app", PODS, crew))
        try:
            yield crew
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def until(what: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110  # no broker tells us
            await asyncio.sleep(0.02)


def settings(kafka: Broker, prefix: str, instance: str = "") -> KafkaSettings:
    return KafkaSettings(
        bootstrap=(kafka.address,),
        prefix=prefix,
        replication_factor=1,
        session_timeout=3.0,
        instance=instance,
    )


async def test_members_share_all_tasks_and_whoever_leaves_hands_over_at_once(
    kafka: Broker,
) -> None:
    place = settings(kafka, "share.")
    async with member(place) as one:
        await until(lambda: one.has == TASKS)
        async with member(place) as two:
            await until(lambda: len(one.has) == len(two.has) == 2)
            assert one.has | two.has == TASKS
            assert one.told[-2] == "pause", "it was asked to commit before it lost any"
        # Far below the session of 3 s: it has said goodbye.
        await until(lambda: one.has == TASKS, 2.0)


async def test_a_restart_under_the_same_name_moves_no_task(kafka: Broker) -> None:
    async with member(settings(kafka, "static.", "stays")) as stays:
        async with member(settings(kafka, "static.", "goes")) as goes:
            await until(lambda: len(stays.has) == len(goes.has) == 2)
            had, told = goes.has, list(stays.told)
        async with member(settings(kafka, "static.", "goes")) as again:
            await until(lambda: bool(again.has))
            assert again.has == had
            assert stays.told == told, "the other was not disturbed"


async def test_two_deployments_with_the_same_prefix_share_and_two_prefixes_do_not(
    kafka: Broker,
) -> None:
    async with member(settings(kafka, "blue.")) as blue, member(settings(kafka, "green.")) as green:
        await until(lambda: blue.has == green.has == TASKS)
        async with member(settings(kafka, "blue.")) as mistaken:
            await until(lambda: blue.has | mistaken.has == TASKS and len(blue.has) == 2)
            assert not blue.has & mistaken.has
            assert green.has == TASKS

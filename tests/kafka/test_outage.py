"""The broker is away for long: what waits is bounded, what is missed is said, all goes on alone.

The API server is the strict fake, the broker is real; F6 of the fault matrix, accelerated.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from forewarn.config import Config
from forewarn.follow import Appender, Follower
from ingest.buffer import BufferSettings
from ingest.cluster import ClusterSettings
from ingest.kubelet import KubeletSettings
from ingest.settings import IngestSettings
from stream.bus import Bus
from stream.clock import SystemClock
from stream.codec import decode
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.records import Gap, PodRecord
from stream.topics import DEPLOYMENTS, PODS, specs
from tests.forewarn.test_follow import crashing
from tests.ingest.fake_apiserver import FakeApiServer
from tests.ingest.watching import eventually
from tests.kafka_broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROOM = 40  # facts that may wait


async def records(bus: Bus, topic: str) -> list[object]:
    found: list[object] = []
    offset = 0
    while batch := await bus.read(topic, 0, offset, 10_000):
        found += [decode(topic, message.value) for message in batch.messages]
        offset = batch.next_offset
    return found


@pytest.mark.parametrize("forgotten", [False, True], ids=["resumed", "history was forgotten"])
async def test_an_outage_loses_nothing_that_is_not_said_to_be_missed(
    kafka_home: Path, tmp_path: Path, forgotten: bool
) -> None:
    broker = Broker(kafka_home, tmp_path)
    broker.start()
    settings = KafkaSettings(
        bootstrap=(broker.address,),
        replication_factor=1,
        request_timeout=2.0,
        transaction_timeout=4.0,
    )
    async with FakeApiServer() as server:
        cluster = ClusterSettings("prod", kubeconfig=server.kubeconfig(tmp_path / "kubeconfig"))
        config = Config(
            cluster="prod",
            ingest=IngestSettings(
                (cluster,),
                kubelet=KubeletSettings(source="off"),
                buffer=BufferSettings(facts=ROOM, patience=0.5),
            ),
        )
        follower, stop, most = Follower(config, SystemClock()), asyncio.Event(), 0
        async with KafkaBus.open(settings) as bus:
            await bus.ensure([each._replace(retention=None) for each in specs(1)])

            @asynccontextmanager
            async def stage() -> AsyncIterator[Appender]:
                yield Appender(bus, 1)

            following = asyncio.create_task(follower.run(stage, stop))

            def bounded(holds: bool) -> bool:
                nonlocal most
                most = max(most, len(follower.live.buffer) if follower.live else 0)
                return holds

            await server.put("pods", "first", "shop", **crashing(0))
            await eventually(lambda: follower.checks()[0].passed)
            await asyncio.to_thread(broker.kill)
            for number in range(5 * ROOM):
                await server.put("pods", f"p{number}", "shop", **crashing(0))
            await eventually(lambda: bounded(bool(follower.problem)), 20.0)
            stalled = asyncio.create_task(asyncio.sleep(3.0))  # beyond the patience of all
            await eventually(lambda: bounded(stalled.done()))
            if forgotten:
                await server.delete("pods", "p0", "shop")
                server.compact()
            await asyncio.to_thread(broker.start)

            async def arrived() -> set[str]:
                told = await records(bus, PODS)
                return {each.pod for each in told if isinstance(each, PodRecord)}

            wanted = {f"p{number}" for number in range(forgotten, 5 * ROOM)}
            async with asyncio.timeout(60.0):
                while not wanted <= await arrived():
                    bounded(True)
                    await asyncio.sleep(0.1)
            stop.set()
            with suppress(asyncio.CancelledError):
                await following
            assert most <= ROOM
            told = [each for each in await records(bus, PODS) if isinstance(each, PodRecord)]
            gaps = [each for each in await records(bus, DEPLOYMENTS) if isinstance(each, Gap)]
        if forgotten:
            assert {gap.reason for gap in gaps if gap.resource == "pods"} & {"overflow", "expired"}
        else:
            versions = Counter((each.uid, each.resource_version) for each in told)
            assert set(versions.values()) == {1}, "each state of each pod once"
            assert gaps == []
    broker.stop()

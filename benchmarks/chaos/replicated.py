"""Three brokers, one after the other killed and started again, under one publisher's transactions.

What one broker alone cannot show (docs/adr/0010): with copies, nothing may hang. The publisher
commits as fast as it can, asks for its position whenever it has met an error, and goes on there.

    python -m benchmarks.chaos.replicated [KILLS]
"""

import asyncio
import logging
import random
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from stream.bus import Outgoing, Position, TopicSpec
from stream.errors import Unavailable
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from tests.kafka_broker import Broker, cached, free_ports

PARTITIONS = 4


def brokers(folder: Path) -> list[Broker]:
    """Three nodes that know each other, not started."""
    ports = free_ports(6)
    voters = ",".join(f"{i + 1}@127.0.0.1:{ports[i + 3]}" for i in range(3))
    found = []
    for i in range(3):
        extra = f"""
node.id={i + 1}
controller.quorum.voters={voters}
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
"""
        (folder / str(i)).mkdir()
        place = (ports[i], ports[i + 3])
        found.append(Broker(cached(), folder / str(i), extra, {}, place))
    return found


async def publishing(settings: KafkaSettings, stop: asyncio.Event, took: list[float]) -> int:
    """Publish 0, 1, 2, … to every partition; return how often it had to begin again."""
    again = -1
    while not stop.is_set():
        again += 1
        try:
            async with KafkaBus.open(settings) as bus:
                await bus.ensure([TopicSpec("in", PARTITIONS, None)])
                done = int(await bus.position("s") or b"0")
                while not stop.is_set():
                    began = time.monotonic()
                    said = [Outgoing("in", p, b"", b"%d" % done) for p in range(PARTITIONS)]
                    await bus.publish(said, Position("s", b"%d" % (done + 1)))
                    took.append(time.monotonic() - began)
                    done += 1
        except Unavailable:
            await asyncio.sleep(0.3)
    return again


async def main() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    chance = random.Random(3)
    with tempfile.TemporaryDirectory() as folder:
        nodes = brokers(Path(folder))
        await asyncio.gather(*(asyncio.to_thread(node.start) for node in nodes))
        settings = KafkaSettings(
            bootstrap=tuple(node.address for node in nodes), prefix="x.", transaction_timeout=5.0
        )
        try:
            await asyncio.sleep(3.0)  # until each has registered
            stop, took = asyncio.Event(), list[float]()
            publisher = asyncio.create_task(publishing(settings, stop, took))
            await asyncio.sleep(5.0)
            for i in range(kills):
                await asyncio.sleep(chance.uniform(0.5, 2.5))
                await asyncio.to_thread(nodes[i % 3].kill)
                await asyncio.sleep(chance.uniform(1.0, 7.0))
                await asyncio.to_thread(nodes[i % 3].start)
                await asyncio.sleep(4.0)
            stop.set()
            again = await publisher
            wrong = await counted(settings)
        finally:
            for node in nodes:
                node.stop()
    print(
        f"{kills} kills, {len(took)} transactions, lost or twice: {wrong}; begun again {again} "
        f"times; publish p50 {statistics.median(took) * 1000:.0f} ms, longest {max(took):.1f} s"
    )
    sys.exit(wrong > 0)


async def counted(settings: KafkaSettings) -> int:
    """Return how many numbers do not follow the one before them."""
    wrong = 0
    async with KafkaBus.open(settings) as bus:
        await bus.settled("in")
        for partition in range(PARTITIONS):
            numbers, offset = [-1], 0
            while batch := await bus.read("in", partition, offset, 100_000):
                numbers += [int(message.value) for message in batch.messages]
                offset = batch.next_offset
            wrong += sum(after != before + 1 for before, after in pairwise(numbers))
    return wrong


if __name__ == "__main__":
    asyncio.run(main())

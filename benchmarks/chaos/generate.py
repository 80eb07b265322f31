"""The generator, a process of its own: puts dense ids on the bus, at a rate, each exactly once.

It publishes each batch in one transaction with its position; when the broker is away it waits, asks
how far it has got, and goes on there. Where a transaction of its own hangs it stops aloud, as an
ingestor would (docs/adr/0010); the rest is then missing from the run.

    python -m benchmarks.chaos.generate ADDRESS PREFIX SESSION COUNT RATE
"""

import asyncio
import logging
import time

from benchmarks.chaos.plan import PARTITIONS, POISON, TICK, arguments, at, partition, pod
from stream.bus import Outgoing, Position
from stream.codec import encode_input
from stream.errors import Unavailable
from stream.kafka import KafkaBus
from stream.records import Tick
from stream.topics import PODS
from tests.stream.toy import pod as record


def batch(start: int, count: int) -> list[Outgoing]:
    """Records from number `start` up to the next tick or to `count`, and the tick."""
    messages: list[Outgoing] = []
    stop = min(start - start % TICK + TICK, count)
    for i in range(start, stop):
        name = pod(i)
        value = encode_input(record("c", name, at(i)))
        if i % POISON == POISON // 2:
            bad = b"\xc1 poison %d" % i
            messages.append(Outgoing(PODS, partition(name), name.encode(), bad, at(i)))
        messages.append(Outgoing(PODS, partition(name), name.encode(), value, at(i)))
    tick = encode_input(Tick(cluster="c", at=at(stop)))
    return messages + [Outgoing(PODS, p, b"tick", tick, at(stop)) for p in range(PARTITIONS)]


async def main() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    place, (count, rate) = arguments()
    done, began = 0, time.monotonic()
    while done < int(count):
        try:
            async with KafkaBus.open(place.settings()) as bus:
                done = int(await bus.position("chaos") or b"0")
                while done < int(count):
                    stop = min(done - done % TICK + TICK, int(count))
                    await bus.publish(batch(done, int(count)), Position("chaos", b"%d" % stop))
                    done = stop
                    await asyncio.sleep(began + done / float(rate) - time.monotonic())
        except Unavailable as error:
            print(f"generator: {error}", flush=True)
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(main())

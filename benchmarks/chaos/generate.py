"""The generator, a process of its own: puts dense ids on the bus, at a rate, each exactly once.

It publishes each batch in one transaction with its position; when the broker is away it waits, asks
how far it has got, and goes on there. Where a transaction of its own hangs it stops aloud, as an
ingestor would (docs/adr/0010). It goes on until SIGTERM, then writes how many there are to FILE.

    python -m benchmarks.chaos.generate ADDRESS PREFIX SESSION FILE RATE
"""

import asyncio
import logging
import signal
import time
from pathlib import Path

from benchmarks.chaos.plan import PARTITIONS, POISON, TICK, arguments, at, partition, pod
from stream.bus import Outgoing, Position
from stream.codec import encode_input
from stream.errors import Unavailable
from stream.kafka import KafkaBus
from stream.records import Tick
from stream.topics import PODS
from tests.stream.toy import pod as record


def batch(start: int) -> list[Outgoing]:
    """Records from number `start` up to the next tick, and the tick."""
    messages: list[Outgoing] = []
    stop = start + TICK
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
    place, (file, rate) = arguments()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    done, began, known = 0, time.monotonic(), False
    while not (stop.is_set() and known):
        try:
            async with KafkaBus.open(place.settings()) as bus:
                done, known = int(await bus.position("chaos") or b"0"), True
                while not stop.is_set():
                    known = False  # until the commit is heard
                    await bus.publish(batch(done), Position("chaos", b"%d" % (done + TICK)))
                    done, known = done + TICK, True
                    if done == TICK:
                        await asyncio.to_thread(Path(file).touch)  # harm can begin
                    await asyncio.sleep(began + done / float(rate) - time.monotonic())
        except Unavailable as error:
            print(f"generator: {error}", flush=True)
            await asyncio.sleep(0.5)
    await asyncio.to_thread(Path(file).write_text, str(done))


if __name__ == "__main__":
    asyncio.run(main())

"""A worker, a process of its own: the crew and the task loop of `forewarn work`, with an operator
that counts.

    python -m benchmarks.chaos.worker ADDRESS PREFIX SESSION
"""

import asyncio
import logging
import resource
import signal
from dataclasses import dataclass

from benchmarks.chaos.plan import APP, PACE, PARTITIONS, arguments, operators
from forewarn.work import Concluding
from stream.clock import SystemClock
from stream.crew import TaskCrew, work
from stream.errors import Unavailable
from stream.kafka import KafkaBus
from stream.runtime import Task
from stream.topics import PODS


@dataclass
class Ended(Exception):
    """Asked to end."""


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    place, _ = arguments()
    clock = SystemClock()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    while not stop.is_set():
        try:
            async with KafkaBus.open(place.settings()) as bus:

                def task(partition: int, bus: KafkaBus = bus) -> Concluding:
                    return Concluding(
                        Task(bus, APP, partition, PARTITIONS, operators, clock=clock, pace=PACE)
                    )

                crew = TaskCrew(APP, task, clock)
                following = asyncio.create_task(work(bus, APP, PODS, crew, clock))
                stopped = asyncio.create_task(stop.wait())
                await asyncio.wait((following, stopped), return_when=asyncio.FIRST_COMPLETED)
                following.cancel()
                stopped.cancel()
                await asyncio.gather(following, return_exceptions=True)
        except Unavailable as error:
            print(f"worker: {error}", flush=True)
            await asyncio.sleep(0.3)
    print(f"rss_kib={resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

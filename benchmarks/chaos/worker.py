"""A worker, a process of its own: the crew and the task loop of `forewarn work`, with an operator
that counts.

Touches FOLDER/<its process id> as soon as it knows which tasks are its own.

    python -m benchmarks.chaos.worker ADDRESS PREFIX SESSION FOLDER
"""

import asyncio
import logging
import os
import resource
import signal
from pathlib import Path

from benchmarks.chaos.plan import APP, PACE, PARTITIONS, arguments, operators
from forewarn.work import Concluding
from stream.clock import SystemClock
from stream.crew import TaskCrew, work
from stream.errors import Unavailable
from stream.kafka import KafkaBus
from stream.runtime import Task
from stream.topics import PODS


async def joined(crew: TaskCrew, ready: Path) -> None:
    while not crew.assigned:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    ready.touch()  # noqa: ASYNC240


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    place, [folder] = arguments()
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
                ready = asyncio.create_task(joined(crew, Path(folder) / str(os.getpid())))
                stopped = asyncio.create_task(stop.wait())
                await asyncio.wait((following, stopped), return_when=asyncio.FIRST_COMPLETED)
                for each in (following, stopped, ready):
                    each.cancel()
                for outcome in await asyncio.gather(following, return_exceptions=True):
                    if isinstance(outcome, Exception):
                        raise outcome
        except Unavailable as error:
            print(f"worker: {error}", flush=True)
            await asyncio.sleep(0.3)
    print(f"rss_kib={resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

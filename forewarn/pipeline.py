"""What is wired to what: every stage on one bus, in one process.

    intake ─► inputs ─► tasks (operators) ─► findings ─► alert tasks ─► outbox ─► delivery
                                   └─► forecasts, points ──────────────┴─► pages, counters

The stages know only the bus, never each other. Whoever drives the pipeline publishes a chunk and
calls `drain`: each stage takes what is there and commits before the next one reads, so after
`drain` nothing is left over and a process that dies in between loses nothing.

Guaranteed: the same chunks give the same outputs, however they are cut and wherever the process
was killed. Left to others: where facts come from (`forewarn.play`), pages (`forewarn.console`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from alerting.delivery import APP as DELIVERY
from alerting.delivery import DeliveryTask
from alerting.task import APP as ALERTING
from alerting.task import AlertTask
from forewarn.buses import topics_of
from forewarn.config import Config
from forewarn.takers import Takers
from ingest.live import LiveChunk
from ingest.replay import Chunk
from stream.bus import Bus
from stream.clock import Clock
from stream.codec import digest, outgoing
from stream.operators import OPERATORS
from stream.operators.base import Operator
from stream.runtime import Pace, Task
from stream.topics import (
    INPUTS,
)

APP: Final = "work"
_STEP: Final = 500  # records of one step of a task: at 20 to 60 µs each the loop waits 30 ms


class Pipeline:
    """The stages, over one bus. Made by `Pipeline.open`."""

    def __init__(
        self,
        bus: Bus,
        config: Config,
        tasks: Sequence[Task],
        alerts: Sequence[AlertTask],
        deliveries: Sequence[DeliveryTask],
        takers: Takers | None,
    ) -> None:
        self.bus = bus
        self.config = config
        self.tasks = tasks
        self.alerts = alerts
        self.deliveries = deliveries
        self._takers = takers

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        bus: Bus,
        config: Config,
        clock: Clock,
        *,
        send: bool = False,
        pace: Pace | None = None,
        takers: Takers | None = None,
    ) -> AsyncIterator[Pipeline]:
        """Wire everything for the time of a ``with`` block.

        Parameters
        ----------
        send
            Whether notifications leave the process. If not, they are decided, rendered and
            recorded, and no channel that could send exists.
        takers
            Who takes every output record.

        Raises
        ------
        Corrupt
            The store belongs to another configuration, such as another number of partitions.
        """
        partitions = config.partitions
        await bus.ensure(topics_of(config))
        sources = [f"{topic}/{part}" for topic in INPUTS for part in range(partitions)]
        policy = config.alerting.policy()
        async with AsyncExitStack() as stack:
            channels = config.alerting.channels(clock, dry=not send)
            for channel in channels.values():
                stack.push_async_callback(channel.aclose)
            tasks = [
                Task(bus, APP, part, partitions, lambda: operators(config), clock=clock, pace=pace)
                for part in range(partitions)
            ]
            alerts = [
                AlertTask(bus, part, partitions, policy, sources, clock)
                for part in range(partitions)
            ]
            deliveries = [
                DeliveryTask(
                    bus, part, partitions, channels, config.alerting.delivery, clock, dry=not send
                )
                for part in range(partitions)
            ]
            for task in tasks:
                stack.push_async_callback(task.aclose)
            for alert in alerts:
                stack.push_async_callback(alert.release)
            for delivery in deliveries:
                stack.push_async_callback(delivery.release)
            if takers is not None:
                await stack.enter_async_context(takers.reading(bus))
            yield cls(bus, config, tasks, alerts, deliveries, takers)

    async def publish(self, chunk: Chunk | LiveChunk) -> None:
        """Put a chunk on the bus, with the position that it leads to, in one transaction."""
        letters = [outgoing(each, self.config.partitions) for each in chunk.dead_letters]
        await self.bus.publish([*chunk.messages, *letters], chunk.position)

    async def drain(self) -> int:
        """Let every stage take what is there and commit; return how many records were read."""
        read = 0
        for task in self.tasks:
            while taken := await task.step(_STEP):
                read += taken
            await task.flush()
        for alert in self.alerts:
            while await alert.step():
                pass
        for delivery in self.deliveries:
            while await delivery.step():
                pass
        await self.feed()
        return read

    async def feed(self) -> None:
        """Hand out what was said since the last time."""
        if self._takers is not None:
            await self._takers.take()

    def stages(self) -> Iterator[tuple[str, int, Task | AlertTask | DeliveryTask]]:
        """Yield each task with its stage's name and its partition."""
        yield from ((APP, part, task) for part, task in enumerate(self.tasks))
        yield from ((ALERTING, part, task) for part, task in enumerate(self.alerts))
        yield from ((DELIVERY, part, task) for part, task in enumerate(self.deliveries))

    async def settle(self) -> None:
        """Wait until every notification is delivered or has failed for good; commit all state."""
        for task in self.tasks:
            await task.flush(snapshot=True)
        for alert in self.alerts:
            await alert.flush()
        for delivery in self.deliveries:
            await delivery.settle()
            while await delivery.step():
                await delivery.settle()

    async def state_hash(self) -> str:
        """Return one digest over the state of all tasks."""
        parts = [await task.state_hash() for task in self.tasks]
        parts += [alert.state_hash() for alert in self.alerts]
        return digest(part.encode() for part in parts)


def operators(config: Config) -> Sequence[Operator]:
    """Return all operators, as new."""
    return [make(config.operators) for make in OPERATORS.values()]

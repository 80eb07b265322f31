"""`forewarn work` and `forewarn alert`: the stages as processes of their own, as many as wanted.

A worker concludes: it runs the operators on the partitions that the bus gives it. An alerter joins
findings into incidents and sees messages through to their channels. Both serve probes and metrics,
share their tasks with whoever else runs them, and end in order at SIGTERM: commit, release, leave.

Left to others: which task runs where (`stream.crew`), what a task does (`forewarn.pipeline` wires
the same ones into one process).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from prometheus_client.registry import Collector
from rich.console import Console

from alerting.delivery import APP as DELIVERY
from alerting.delivery import DeliveryTask
from alerting.task import APP as ALERTING
from alerting.task import AlertTask
from forewarn.bus_metrics import watched
from forewarn.buses import open_bus, topics_of
from forewarn.config import Config
from forewarn.families import process_registry
from forewarn.figures import Outputs
from forewarn.pipeline import APP, operators
from forewarn.probes import probes
from forewarn.serving import serving, stopping
from forewarn.stage_metrics import CrewCollector, StageCollector, of_crews
from forewarn.takers import Takers
from ingest.health import Check
from stream.bus import Bus
from stream.clock import Clock
from stream.crew import TaskCrew
from stream.crew import work as follow
from stream.errors import Unavailable
from stream.runtime import Task
from stream.topics import FINDINGS, INPUTS, NOTIFICATIONS

log = logging.getLogger(__name__)

_COUNTED: Final = 2.0  # seconds between two looks at what there is to count
_STEP: Final = 500  # records of one step: at 20 to 60 µs each the loop waits 30 ms
_WAIT: Final = 0.3  # seconds that a step waits for something to do


@dataclass(frozen=True, slots=True)
class Concluding:
    """A task of operators, as a crew runs it."""

    task: Task

    async def step(self) -> int:
        """Process what there is."""
        return await self.task.step(_STEP, _WAIT)

    async def flush(self, *, last: bool) -> None:
        """Commit; at last with a snapshot, so that a successor has nothing to replay."""
        await self.task.flush(snapshot=last)

    async def release(self) -> None:
        """Give the task up."""
        await self.task.aclose()


@dataclass(frozen=True, slots=True)
class Alerting:
    """A task of incidents, as a crew runs it."""

    task: AlertTask

    async def step(self) -> int:
        """Take in what there is."""
        return await self.task.step(_WAIT)

    async def flush(self, *, last: bool) -> None:
        """Commit."""
        await self.task.flush()

    async def release(self) -> None:
        """Give the task up."""
        await self.task.release()


@dataclass(frozen=True, slots=True)
class Delivering:
    """A task of deliveries, as a crew runs it."""

    task: DeliveryTask
    clock: Clock

    async def step(self) -> int:
        """Hand on what there is; the channels work beside."""
        read = await self.task.step()
        if not read:
            await self.clock.sleep_until(self.clock.now() + _WAIT)
        return read

    async def flush(self, *, last: bool) -> None:
        """Leave sending alone: what a release interrupts is sent again and says so."""

    async def release(self) -> None:
        """Give the task up."""
        await self.task.release()


async def work(config: Config, clock: Clock, console: Console, *, skip_gaps: bool = False) -> None:
    """Conclude from records until SIGINT or SIGTERM.

    Parameters
    ----------
    skip_gaps
        Go on where inputs were lost, and say so; otherwise such a task stops.

    Raises
    ------
    Rejected, Corrupt, Unavailable
        The bus or an address cannot be used.
    """
    async with open_bus(config) as bus:
        await bus.ensure(topics_of(config))

        def concluding(partition: int) -> Concluding:
            return Concluding(
                Task(
                    bus,
                    APP,
                    partition,
                    config.partitions,
                    lambda: operators(config),
                    clock=clock,
                    skip_gaps=skip_gaps,
                )
            )

        crew = TaskCrew(APP, concluding, clock)
        await _run(bus, config, clock, console, [(APP, INPUTS[0], crew)])


async def alert(config: Config, clock: Clock, console: Console, *, send: bool = True) -> None:
    """Join findings into incidents and deliver messages until SIGINT or SIGTERM.

    Parameters
    ----------
    send
        Whether messages leave the process; if not, they are decided and shown.

    Raises
    ------
    Rejected, Corrupt, Unavailable
        The bus, a receiver or an address cannot be used.
    """
    partitions = config.partitions
    sources = [f"{topic}/{part}" for topic in INPUTS for part in range(partitions)]
    policy = config.alerting.policy()
    async with AsyncExitStack() as stack:
        channels = config.alerting.channels(clock, dry=not send)
        for channel in channels.values():
            stack.push_async_callback(channel.aclose)
        bus = await stack.enter_async_context(open_bus(config))
        await bus.ensure(topics_of(config))

        def alerting(partition: int) -> Alerting:
            return Alerting(AlertTask(bus, partition, partitions, policy, sources, clock))

        def delivering(partition: int) -> Delivering:
            settings = config.alerting.delivery
            task = DeliveryTask(bus, partition, partitions, channels, settings, clock, dry=not send)
            return Delivering(task, clock)

        crews = [
            (ALERTING, FINDINGS, TaskCrew(ALERTING, alerting, clock)),
            (DELIVERY, NOTIFICATIONS, TaskCrew(DELIVERY, delivering, clock)),
        ]
        outputs = Outputs()
        counting = asyncio.create_task(_count(bus, outputs, clock), name="figures")
        try:
            await _run(bus, config, clock, console, crews, outputs)
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)


Crews = Sequence[tuple[str, str, TaskCrew]]  # application, topic that stands for its tasks, crew


async def _count(bus: Bus, outputs: Outputs, clock: Clock) -> None:
    """Count what is concluded and decided, for metrics; each alerter counts all of it."""
    takers = Takers(outputs.apply)
    while True:
        try:
            async with takers.reading(bus):
                while True:
                    await takers.take()
                    await clock.sleep_until(clock.now() + _COUNTED)
        except Unavailable as error:
            log.warning("figures=unavailable error=%r", str(error))
            await clock.sleep_until(clock.now() + _COUNTED)


async def _run(
    bus: Bus,
    config: Config,
    clock: Clock,
    console: Console,
    crews: Crews,
    *collectors: Collector,
) -> None:
    stop = stopping()
    teams = [crew for _, _, crew in crews]
    stages = StageCollector(lambda: of_crews(teams), clock.now)
    registry = process_registry(CrewCollector(teams), stages, *collectors)
    page = probes(lambda: list(_checks(crews)), registry)
    async with (
        watched(bus, clock, registry),
        serving(page, config.probes.host, config.probes.port) as address,
    ):
        console.print(f"probes and metrics on {address}", style="dim")
        following = [
            asyncio.create_task(follow(bus, app, topic, crew, clock)) for app, topic, crew in crews
        ]
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((*following, stopped), return_when=asyncio.FIRST_COMPLETED)
        for task in (*following, stopped):
            task.cancel()
        for outcome in await asyncio.gather(*following, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


def _checks(crews: Crews) -> Sequence[Check]:
    """Ready is who knows what is his, and runs all of it. None of many is fine: a spare worker."""
    checks: list[Check] = []
    for app, _, crew in crews:
        running = ",".join(map(str, sorted(crew.works))) or "none"
        text = f"tasks {running}" if crew.assigned else "not a member of the group yet"
        checks.append(Check(app, crew.assigned, text))
        checks += [Check(f"{app}/{p}", False, why) for p, why in sorted(crew.stopped.items())]
    return checks

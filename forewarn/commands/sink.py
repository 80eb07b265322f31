"""``forewarn sink``: writes what is on the bus to a store beside it."""

from __future__ import annotations

import asyncio
import signal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait

if TYPE_CHECKING:
    from forewarn.config import Config


class Kind(StrEnum):
    """Where to."""

    INFLUXDB = "influxdb"


def sink(
    kind: Annotated[Kind, typer.Argument(help="Where to.")],
    config: ConfigOption = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="Write what is there now, and end.")
    ] = False,
) -> None:
    """Write points, findings, forecasts and incidents from the bus to a time-series store.

    Example: forewarn sink influxdb --config forewarn.yaml
    """
    settings = settings_of(config)
    written = wait(_work(settings, drain=drain))
    terminal().print(f"{kind.value}: {written:,} points written")


async def _work(settings: Config, *, drain: bool) -> int:
    from forewarn.buses import open_bus, topics_of
    from forewarn.influxdb import sink as open_sink
    from stream.clock import SystemClock

    async with open_bus(settings) as bus:
        await bus.ensure(topics_of(settings))
        opened = open_sink(bus, settings.partitions, settings.influxdb, SystemClock())
        async with opened as working:
            if drain:
                return await working.drain()
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for which in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(which, stop.set)
            running = asyncio.create_task(working.run(stop))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            # A server that is away would hold the end up; what is not committed is read again.
            await asyncio.wait((running,), timeout=_LAST_BATCH)
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            else:
                running.result()
            stopping.cancel()
            return working.tally.written


_LAST_BATCH = 5.0  # seconds that the batch in hand has to reach the server when asked to end

"""``forewarn influxdb setup``: makes what the history needs on the server."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait

if TYPE_CHECKING:
    from forewarn.config import Config


class Action(StrEnum):
    """What to do."""

    SETUP = "setup"


def influxdb(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    config: ConfigOption = None,
) -> None:
    """Make buckets, retention and down-sampling on InfluxDB, or bring them up to date.

    Example: forewarn influxdb setup --config forewarn.yaml
    """
    assert action is Action.SETUP  # the only one there is
    settings = settings_of(config)
    for line in wait(_work(settings)):
        terminal().print(line)


async def _work(settings: Config) -> list[str]:
    from forewarn.influxdb_setup import set_up
    from stream.clock import SystemClock

    server = settings.influxdb.build(SystemClock())
    try:
        return await set_up(server, settings.influxdb)
    finally:
        await server.aclose()

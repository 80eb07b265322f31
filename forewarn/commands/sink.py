"""``forewarn sink``: writes what is on the bus to a store beside it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait


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
    from forewarn.history import alone, once
    from stream.clock import SystemClock

    settings, clock, screen = settings_of(config), SystemClock(), terminal()
    if drain:
        written = wait(once(settings, clock))
    else:
        written = wait(alone(settings, clock, lambda text: screen.print(text, style="dim")))
    screen.print(f"{kind.value}: {written:,} points written")

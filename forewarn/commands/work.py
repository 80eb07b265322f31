"""``forewarn work``: conclusions from records, as one of many."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait


def work(
    config: ConfigOption = None,
    on_gap: Annotated[
        Literal["stop", "skip"],
        typer.Option(help="When inputs are no longer kept: stop the task, or go on and say so."),
    ] = "stop",
) -> None:
    """Forecast and detect: run the operators on a share of the partitions, until SIGTERM.

    Start as many as are wanted; with `bus: kafka` they share the work and take over from each
    other.

    Example: forewarn work -c forewarn.yaml
    """
    from forewarn.work import work as run
    from stream.clock import SystemClock

    settings = settings_of(config)
    wait(run(settings, SystemClock(), terminal(), skip_gaps=on_gap == "skip"))

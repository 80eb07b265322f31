"""``forewarn demo``: a recorded cluster at high speed, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forewarn.commands.base import ConfigOption, SpeedOption, settings_of, terminal, wait


def demo(
    speed: SpeedOption = "1800x",
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes a free one.")] = 8080,
    leave: Annotated[
        bool, typer.Option("--exit", help="End with the recording, for scripts.")
    ] = False,
    tape: Annotated[
        Path | None, typer.Option(help="Another recording than the one that comes with forewarn.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Play a recorded cluster at high speed and serve its page on 127.0.0.1.

    Example: forewarn demo --speed 3600x
    """
    from forewarn import play
    from forewarn.demo import demo as run
    from stream.clock import SystemClock

    settings = settings_of(config)
    wait(
        run(
            settings,
            SystemClock(),
            terminal(),
            tape=tape,
            speed=play.speed_of(speed),
            port=port,
            leave=leave,
        )
    )

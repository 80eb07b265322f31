"""What every command shares: its options, the terminal, and how it loads settings and waits.

Guaranteed: settings are loaded and the log is set up before a command works; ^C ends with exit
code 130 and one line. Left to others: what the failures turn into (`forewarn.cli`).
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from forewarn.config import Config

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration, YAML. Default: built-in.")
]
SpeedOption = Annotated[
    str, typer.Option(help="max, or seconds of recording per second: 60x, 1x.", metavar="SPEED")
]


def settings_of(path: Path | None) -> Config:
    """Load the configuration and set the log up as it says."""
    from forewarn.config import load
    from forewarn.log import set_up

    settings = load(path)
    set_up(settings.log)
    return settings


def terminal() -> Any:
    """Return the rich console of standard output."""
    from rich.console import Console

    return Console(highlight=False)


def wait(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` to its end and return what it returns."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        logging.getLogger(__name__).info("interrupted=true")
        typer.echo("interrupted; with --store the next run goes on from here", err=True)
        sys.exit(130)

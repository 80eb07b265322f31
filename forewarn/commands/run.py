"""``forewarn run``: clusters, conclusions, messages and the page, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait


def run(
    config: ConfigOption = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Decide and show messages, send none.")
    ] = False,
    tape: Annotated[
        Path | None,
        typer.Option("--record", help="Take down all that is seen on this tape, redacted."),
    ] = None,
) -> None:
    """Watch live clusters: ingest, forecasts, alerting and the page, until SIGTERM or Ctrl-C.

    Example: forewarn run -c forewarn.yaml
    """
    from forewarn.run import run as follow
    from stream.clock import SystemClock

    settings = settings_of(config)
    wait(follow(settings, SystemClock(), terminal(), send=not dry, tape=tape))

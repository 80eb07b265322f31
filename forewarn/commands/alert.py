"""``forewarn alert``: incidents and messages from findings."""

from __future__ import annotations

from typing import Annotated

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait


def alert(
    config: ConfigOption = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Decide and record messages, send none.")
    ] = False,
) -> None:
    """Join findings into incidents and deliver messages, until SIGTERM.

    Example: forewarn alert -c forewarn.yaml
    """
    from forewarn.work import alert as run
    from stream.clock import SystemClock

    settings = settings_of(config)
    wait(run(settings, SystemClock(), terminal(), send=not dry))

"""``forewarn ingest``: clusters onto the bus, and nothing else."""

from __future__ import annotations

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait


def ingest(config: ConfigOption = None) -> None:
    """Put what live clusters tell onto the bus, until SIGTERM or Ctrl-C; workers conclude.

    Example: forewarn ingest -c forewarn.yaml
    """
    from forewarn.ingest import ingest as follow
    from stream.clock import SystemClock

    settings = settings_of(config)
    wait(follow(settings, SystemClock(), terminal()))

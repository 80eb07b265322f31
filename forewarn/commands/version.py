"""``forewarn version``."""

from __future__ import annotations

import typer


def version() -> None:
    """Say which version this is."""
    from importlib.metadata import version as installed

    typer.echo(f"forewarn {installed('forewarn')}")

"""``forewarn check-config``: every mistake of a configuration at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forewarn.commands.base import settings_of, terminal


def check_config(
    config: Annotated[Path, typer.Argument(help="The YAML file.")],
) -> None:
    """Check a configuration: every mistake at once, with line, column and a hint.

    Example: forewarn check-config forewarn.yaml
    """
    settings = settings_of(config)
    terminal().print(
        f"{config}: good; cluster {settings.cluster!r}, "
        f"receivers {', '.join(sorted(settings.alerting.receivers))}"
    )

"""``forewarn backtest``: what the models would have said of a person's own data."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def backtest(
    model: Annotated[str, typer.Argument(help="growth, restarts, anomaly or events.")],
    given: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A file, or a folder of them: CSV at,value for growth and anomaly, "
            "JSON Lines for restarts and events.",
        ),
    ],
    limit: Annotated[
        float, typer.Option(help="growth: the value at which it is full, in the values' unit.")
    ] = 100.0,
    out: Annotated[
        Path | None, typer.Option(help="Write JSON Lines to this file, not to standard output.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw what was said: a file .svg or .png.")
    ] = None,
) -> None:
    """Try a model on your own data: what it would have said, when it would have said it.

    Nothing that is said of a moment uses what came after it. Times are Unix seconds or RFC 3339.
    Formats: docs/backtest.md. Example: forewarn backtest growth disk.csv --limit 90 --plot disk.svg
    """
    from rich.console import Console

    from forewarn.backtest.run import Options
    from forewarn.backtest.run import backtest as run

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        outcome = run(model, given, Options(limit, out, plot), console)
    except BrokenPipeError:  # who read the answers has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except KeyboardInterrupt:
        typer.echo("interrupted: nothing was written", err=True)
        sys.exit(130)
    passed = f", {outcome.unusable} files passed over" if outcome.unusable else ""
    console.print(f"{outcome.lines:,} lines of {outcome.series:,} series{passed}", style="dim")
    for flag, path in (("out", out), ("plot", plot)):
        if path is not None:
            console.print(f"{flag}: {path}", style="dim", markup=False)

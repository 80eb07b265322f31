"""``forewarn replay``: recordings through the whole pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forewarn.commands.base import ConfigOption, SpeedOption, settings_of, terminal, wait
from stream.errors import Rejected


def replay(
    tapes: Annotated[list[Path], typer.Argument(help="Recordings, in the order to play them.")],
    config: ConfigOption = None,
    speed: SpeedOption = "max",
    report: Annotated[
        Path | None, typer.Option(help="Write the outcome to this file, as JSON.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Keep log and state here; a run that was killed goes on from it."),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Really send. Without it, messages are only shown.")
    ] = False,
) -> None:
    """Put recordings through the whole pipeline and say what came of it.

    Example: forewarn replay examples/tapes/demo.tape.zst --report report.json
    """
    from forewarn import play, summary
    from forewarn.replay import replay as run
    from forewarn.report import write
    from stream.clock import SystemClock

    settings = settings_of(config)
    console = terminal()
    if report is not None and not report.parent.is_dir():
        raise Rejected(f"--report {report}: there is no folder {report.parent}; make it first")
    outcome = wait(
        run(
            settings,
            tapes,
            SystemClock(),
            console,
            speed=play.speed_of(speed),
            store=store,
            send=send,
        )
    )
    summary.show(outcome, console)
    if not send and outcome.notifications:
        console.print("Nothing was sent; --send would have.", style="dim")
    if report is not None:
        write(outcome, report)
        console.print(f"report: {report}", style="dim")

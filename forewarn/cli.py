"""The command line: thin. It parses, calls, prints, and turns our three failures into exit codes.

Exit codes: 0 done; 1 something is not to be had now (Unavailable), or damaged (Corrupt); 2 the
command or a file it was given is wrong (Rejected). Every command says in its help what to type.
Heavy imports stand inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from forewarn.packages import guard
from stream.errors import ForewarnError, Rejected

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from forewarn.config import Config

app: Final = typer.Typer(
    name="forewarn",
    help="Early warning for Kubernetes: says what is about to break, and how long is left.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration, YAML. Default: built-in.")
]
SpeedOption = Annotated[
    str, typer.Option(help="max, or seconds of recording per second: 60x, 1x.", metavar="SPEED")
]


@app.command()
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

    settings = _settings(config)
    console = _console()
    if report is not None and not report.parent.is_dir():
        raise Rejected(f"--report {report}: there is no folder {report.parent}; make it first")
    outcome = _wait(
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


@app.command()
def demo(
    speed: SpeedOption = "1800x",
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes a free one.")] = 8080,
    leave: Annotated[
        bool, typer.Option("--exit", help="End with the recording, for scripts.")
    ] = False,
    tape: Annotated[
        Path | None, typer.Option(help="Another recording than the one that comes with forewarn.")
    ] = None,
) -> None:
    """Play a recorded cluster at high speed and serve its page on 127.0.0.1.

    Example: forewarn demo --speed 3600x
    """
    from forewarn import play
    from forewarn.demo import demo as run
    from stream.clock import SystemClock

    settings = _settings(None)
    _wait(
        run(
            settings,
            SystemClock(),
            _console(),
            tape=tape,
            speed=play.speed_of(speed),
            port=port,
            leave=leave,
        )
    )


@app.command("check-config")
def check_config(
    config: Annotated[Path, typer.Argument(help="The YAML file.")],
) -> None:
    """Check a configuration: every mistake at once, with line, column and a hint.

    Example: forewarn check-config forewarn.yaml
    """
    settings = _settings(config)
    _console().print(
        f"{config}: good; cluster {settings.cluster!r}, "
        f"receivers {', '.join(sorted(settings.alerting.receivers))}"
    )


@app.command()
def version() -> None:
    """Say which version this is."""
    from importlib.metadata import version as installed

    typer.echo(f"forewarn {installed('forewarn')}")


def main() -> None:
    """Run the command line; the entry point."""
    try:
        guard()
        app()
    except Rejected as error:
        typer.echo(f"forewarn: {error}", err=True)
        sys.exit(2)
    except ForewarnError as error:
        typer.echo(f"forewarn: {error}", err=True)
        sys.exit(1)


def _settings(path: Path | None) -> Config:
    """Load the configuration and set the log up as it says."""
    from forewarn.config import load
    from forewarn.log import set_up

    settings = load(path)
    set_up(settings.log)
    return settings


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False)


def _wait(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        logging.getLogger(__name__).info("interrupted=true")
        typer.echo("interrupted; with --store the next run goes on from here", err=True)
        sys.exit(130)

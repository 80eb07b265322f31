"""``forewarn record``: live clusters onto a tape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait
from stream.errors import Rejected


def record(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The tape; .zst and .gz compress it.")
    ],
    config: ConfigOption = None,
    duration: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long: 10m, 2h. Default: until ^C.")
    ] = "",
    anonymise: Annotated[
        bool, typer.Option("--anonymise", help="Replace all names by stable pseudonyms.")
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(help="Key of the pseudonyms: tapes under one key name things alike."),
    ] = None,
) -> None:
    """Record live clusters, without their secrets, for a replay elsewhere.

    Example: forewarn record -o prod.tape.zst --for 1h --anonymise
    """
    from forewarn.quantity import duration as seconds_of
    from forewarn.record import record as run
    from stream.clock import SystemClock

    settings = settings_of(config)
    key = None
    if key_file is not None:
        try:
            key = key_file.read_bytes().strip()
        except OSError as error:
            raise Rejected(f"--key-file {key_file}: {error.strerror}") from error
        if len(key) < 16:
            raise Rejected(f"--key-file {key_file}: a key needs 16 bytes or more")
    try:
        seconds = seconds_of(duration) if duration else None
    except ValueError as error:
        raise Rejected(f"--for {duration!r}: {error}") from error
    done = wait(run(settings, SystemClock(), output, seconds=seconds, anonymise=anonymise, key=key))
    refused = f", {done.refused} facts could not be read and are left out" if done.refused else ""
    terminal().print(f"{output}: {done.facts} facts, {done.size / 1024:.0f} KiB{refused}")

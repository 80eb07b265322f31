"""The command line: thin. It parses, calls, prints, and turns our three failures into exit codes.

Exit codes: 0 done; 1 something is not to be had now (Unavailable), or damaged (Corrupt); 2 the
command or a file it was given is wrong (Rejected). Every command says in its help what to type.
The commands themselves stand in `forewarn.commands`.
"""

from __future__ import annotations

import sys
from typing import Final

import typer

from forewarn.commands import COMMANDS
from forewarn.packages import guard
from stream.errors import ForewarnError, Rejected

app: Final = typer.Typer(
    name="forewarn",
    help="Early warning for Kubernetes: says what is about to break, and how long is left.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


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

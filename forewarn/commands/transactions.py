"""``forewarn transactions``: what is open on Kafka, and the end of what hangs."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait
from stream.errors import Rejected


def transactions(
    what: Annotated[
        Literal["ls", "settle", "abort"],
        typer.Argument(
            help="ls: all. settle: end what is decided. abort: what is not, in a PLACE."
        ),
    ],
    place: Annotated[str, typer.Argument(help="Topic and partition, as ls shows it.")] = "",
    config: ConfigOption = None,
) -> None:
    """Look at open transactions on Kafka, and end those that hang.

    Example: forewarn transactions abort forewarn.pods/3 -c forewarn.yaml
    """
    from rich.markup import escape
    from rich.table import Table

    from forewarn import transactions as told
    from forewarn.summary import moment
    from stream.clock import SystemClock

    topic, _, partition = place.rpartition("/")
    if (what == "abort") != bool(topic and partition.isdecimal()):
        raise Rejected(
            "abort needs the place, such as forewarn.pods/3; `forewarn transactions ls` shows it"
            if what == "abort"
            else f"transactions {what} is for all places: leave {place!r} out"
        )
    settings, clock = settings_of(config), SystemClock()
    if what == "ls":
        lines = wait(told.ls(settings))
    elif what == "settle":
        lines = wait(told.settle(settings, clock))
    else:
        lines = wait(told.abort(settings, clock, topic, int(partition)))
    table = Table("place", "transaction", "producer", "wrote last", "verdict", box=None)
    for line in lines:
        open_ = line.place
        table.add_row(
            f"{escape(open_.topic)}/{open_.partition}",
            escape(line.name) or "?",
            f"{open_.producer}, epoch {open_.epoch}",
            moment(open_.last),
            str(line.verdict) if what == "ls" else "ended",
        )
    terminal().print(table)

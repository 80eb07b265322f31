"""``forewarn topics``: what has to be there on Kafka."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait
from stream.errors import Rejected


def topics(
    what: Annotated[
        Literal["ensure", "show"],
        typer.Argument(help="ensure: make what is missing. show: only look."),
    ],
    config: ConfigOption = None,
) -> None:
    """Make or show the topics on Kafka: partitions, copies, compaction, retention.

    Example: forewarn topics ensure -c forewarn.yaml
    """
    from rich.table import Table

    from forewarn.topics import topics as look

    settings = settings_of(config)
    lines = wait(look(settings, ensure=what == "ensure"))
    table = Table("topic", "partitions", "copies", "state", box=None)
    for line in lines:
        copies = "-" if line.replicas is None else str(line.replicas)
        table.add_row(line.topic, str(line.partitions), copies, line.state)
    terminal().print(table)
    wrong = [line for line in lines if line.state not in ("good", "created")]
    if wrong:
        raise Rejected(f"{len(wrong)} of {len(lines)} topics are not as they should be")

"""``forewarn feedback``: whether an incident was useful or noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait
from stream.errors import Rejected

if TYPE_CHECKING:
    from forewarn.config import Config


def feedback(
    incident: Annotated[
        str, typer.Argument(help="The id that ends its page's address, or a part.")
    ],
    verdict: Annotated[Literal["useful", "noise"], typer.Argument(help="What you think of it.")],
    lasts: Annotated[
        str, typer.Option("--for", help="How long it counts: 7d, 12h.", metavar="SPAN")
    ] = "30d",
    config: ConfigOption = None,
) -> None:
    """Say whether an incident about Events was useful or noise.

    It counts for or against findings of the same object and reason, and never hides what is grave
    and new. The newest verdict counts.

    Example: forewarn feedback 3f9a07 noise --for 7d -c forewarn.yaml
    """
    from alerting.duration import parse

    try:
        seconds = parse(lasts)
    except ValueError as error:
        raise Rejected(f"--for: {error}") from error
    wait(_run(settings_of(config), incident, verdict, seconds))


async def _run(
    settings: Config, wanted: str, verdict: Literal["useful", "noise"], lasts: float
) -> None:
    from rich.markup import escape

    from alerting.escape import clean
    from forewarn.buses import open_bus, topics_of
    from forewarn.feedback import find, tell
    from stream.operators.conclude import span

    async with open_bus(settings) as bus:
        await bus.ensure(topics_of(settings))
        incident = await find(bus, wanted)
        for ref, reason in await tell(bus, settings.partitions, incident, verdict, lasts):
            said = f"{reason} of {ref}: {verdict}, for {span(lasts)}"
            terminal().print(escape(clean(said)), soft_wrap=True)

"""``forewarn dlq``: what could not be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait
from stream.errors import Rejected

if TYPE_CHECKING:
    from forewarn.config import Config


def dlq(
    what: Annotated[
        Literal["ls", "show", "requeue"],
        typer.Argument(help="ls: all. show: one, whole. requeue: offer one again."),
    ],
    letter: Annotated[str, typer.Argument(help="As ls shows it: 0@17.")] = "",
    config: ConfigOption = None,
) -> None:
    """Look at dead letters: records that could not be used, whole, with place and reason.

    Example: forewarn dlq show 0@17 -c forewarn.yaml
    """
    if what != "ls" and not letter:
        raise Rejected(f"dlq {what} needs the letter, such as 0@17; `forewarn dlq ls` shows them")
    wait(_run(settings_of(config), what, letter))


async def _run(settings: Config, what: str, wanted: str) -> None:
    from rich.markup import escape

    from alerting.escape import clean
    from forewarn.buses import open_bus, topics_of
    from forewarn.dead_letters import find, letters, requeue
    from forewarn.summary import moment

    out = terminal()
    async with open_bus(settings) as bus:
        await bus.ensure(topics_of(settings))
        if what == "requeue":
            out.print(f"{wanted} is offered again, at the end of {await requeue(bus, wanted)}")
            return
        if what == "show":
            letter = await find(bus, wanted)
            for name, text in (
                ("at", moment(letter.at)),
                ("place", letter.place),
                ("error", letter.error),
                ("key", repr(letter.key)),
                ("value", repr(letter.value)),
            ):
                out.print(f"{name}: {escape(clean(text))}", soft_wrap=True)
            return
        count = 0
        async for each in letters(bus):
            count += 1
            error = escape(clean(each.letter.error))[:100]
            out.print(f"{each.id}  {moment(each.letter.at)}  {escape(each.letter.place)}  {error}")
        out.print(f"{count} dead letters", style="dim")

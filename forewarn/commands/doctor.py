"""``forewarn doctor``: what would keep forewarn from seeing its clusters."""

from __future__ import annotations

import sys

from forewarn.commands.base import ConfigOption, settings_of, terminal, wait


def doctor(config: ConfigOption = None) -> None:
    """Look at clusters, rights, clocks, sample sources and the store; exit 1 if something is wrong.

    Example: forewarn doctor -c forewarn.yaml
    """
    from rich.text import Text

    from alerting.escape import clean
    from forewarn.doctor import Verdict, examine
    from stream.clock import SystemClock

    settings = settings_of(config)
    console = terminal()
    marks = {Verdict.WELL: "✓", Verdict.POOR: "~", Verdict.WRONG: "✗"}
    styles = {Verdict.WELL: "green", Verdict.POOR: "yellow", Verdict.WRONG: "bold red"}
    counts = dict.fromkeys(Verdict, 0)

    async def look() -> None:
        async for each in examine(settings, SystemClock()):
            counts[each.verdict] += 1
            line = Text(f"{marks[each.verdict]} ", style=styles[each.verdict])
            line.append(f"{each.where}: {each.what}: ", style="default")
            line.append(clean(each.text), style="dim" if each.verdict is Verdict.WELL else "")
            console.print(line)

    wait(look())
    well, poor, wrong = (counts[each] for each in Verdict)
    console.print(f"{well} well, {poor} poor, {wrong} wrong")
    if wrong:
        sys.exit(1)

"""What a run came to, in words: what was predicted, how long before, and what was spared.

Written from the report alone, so that it says of a resumed run what it says of an undisturbed one.
Left to others: the figures (`forewarn.report`, `forewarn.scoring`), the progress bar.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from forewarn.report import IncidentLine, Report

_MOST_INCIDENTS: Final = 20  # lines; the report has them all
_COLOURS: Final = {"critical": "red", "warning": "yellow", "info": "cyan"}


def span(seconds: float) -> str:
    """Return a duration as people say it.

    Examples
    --------
    >>> span(42.0), span(11_400.0), span(200_000.0)
    ('42 s', '3 h 10 min', '2 d 7 h')
    """
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86_400)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def moment(at: float) -> str:
    """Return a time as day and minute, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%b %d %H:%M")


def summarise(report: Report) -> RenderableType:
    """Return the closing words of a replay or a demo."""
    return Group(_counts(report), Text(), _incidents(report), Text(), *_forecasts(report))


def show(report: Report, console: Console) -> None:
    """Print the closing words."""
    console.print()
    console.print(summarise(report))


def _counts(report: Report) -> Text:
    facts = sum(report.records.values())
    by_kind = ", ".join(f"{count:,} {kind}" for kind, count in report.records.items())
    spared = Counter[str]()
    for line in report.suppressed:
        spared[line.reason] += line.count
    text = Text()
    text.append(f"{facts:,} facts", style="bold")
    text.append(f" ({by_kind})\n")
    text.append(
        f"→ {sum(each.state == 'firing' for each in report.findings):,} findings"
        f" → {len(report.incidents):,} incidents"
        f" → {len(report.notifications):,} messages\n"
    )
    if spared:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in spared.most_common())
        text.append(f"spared: {listed}\n")
    if report.dead_letters:
        text.append(f"unreadable: {report.dead_letters:,} (topic dlq keeps each)\n", style="yellow")
    text.append(f"output {report.output_hash[:16]}  state {report.state_hash[:16]}", style="dim")
    return text


def _incidents(report: Report) -> RenderableType:
    if not report.incidents:
        return Text("No incident: nothing was about to break.")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("opened", "lasted", "incident", "suspected cause"):
        table.add_column(name, overflow="fold")
    for incident in report.incidents[:_MOST_INCIDENTS]:
        table.add_row(
            moment(incident.opened_at),
            _lasted(incident),
            _what(incident),
            Text(incident.cause),
        )
    rest = len(report.incidents) - _MOST_INCIDENTS
    if rest > 0:
        return Group(table, Text(f"… and {rest} more (--report FILE has them all)", style="dim"))
    return table


def _what(incident: IncidentLine) -> Text:
    text = Text(incident.summary, style=_COLOURS.get(incident.severity, ""))
    if incident.resolved_at is None and incident.expected_at is not None:
        text.append(f", expected {moment(incident.expected_at)}")
    return text


def _lasted(incident: IncidentLine) -> str:
    if incident.resolved_at is None:
        return "open"
    return span(incident.resolved_at - incident.opened_at)


def _forecasts(report: Report) -> list[RenderableType]:
    scores = report.forecasts_scored
    lines: list[RenderableType] = []
    if scores.crossings:
        lead = f", up to {span(scores.longest_lead)} before" if scores.longest_lead else ""
        lines.append(
            Text(f"{scores.foreseen} of {scores.crossings} exhaustions were foreseen{lead}.")
        )
    if scores.resolved:
        lines.append(
            Text(
                f"Of {scores.resolved:,} forecasts that can be judged by now, "
                f"{scores.came_true:,} came true inside their P10–P90 band "
                f"({scores.came_true / scores.resolved:.0%}; 80 % is promised)."
            )
        )
    if scores.open:
        lines.append(Text(f"{scores.open:,} forecasts wait for what comes after this recording."))
    return lines

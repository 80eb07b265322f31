"""`forewarn replay`: puts recordings through the whole pipeline and says what came of it.

The store is a temporary file unless one is named; with a named store a run that was killed goes on
where it was, and ends with the same report. Notifications are decided and shown; none leaves the
process unless asked to (`--send`). Left to others: playing (`forewarn.play`), words
(`forewarn.summary`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from alerting.alert import Notification
from alerting.escape import clean
from forewarn.buses import SYNCHRONOUS
from forewarn.config import Config
from forewarn.pipeline import Pipeline
from forewarn.play import Run, play
from forewarn.report import Report, build
from forewarn.summary import moment
from forewarn.takers import Takers
from stream.clock import Clock
from stream.embedded import EmbeddedBus
from stream.runtime import Pace

_LINE_EVERY: Final = 10.0  # seconds between two progress lines where there is no terminal
_MARKS: Final = {"firing": "●", "resolved": "○", "update": "◐", "repeat": "●", "digest": "≡"}
# A replay commits in bulk: nobody waits for its conclusions, and a kill costs a second of work.
REPLAY_PACE: Final = Pace(commit_seconds=5.0, commit_records=50_000)


async def replay(
    config: Config,
    tapes: Sequence[Path],
    clock: Clock,
    console: Console,
    *,
    speed: float | None = None,
    store: Path | None = None,
    send: bool = False,
) -> Report:
    """Play `tapes`, show progress and messages on `console`, return the report.

    Raises
    ------
    Rejected
        A tape or the store's position does not fit.
    Corrupt
        The store is damaged or was written with other settings.
    """
    async with EmbeddedBus.open(store, synchronous=SYNCHRONOUS[config.store.synchronous]) as bus:
        with _progress(console, clock) as (advance, say):
            pace = REPLAY_PACE if speed is None else None
            async with Pipeline.open(
                bus, config, clock, send=send, pace=pace, takers=Takers(_announce(say))
            ) as pipeline:
                run = await play(pipeline, tapes, clock, speed=speed, progress=advance)
                return await build(bus, run.facts, await pipeline.state_hash())


def _announce(say: Callable[[Text], None]) -> Callable[[str, Any], None]:
    """Return what shows each notification as one line, whatever channel it is for."""

    def apply(topic: str, record: Any) -> None:
        if isinstance(record, Notification):
            line = Text(f"{moment(record.at)} {_MARKS.get(record.kind, '·')} ", style="dim")
            style = "green" if record.kind == "resolved" else ""
            line.append(clean(record.title), style=style)
            line.append(f"  → {record.channel}", style="dim")
            say(line)

    return apply


class _Pace(ProgressColumn):
    """The event clock and the rate."""

    def render(self, task: Task) -> Text:
        run: Run | None = task.fields.get("run")
        if run is None:
            return Text("")
        elapsed = task.elapsed or 0.0
        rate = (run.lines - run.resumed_lines) / elapsed if elapsed > 0 else 0.0
        return Text(f"{moment(run.event_time)} UTC  {rate:,.0f} lines/s")


@contextmanager
def _progress(
    console: Console, clock: Clock
) -> Iterator[tuple[Callable[[Run], None], Callable[[Text], None]]]:
    """Yield what shows how far a run is, and what prints a line above it."""
    if not console.is_terminal:
        yield _Lines(console, clock), console.print
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("replay"),
        BarColumn(),
        TaskProgressColumn(),
        _Pace(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("replay", total=None)

        def advance(run: Run) -> None:
            bar.update(task, total=run.bytes_total, completed=run.bytes_done, run=run)

        yield advance, bar.console.print


class _Lines:
    """Progress where there is no terminal: a line now and then."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._said_at = clock.now()

    def __call__(self, run: Run) -> None:
        now = self._clock.now()
        if now - self._said_at < _LINE_EVERY:
            return
        self._said_at = now
        share = run.bytes_done / run.bytes_total if run.bytes_total else 1.0
        self._console.print(
            f"replay {share:.0%} at {moment(run.event_time)} UTC, {run.lines:,} lines", style="dim"
        )

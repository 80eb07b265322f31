"""Plays tapes through the pipeline, at any speed, from where the store has got to.

One driver for `forewarn replay` and `forewarn demo`: read a chunk, publish it with its position,
drain every stage, say how far it is. Guaranteed: a run that was killed goes on where it was when
called again with the same store and tapes, and ends with the same outputs. Left to others: wiring
(`forewarn.pipeline`), what is said at the end (`forewarn.report`, `forewarn.summary`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forewarn.intake import intake
from forewarn.pipeline import Pipeline
from ingest.intake import Intake
from ingest.replay import CHUNK_LINES, Chunk, TapeSource, pace
from stream.clock import Clock
from stream.errors import Rejected

SOURCE: Final = "tape"
# Lines between two drains at full speed: large enough to amortise commits, small enough that the
# progress bar moves and the page's loop is never held for long.
_BULK: Final = 20 * CHUNK_LINES
_PACED_SECONDS: Final = 0.1  # a paced run publishes about ten times a second


@dataclass(slots=True)
class Run:
    """How far a run is; changed as it goes."""

    lines: int = 0
    records: int = 0
    events: int = 0  # core/v1 Events among the facts
    dead_letters: int = 0
    event_time: float = 0.0
    began_event_time: float | None = None
    bytes_done: int = 0
    bytes_total: int = 0
    resumed_lines: int = 0  # lines that an earlier run had published already
    facts: dict[str, int] = field(default_factory=dict)  # by resource
    finished: bool = False


Progress = Callable[[Run], None]


def speed_of(text: str) -> float | None:
    """Return seconds of event time per second; None for as fast as it goes.

    Raises
    ------
    Rejected
        It is neither ``max`` nor a positive number followed by ``x``.

    Examples
    --------
    >>> speed_of("60x"), speed_of("max")
    (60.0, None)
    """
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise Rejected(f"speed {text!r}: give max, or a number such as 60x or 1x")
    return speed


async def play(
    pipeline: Pipeline,
    tapes: Sequence[Path],
    clock: Clock,
    *,
    speed: float | None = None,
    progress: Progress = lambda run: None,
    stop: asyncio.Event | None = None,
) -> Run:
    """Play `tapes` to their end, or until `stop` is set; return what was read.

    Raises
    ------
    Rejected
        A tape is missing, empty, or not the one that the store was in the middle of.
    """
    source_intake = intake(pipeline.config)
    paced = speed is not None
    source = TapeSource(
        tapes,
        source_intake,
        name=SOURCE,
        chunk_lines=CHUNK_LINES if paced else _BULK,
        chunk_seconds=speed * _PACED_SECONDS if speed is not None else None,
    )
    run = Run(bytes_total=source.bytes_total)
    chunks = source.chunks(await pipeline.bus.position(SOURCE))
    await pipeline.drain()  # what an earlier run has published and not finished
    async for chunk in pace(chunks, clock, speed):
        if stop is not None and stop.is_set():
            return run
        if chunk.skipped:
            run.resumed_lines = chunk.lines
        else:
            await pipeline.publish(chunk)
            run.records += await pipeline.drain()
        _note(run, chunk, source_intake)
        progress(run)
        await asyncio.sleep(0)
    await pipeline.settle()
    await pipeline.feed()
    run.finished = True
    progress(run)
    return run


def _note(run: Run, chunk: Chunk, fed: Intake) -> None:
    run.lines = chunk.lines
    run.bytes_done = chunk.bytes_done
    run.event_time = chunk.event_time
    if run.began_event_time is None:
        run.began_event_time = chunk.event_time
    run.dead_letters = fed.dead_letters_total
    run.facts = {kind: stats.seen for kind, stats in fed.normaliser.stats.items() if stats.seen}
    run.events = run.facts.get("events", 0)

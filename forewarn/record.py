"""`forewarn record`: live clusters onto a tape, to be replayed anywhere.

What is watched is what `forewarn run` watches, by the same settings. Secrets are masked always,
names on demand; the tape is readable while it grows (`ingest.recording`). Left to others: what is
masked (`ingest.recorder`).
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from forewarn.config import Config
from forewarn.serving import stopping
from ingest.answers import Unanswered, within
from ingest.live import watching
from ingest.pseudonyms import Pseudonyms
from ingest.recorder import Recorder
from ingest.recording import TapeWriter
from stream.clock import Clock


class Recorded(NamedTuple):
    """What a recording came to."""

    facts: int
    refused: int  # could not be read, are not on the tape
    size: int  # bytes on disk


async def record(
    config: Config,
    clock: Clock,
    path: Path,
    *,
    seconds: float | None = None,
    anonymise: bool = False,
    key: bytes | None = None,
) -> Recorded:
    """Write what clusters tell to `path` for `seconds`, or until SIGINT or SIGTERM.

    Parameters
    ----------
    key
        Of the pseudonyms: recordings under one key name things alike. A random one where None.

    Raises
    ------
    Rejected
        A cluster or the file cannot be used.
    """
    stop = stopping()
    settings = config.ingest.named(config.cluster)
    names = [each.name for each in settings.clusters]
    with TapeWriter(path) as tape:
        recorder = Recorder(tape, Pseudonyms(key or secrets.token_bytes(32)) if anonymise else None)
        async with watching(settings, clock, tick_seconds=config.tick_seconds) as live:
            ended = asyncio.ensure_future(_ended(stop, clock, seconds))
            try:
                while not ended.done():
                    coming = asyncio.ensure_future(live.facts())
                    await asyncio.wait({coming, ended}, return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        coming.cancel()
                        break
                    facts = coming.result()
                    for fact in facts:
                        recorder.hear(fact)
                    if not facts:
                        recorder.heartbeat(clock.now(), names)
            finally:
                ended.cancel()
    return Recorded(tape.facts, recorder.refused, tape.bytes_written)


async def _ended(stop: asyncio.Event, clock: Clock, seconds: float | None) -> None:
    """Return when `stop` is set or the time is over."""
    if seconds is None:
        await stop.wait()
        return
    with suppress(Unanswered):
        await within(clock, seconds, stop.wait())

"""`forewarn demo`: a recorded cluster at high speed, with its page, on the embedded bus.

Two days of a small cluster go by in about a minute and a half. The page shows what is about to
break while it happens; in the end the terminal says what was predicted, how long before, and what
was spared. Nothing leaves the process. Left to others: playing (`forewarn.play`), the page
(`forewarn.console`), how the recording was made (`examples/tapes/README.md`).
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import uvicorn
from rich.console import Console
from rich.text import Text

from alerting.alert import Incident, State
from alerting.escape import clean
from forewarn.config import Config
from forewarn.console.feed import Feed, Pulse
from forewarn.console.server import create_app
from forewarn.pipeline import Pipeline
from forewarn.play import Run, play
from forewarn.report import build
from forewarn.summary import moment, show
from ingest.facts import read_fact
from ingest.tape import TapeReader
from stream.clock import Clock
from stream.embedded import EmbeddedBus
from stream.errors import Rejected

TAPE: Final = Path(__file__).resolve().parent.parent / "examples" / "tapes" / "demo.tape.zst"
HOST: Final = "127.0.0.1"


async def demo(
    config: Config,
    clock: Clock,
    console: Console,
    *,
    tape: Path | None = None,
    speed: float | None = None,
    port: int = 8080,
    leave: bool = False,
) -> None:
    """Play the recording beside its page; stay with the page until Ctrl-C unless `leave`.

    Raises
    ------
    Rejected
        The recording is not there, or the port is taken.
    """
    path = tape or TAPE
    if not path.is_file():
        raise Rejected(f"there is no recording {path.name}; give one with --tape FILE")
    span = _span(path)
    feed = Feed(clock, config.cluster)
    stop = asyncio.Event()
    async with EmbeddedBus.open(None) as bus, _page(feed, clock, port) as address:
        _ends(stop)
        console.print(Text.assemble("page  ", (address, "bold"), "   (Ctrl-C ends)"))
        apply = _both(feed.apply, _incidents(console))
        async with Pipeline.open(bus, config, clock, apply=apply) as pipeline:
            run = await play(
                pipeline,
                [path],
                clock,
                speed=speed,
                progress=lambda run: feed.pulse(_pulse(run, span, speed)),
                stop=stop,
            )
            show(await build(bus, run.facts, await pipeline.state_hash()), console)
        if not (leave or stop.is_set()):
            console.print(
                Text.assemble("\nThe page stays at ", (address, "bold"), "; Ctrl-C ends.")
            )
            await stop.wait()


def _span(path: Path) -> tuple[float, float]:
    """Return event time of a tape's first and last fact; reads it once (a second or so)."""
    times = [line.fact.at for line in TapeReader([path], read_fact) if line.fact is not None]
    if not times:
        raise Rejected(f"{path.name} holds no fact")
    return min(times), max(times)


def _pulse(run: Run, span: tuple[float, float], speed: float | None) -> Pulse:
    return Pulse(
        mode="replay",
        event_time=run.event_time or None,
        tape_from=span[0],
        tape_to=span[1],
        speed=speed or 0.0,
        records=run.records,
        events=run.events,
        dead_letters=run.dead_letters,
        finished=run.finished,
    )


def _both(*takers: Callable[[str, object], None]) -> Callable[[str, object], None]:
    def apply(topic: str, record: object) -> None:
        for take in takers:
            take(topic, record)

    return apply


def _incidents(console: Console) -> Callable[[str, object], None]:
    """Return what prints an incident when it opens and when it is over."""
    known: dict[str, State] = {}

    def apply(topic: str, record: object) -> None:
        if not isinstance(record, Incident) or known.get(record.id) == record.state:
            return
        known[record.id] = record.state
        if record.state is State.PENDING:
            return
        over = record.state is State.RESOLVED
        line = Text(f"{moment(record.updated_at)} {'○' if over else '●'} ", style="dim")
        line.append(clean(record.summary), style="green" if over else "")
        if record.cause is not None and not over:
            line.append(f"  ← {clean(record.cause.text)}", style="dim")
        console.print(line)

    return apply


@asynccontextmanager
async def _page(feed: Feed, clock: Clock, port: int) -> AsyncIterator[str]:
    """Serve the page for the time of the block; yields its address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()  # who follows the printed address at once waits, and is not turned away
    except OSError as error:
        listener.close()
        raise Rejected(
            f"port {port} is not free ({error.strerror}); take another with --port, 0 finds one"
        ) from error
    app = create_app(feed, clock)
    settings = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )
    server = _Server(settings)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="page")
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await serving
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn without its own signals: the demo ends in its own order."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the demo."""
        yield


def _ends(stop: asyncio.Event) -> None:
    """Let Ctrl-C and SIGTERM end the demo in order; a second one ends it at once."""
    loop = asyncio.get_running_loop()

    def end(which: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(which)

    for which in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(which, end, which)

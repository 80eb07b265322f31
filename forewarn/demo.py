"""`forewarn demo`: a recorded cluster at high speed, with its page, on the embedded bus.

Two days of a small cluster go by in about a minute and a half. The page shows what is about to
break while it happens; in the end the terminal says what was predicted, how long before, and what
was spared. Nothing leaves the process. Left to others: playing (`forewarn.play`), the page
(`forewarn.console`), how the recording was made (`examples/tapes/README.md`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from rich.console import Console
from rich.text import Text

from alerting.alert import Incident, State
from alerting.escape import clean
from forewarn import feedback
from forewarn.config import Config
from forewarn.console.feed import Feed, Pulse
from forewarn.console.server import create_app
from forewarn.feedback import Verdict
from forewarn.figures import Outputs
from forewarn.history import beside
from forewarn.pipeline import Pipeline
from forewarn.play import Run, play
from forewarn.report import build
from forewarn.serving import serving, stopping
from forewarn.summary import moment, show
from forewarn.takers import Takers
from ingest.facts import read_fact
from ingest.tape import TapeReader
from stream.clock import Clock
from stream.embedded import EmbeddedBus
from stream.errors import Rejected

# Beside this file, so that a wheel carries it: a link to the one among the examples.
TAPE: Final = Path(__file__).resolve().with_name("demo.tape.zst")
HOST: Final = "127.0.0.1"
_OWN_EVERY: Final = 600.0  # seconds of event time between two sets of our own figures


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
    stop = stopping()
    outputs, registry = Outputs(), CollectorRegistry()
    ProcessCollector(registry=registry)
    told = Run()
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(EmbeddedBus.open(None))

        async def tell(incident: Incident, verdict: Verdict) -> None:
            await feedback.tell(bus, config.partitions, incident, verdict)

        page = create_app(feed, clock, registry=registry, tell=tell)
        address = await stack.enter_async_context(serving(page, HOST, port))
        console.print(Text.assemble("page  ", (address, "bold"), "   (Ctrl-C ends)"))
        takers = Takers(outputs.apply, incidents(console), show=feed.apply)

        def event_time() -> float:
            return told.event_time or span[0]

        def progress(run: Run) -> None:
            nonlocal told
            told = run
            feed.pulse(_pulse(run, span, speed))

        async with (
            Pipeline.open(bus, config, clock, takers=takers) as pipeline,
            beside(pipeline, clock, registry, outputs, now=event_time, every=_OWN_EVERY),
        ):
            run = await play(pipeline, [path], clock, speed=speed, progress=progress, stop=stop)
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


def incidents(console: Console) -> Callable[[str, object], None]:
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

"""The stages as processes of their own on a real broker: they say what one process says.

Two workers share the partitions, one of them is killed on the way, an alerter joins their findings.
What comes out must be the incidents of an undisturbed replay in one process, to the letter.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
import zstandard

from alerting.wire import decode
from forewarn.buses import open_bus
from forewarn.config import Config, load
from forewarn.pipeline import Pipeline
from forewarn.play import play
from stream.bus import Bus
from stream.clock import SystemClock
from stream.embedded import EmbeddedBus
from stream.topics import INCIDENTS
from tests.kafka_broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
LINES = 8_000  # of the demo's recording: four incidents
SECONDS = 60.0


class Publishing:
    """A pipeline whose stages run elsewhere: it only publishes."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    async def drain(self) -> int:
        return 0

    async def settle(self) -> None:
        pass


@contextmanager
def running(*commands: list[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [subprocess.Popen([sys.executable, "-m", "forewarn", *each]) for each in commands]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(30.0) for process in processes]
    assert codes[1:] == [0] * len(codes[1:]), "they end in order"


async def last_words(bus: Bus, config: Config) -> dict[str, tuple[Any, ...]]:
    """The last that was said of each incident."""
    found: dict[str, tuple[Any, ...]] = {}
    for partition in range(config.partitions):
        offset = (await bus.start_offsets(INCIDENTS))[partition]
        while batch := await bus.read(INCIDENTS, partition, offset, 1_000):
            for message in batch.messages:
                one = decode(INCIDENTS, message.value)
                found[one.id] = (one.state, one.severity, one.summary, one.updated_at, one.causes)
            offset = batch.next_offset
    return found


async def test_many_processes_say_what_one_process_says(
    kafka: Broker, root: Path, tmp_path: Path
) -> None:
    tape = tmp_path / "demo.tape"
    with (root / "examples" / "tapes" / "demo.tape.zst").open("rb") as packed:
        whole = zstandard.ZstdDecompressor().stream_reader(packed).read()
    tape.write_bytes(b"".join(whole.splitlines(keepends=True)[:LINES]))
    document = {
        "bus": "kafka",
        "partitions": 4,
        "kafka": {
            "bootstrap": [kafka.address],
            "prefix": "many.",
            "replication_factor": 1,
            "min_insync_replicas": 1,
            "session_timeout": 2,
        },
        "probes": {"port": 0},
    }
    file = tmp_path / "forewarn.yaml"
    file.write_text(yaml.safe_dump(document))
    config, clock = load(file, {}), SystemClock()
    async with EmbeddedBus.open() as bus, Pipeline.open(bus, config, clock) as pipeline:
        await play(pipeline, [tape], clock, speed=None, progress=lambda run: None)
        wanted = await last_words(bus, config)
    assert len(wanted) == 4
    words = ["-c", str(file)]
    commands = (["work", *words], ["work", *words], ["alert", "--dry-run", *words])
    async with open_bus(config) as bus:
        with running(*commands) as processes:
            async with Pipeline.open(bus, config, clock) as pipeline:
                only: Any = Publishing(pipeline)
                await play(only, [tape], clock, speed=None, progress=lambda run: None)
            await asyncio.sleep(2.0)
            os.kill(processes[0].pid, signal.SIGKILL)
            found: dict[str, tuple[Any, ...]] = {}
            async with asyncio.timeout(SECONDS):
                while found != wanted:
                    await asyncio.sleep(0.5)
                    found = await last_words(bus, config)
            await asyncio.sleep(1.0)
            assert await last_words(bus, config) == wanted, "and nothing comes after"

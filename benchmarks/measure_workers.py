"""How the cost of concluding grows: with objects, with workers, from the embedded bus to Kafka.

    python -m benchmarks.measure_workers [LINES]

A busy cluster's tape with 1,000, 10,000 and 100,000 pods is put on four partitions; then all of it
is concluded by forewarn's own operators: in one process on the embedded bus, and by 1, 2 and 4
processes `forewarn work` on a real broker. Given are CPU seconds of the workers, all threads, from
the time when they have shared the partitions, and the wall time from the first publish to the last
record (to a quarter of a second). Before a figure is printed every record must have been processed
once.

With two cores wall time stops falling at one or two workers: broker and workers share them. The CPU
time of a record is what grows with the number of workers elsewhere, too.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks import workloads
from forewarn.buses import open_bus, topics_of
from forewarn.config import Config, load
from forewarn.intake import intake
from forewarn.pipeline import Pipeline
from ingest.replay import TapeSource
from stream.bus import Bus, Outgoing
from stream.clock import SystemClock
from stream.embedded import EmbeddedBus
from stream.topics import INPUTS
from tests.kafka_broker import Broker, cached

OBJECTS = (1_000, 10_000, 100_000)
WORKERS = (1, 2, 4)
LINES = 60_000
PARTITIONS = 4
PATIENCE = 300.0  # seconds for one row
_CHUNK = 2_000  # lines of one transaction
_STEP = 500  # records of one step, as in the product
_LOOK = 0.25  # seconds between two looks at the workers' metrics


class Row(NamedTuple):
    """One measurement."""

    bus: str
    objects: int
    workers: int
    records: int
    cpu: float  # seconds
    wall: float


class Metrics(NamedTuple):
    """What a worker says of itself."""

    tasks: int  # that it runs
    records: int  # that they have processed
    cpu: float  # seconds


class Worker:
    """A process `forewarn work` and its metrics."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "forewarn", "work", "-c", str(config)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        if found is None:
            raise SystemExit("a worker did not start")
        self.address = found[0]

    def metrics(self) -> Metrics:
        """Return what it says of itself now."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=30.0) as answer:
            text = answer.read().decode()
        processed = re.findall(r"^forewarn_records_processed_total\{.*\} (\S+)$", text, re.M)
        cpu = re.search(r"^process_cpu_seconds_total (\S+)$", text, re.M)
        assert cpu is not None
        tasks = len(re.findall(r"^forewarn_task_running\{.*\} 1\.0$", text, re.M))
        return Metrics(tasks, int(sum(map(float, processed))), float(cpu[1]))

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60.0)


@contextmanager
def settings_of(broker: Broker, prefix: str) -> Iterator[tuple[Path, Config]]:
    """Yield a configuration's file and itself."""
    document = {
        "bus": "kafka",
        "partitions": PARTITIONS,
        "kafka": {
            "bootstrap": [broker.address],
            "prefix": prefix,
            "replication_factor": 1,
            "min_insync_replicas": 1,
        },
        "probes": {"port": 0},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "forewarn.yaml"
        file.write_text(yaml.safe_dump(document))
        yield file, load(file, {})


def read(config: Config, tape: Path) -> list[list[Outgoing]]:
    """Return the tape as messages, in transactions."""
    source = TapeSource([tape], intake(config), name="bench", chunk_lines=_CHUNK)
    return [list(chunk.messages) for chunk in source.chunks(None)]


async def publish(bus: Bus, chunks: list[list[Outgoing]]) -> int:
    """Put the messages on the bus; return how many of them are records for operators."""
    for chunk in chunks:
        await bus.publish(chunk)
    return sum(message.topic in INPUTS for chunk in chunks for message in chunk)


async def embedded(tape: Path, objects: int) -> Row:
    """Conclude in this process."""
    config, clock = Config(partitions=PARTITIONS), SystemClock()
    async with EmbeddedBus.open(None) as bus, Pipeline.open(bus, config, clock) as pipeline:
        count = await publish(bus, read(config, tape))
        began, cpu = time.monotonic(), time.process_time()
        for task in pipeline.tasks:
            while await task.step(_STEP):
                pass
            await task.flush()
        spent, took = time.process_time() - cpu, time.monotonic() - began
        done = sum(task.counters.records for task in pipeline.tasks)
    assert done == count, f"{done:,} of {count:,} records"
    return Row("embedded", objects, 1, count, spent, took)


async def on_kafka(broker: Broker, tape: Path, objects: int, workers: int) -> Row:
    """Conclude by so many processes, which have shared the partitions before the first record."""
    with settings_of(broker, f"w{time.monotonic_ns()}.") as (file, config), ExitStack() as stack:
        async with open_bus(config) as bus:
            await bus.ensure(topics_of(config))
            crew = [Worker(file) for _ in range(workers)]
            for worker in crew:
                stack.callback(worker.end)
            async with asyncio.timeout(PATIENCE):
                while any(  # noqa: ASYNC110  # another process tells by its metrics only
                    each.metrics().tasks != PARTITIONS // workers for each in crew
                ):
                    await asyncio.sleep(_LOOK)
            before = [worker.metrics() for worker in crew]
            chunks = read(config, tape)
            began = time.monotonic()
            count = await publish(bus, chunks)
            async with asyncio.timeout(PATIENCE):
                after = before
                while sum(each.records for each in after) < count:
                    await asyncio.sleep(_LOOK)
                    after = [worker.metrics() for worker in crew]
        took = time.monotonic() - began
    done = sum(each.records for each in after)
    assert done == count, f"{done:,} of {count:,} records"
    spent = sum(b.cpu - a.cpu for a, b in zip(before, after, strict=True))
    return Row("Kafka", objects, workers, count, spent, took)


async def measure(lines: int) -> list[Row]:
    """Return all rows; says each on stderr when it is there."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(cached(), Path(folder))
        broker.start()
        try:
            for objects in OBJECTS:
                tape = Path(folder) / f"{objects}.tape"
                workloads.write_tape(tape, max(lines, 3 * objects // 2), pods=objects)
                rows.append(await embedded(tape, objects))
                print(rows[-1], file=sys.stderr)
                for workers in WORKERS:
                    rows.append(await on_kafka(broker, tape, objects, workers))
                    print(rows[-1], file=sys.stderr)
                tape.unlink()
        finally:
            broker.stop()
    return rows


def show(rows: list[Row]) -> None:
    """Print the table."""
    table = Table("bus", "objects", "workers", "records", "CPU s", "a CPU s", "wall s", "a second")
    for row in rows:
        rates: list[Any] = [f"{row.records / row.cpu:,.0f}", f"{row.records / row.wall:,.0f}"]
        table.add_row(
            row.bus,
            f"{row.objects:,}",
            str(row.workers),
            f"{row.records:,}",
            f"{row.cpu:.1f}",
            rates[0],
            f"{row.wall:.1f}",
            rates[1],
        )
    Console().print(table)


if __name__ == "__main__":
    if not (cached() / "ready").exists():
        raise SystemExit("Kafka (a broker) is not there: run `make components`")
    show(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else LINES)))

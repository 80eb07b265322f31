"""Kafka → columns → model → Kafka, exactly once: the task loop beside a loop that does only that.

The same topic, records, keys and model (four EW means and variances with a test) for all:

- *reference*: getmany → decode → columns → model → changelog → lines, nothing else: no dead
  letters, no progress, no restore. Once at least once, once in a transaction with its offsets.
- *task*: `stream.runtime.Task` on `KafkaBus`: what `forewarn work` runs, with the same model.

What is asserted before it is timed: every record was applied once (the sum of all counts), and the
lines are as many. Figures are per second of this process' CPU, all threads; the broker is another
process. Ratios within one run mean something, absolute figures are this machine's.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from models.base import Arrays, Rows
from stream.bus import Outgoing
from stream.checkpoint import PagedBank
from stream.clock import SystemClock
from stream.codec import decoder, encode_input
from stream.columns import Columns, rounds
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.operators.base import Output
from stream.records import Point
from stream.runtime import Pace, Task
from stream.topics import PODS, specs
from tests.kafka_broker import Broker, cached
from tests.stream.toy import pod

RECORDS = int(os.environ.get("FOREWARN_BENCH_RECORDS", "200000"))
KEYS = int(os.environ.get("FOREWARN_BENCH_KEYS", "20000"))
LINE_EVERY = 10  # records that one point is said for, as four metrics of one scrape in ten
COMMIT = 0.5  # seconds
BATCH = 4_000


class Bank:
    """EW mean and variance of four metrics, and how often a row was seen."""

    def __init__(self, capacity: int = 0) -> None:
        self._arrays = {
            "count": np.zeros(capacity, np.int64),
            "mean": np.zeros((capacity, 4)),
            "var": np.ones((capacity, 4)),
        }

    @property
    def capacity(self) -> int:
        return self._arrays["count"].size

    def reserve(self, capacity: int) -> None:
        if capacity > self.capacity:
            new = Bank(capacity - self.capacity).arrays()
            self._arrays = {k: np.concatenate([a, new[k]]) for k, a in self._arrays.items()}

    def forget(self, rows: Rows) -> None:
        new = Bank(1).arrays()
        for name, array in self._arrays.items():
            array[rows] = new[name][0]

    def arrays(self) -> Arrays:
        return self._arrays

    def learn(self, rows: Rows, values: Any) -> Any:
        """Learn one round; return the scores, (n, 4)."""
        a = self._arrays
        a["count"][rows] += 1
        mean, var = a["mean"][rows], a["var"][rows]
        off = values[:, None] * _SCALE - mean
        score = np.abs(off) / np.sqrt(var)
        a["mean"][rows] = mean + 0.1 * off
        a["var"][rows] = 0.9 * (var + 0.1 * off * off)
        return score


_SCALE = np.array([1.0, 2.0, 3.0, 4.0])


class Model:
    """What both loops do with records: keys → rows → rounds → bank → points."""

    def __init__(self) -> None:
        self.keys = Columns()
        self.bank = Bank()
        self.pages = PagedBank("bank", self.bank)

    def step(self, records: Sequence[Any]) -> list[Point]:
        rows = self.keys.rows_of([record.pod for record in records])
        self.pages.reserve(self.keys.size)
        values = np.array([record.created_at for record in records])
        for some in rounds(rows):
            self.bank.learn(rows[some], values[some])
        self.pages.touch(rows)
        return [
            Point("ew", (("pod", records[i].pod),), {"mean": mean}, records[i].at)
            for i, mean in zip(
                range(0, len(records), LINE_EVERY),
                self.bank.arrays()["mean"][rows[::LINE_EVERY], 0].tolist(),
                strict=True,
            )
        ]


class Operator:
    """The same as an operator."""

    name = "ew"
    topic = PODS

    def __init__(self) -> None:
        self.model = Model()

    def on_records(self, records: Sequence[Any]) -> Sequence[Output]:
        return self.model.step(records)

    def snapshot(self) -> Mapping[str, bytes]:
        return {**self.model.keys.snapshot(), **self.model.pages.snapshot()}

    def restore(self, pages: Mapping[str, bytes]) -> None:
        self.model.keys.restore(pages)
        self.model.pages.restore(pages)


async def reference(settings: KafkaSettings, *, exactly_once: bool) -> tuple[float, int, int]:
    """Return CPU seconds, the sum of all counts, and the points that were written."""
    where = {"bootstrap_servers": list(settings.bootstrap)}
    consumer = AIOKafkaConsumer(
        **where,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
    )
    producer = AIOKafkaProducer(
        **where,
        compression_type="zstd",
        transactional_id=f"{settings.prefix}reference" if exactly_once else None,
        enable_idempotence=True,
        max_batch_size=8 << 20,
        max_request_size=8 << 20,
    )
    await consumer.start()
    await producer.start()
    part = TopicPartition(settings.prefix + PODS, 0)
    consumer.assign([part])
    consumer.seek(part, 0)
    decode, model, pack = decoder(PODS), Model(), msgspec.msgpack.Encoder().encode
    done, points, lines = 0, 0, []
    committed = time.monotonic()
    began = time.process_time()
    while done < RECORDS:
        found = await consumer.getmany(timeout_ms=500, max_records=BATCH)
        for records in found.values():
            lines += model.step([decode(record.value) for record in records])
            done += len(records)
        if lines and (time.monotonic() - committed >= COMMIT or done >= RECORDS):
            if exactly_once:
                await producer.begin_transaction()
            sent = []
            for topic, values in (
                ("ts", [(repr(point.tags).encode(), pack(point)) for point in lines]),
                ("work-state", [(b"task", b"%d" % done)]),
            ):
                batch = producer.create_batch()
                for key, value in values:
                    batch.append(key=key, value=value, timestamp=0)
                sent.append(await producer.send_batch(batch, settings.prefix + topic, partition=0))
            if exactly_once:
                at = {part: OffsetAndMetadata(done, "")}
                await producer.send_offsets_to_transaction(at, f"{settings.prefix}reference")
            await asyncio.gather(*sent)
            if exactly_once:
                await producer.commit_transaction()
            points += len(lines)
            lines = []
            committed = time.monotonic()
    spent = time.process_time() - began
    await producer.stop()
    await consumer.stop()
    return spent, int(model.bank.arrays()["count"].sum()), points


async def task(bus: KafkaBus, app: str) -> tuple[float, int, int, list[float]]:
    """Return CPU seconds, counts, points, and the wall seconds of each commit."""
    made: list[Operator] = []

    def make() -> list[Operator]:
        made[:] = [Operator()]
        return made

    pace = Pace(commit_seconds=COMMIT, snapshot_records=RECORDS)
    running = Task(bus, app, 0, 1, make, clock=SystemClock(), pace=pace)
    commits: list[float] = []
    own = bus.own

    async def owned(*args: Any) -> Any:
        ownership = await own(*args)
        commit = ownership.commit

        async def timed(*what: Any) -> None:
            began = time.monotonic()
            await commit(*what)
            commits.append(time.monotonic() - began)

        ownership.commit = timed  # type: ignore[method-assign]
        return ownership

    bus.own = owned  # type: ignore[method-assign]
    await running.step(1, 1.0)
    began = time.process_time()
    while running.counters.records < RECORDS:
        await running.step(BATCH, COMMIT)
    await running.flush()
    spent = time.process_time() - began
    counts = int(made[0].model.bank.arrays()["count"].sum())
    outputs = running.counters.outputs
    await running.aclose()
    bus.own = own  # type: ignore[method-assign]
    return spent, counts, outputs, commits


@pytest.mark.benchmark(group="kafka")
def test_the_task_loop_beside_a_bare_loop(benchmark: Any, tmp_path: Path) -> None:
    if not (cached() / "ready").exists():
        pytest.skip("Kafka (a broker) is not there: run `make components`")
    broker = Broker(cached(), tmp_path)
    broker.start()
    try:
        figures = benchmark.pedantic(lambda: asyncio.run(compared(broker)), rounds=1)
    finally:
        broker.stop()
    print("\n" + "\n".join(f"{name}: {value}" for name, value in figures.items()))
    benchmark.extra_info.update(figures)


async def compared(kafka: Broker) -> dict[str, str]:
    settings = KafkaSettings(
        bootstrap=(kafka.address,),
        prefix=f"bench{time.monotonic_ns()}.",
        replication_factor=1,
        min_insync_replicas=1,
    )
    figures: dict[str, str] = {}
    async with KafkaBus.open(settings) as bus:
        await bus.ensure([spec._replace(retention=None) for spec in specs(1)])
        await bus.own("work", 0, [PODS])  # makes the changelog topic that the reference writes
        size = 0
        for start in range(0, RECORDS, 10_000):
            chunk = [
                Outgoing(PODS, 0, b"k", encode_input(pod("c", f"pod-{i * 7919 % KEYS}", 1e9 + i)))
                for i in range(start, min(start + 10_000, RECORDS))
            ]
            size = len(chunk[0].value)
            await bus.publish(chunk)
        rates: dict[str, list[float]] = {}
        commits: list[float] = []
        for round_ in range(3):
            for name in ("reference, at least once", "reference, exactly once"):
                spent, counts, points = await reference(
                    settings, exactly_once=name.endswith("exactly once")
                )
                assert (counts, points >= RECORDS // LINE_EVERY) == (RECORDS, True)
                rates.setdefault(name, []).append(RECORDS / spent)
            spent, counts, points, took = await task(bus, f"task{round_}")
            assert (counts, points >= RECORDS // LINE_EVERY) == (RECORDS, True)
            rates.setdefault("task, exactly once", []).append(RECORDS / spent)
            commits += took
        best = {name: max(each) for name, each in rates.items()}
        figures["records"] = f"{RECORDS:,} of {size} bytes, {KEYS:,} keys"
        for name, rate in best.items():
            figures[name] = f"{rate:,.0f} records per CPU second"
        bare = best["reference, at least once"]
        once = best["reference, exactly once"]
        figures["exactly once costs the reference"] = f"{1 - once / bare:.0%}"
        figures["task against reference, both exactly once"] = (
            f"{best['task, exactly once'] / once:.2f}"
        )
        ordered = sorted(commits)
        figures["commit"] = (
            f"p50 {statistics.median(ordered) * 1000:.0f} ms, "
            f"p99 {ordered[int(0.99 * (len(ordered) - 1))] * 1000:.0f} ms, {len(ordered)} commits"
        )
    return figures


@pytest.mark.benchmark(group="kafka")
def test_a_takeover_with_100_000_rows(benchmark: Any, tmp_path: Path) -> None:
    if not (cached() / "ready").exists():
        pytest.skip("Kafka (a broker) is not there: run `make components`")
    broker = Broker(cached(), tmp_path)
    broker.start()
    try:
        text = benchmark.pedantic(lambda: asyncio.run(taken_over(broker)), rounds=1)
    finally:
        broker.stop()
    print(f"\n{text}")


async def taken_over(kafka: Broker, rows: int = 100_000) -> str:
    """Fence, restore from a snapshot, and read: what a successor does once it has the partition."""
    settings = KafkaSettings(
        bootstrap=(kafka.address,), prefix="take.", replication_factor=1, min_insync_replicas=1
    )
    pace = Pace(commit_seconds=COMMIT, snapshot_records=rows)
    async with KafkaBus.open(settings) as bus:
        await bus.ensure([spec._replace(retention=None) for spec in specs(1)])
        for start in range(0, rows, 10_000):
            await bus.publish(
                [
                    Outgoing(PODS, 0, b"k", encode_input(pod("c", f"pod-{i}", 1e9 + i)))
                    for i in range(start, start + 10_000)
                ]
            )
        before = Task(bus, "app", 0, 1, lambda: [Operator()], clock=SystemClock(), pace=pace)
        while before.counters.records < rows:
            await before.step(BATCH, COMMIT)
        await before.flush(snapshot=True)
        took, spent = [], []
        for _ in range(5):
            async with KafkaBus.open(settings) as elsewhere:
                after = Task(
                    elsewhere, "app", 0, 1, lambda: [Operator()], clock=SystemClock(), pace=pace
                )
                began, cpu = time.monotonic(), time.process_time()
                await after.step()
                took.append(time.monotonic() - began)
                spent.append(time.process_time() - cpu)
                assert after.counters.restores == 1
                await after.aclose()
        return (
            f"takeover with {rows:,} rows, {before.counters.snapshot_bytes:,} bytes of pages: "
            f"median {statistics.median(took):.2f} s of wall, {statistics.median(spent):.2f} s CPU"
        )


@pytest.mark.benchmark(group="kafka")
def test_a_changelog_is_bounded_by_compaction(benchmark: Any, tmp_path: Path) -> None:
    if not (cached() / "ready").exists():
        pytest.skip("Kafka (a broker) is not there: run `make components`")
    broker = Broker(cached(), tmp_path)
    broker.start()
    try:
        log = tmp_path / "data" / "compact.app-state-0"
        kept = benchmark.pedantic(lambda: asyncio.run(rewritten(broker, log)), rounds=1)
    finally:
        broker.stop()
    print(f"\nMB on disk after each 20 MB written, and at last: {kept}")
    assert max(kept) < 40.0
    assert kept[-1] < 5.0


async def rewritten(kafka: Broker, log: Path) -> list[float]:
    """Write ten pages of 100 kB again and again, 160 MB in all; return what is on disk."""
    settings = KafkaSettings(bootstrap=(kafka.address,), prefix="compact.", replication_factor=1)
    chance, kept = np.random.default_rng(1), []
    async with KafkaBus.open(settings) as bus:
        owner = await bus.own("app", 0, [])
        smallest = ("--alter", "--entity-type", "topics", "--entity-name", "compact.app-state")
        kafka.java("kafka.admin.ConfigCommand", *smallest, "--add-config", "segment.bytes=1048576")
        for step in range(160):
            await owner.commit([], {b"bank/%d" % k: chance.bytes(100_000) for k in range(10)}, {})
            if step % 20 == 19:
                await asyncio.sleep(1.5)
                kept.append(_megabytes(log))
        await asyncio.sleep(5.0)
        assert len(await owner.changelog()) == 10
    return [*kept, _megabytes(log)]


def _megabytes(log: Path) -> float:
    return round(sum(each.stat().st_size for each in log.glob("*.log")) / 1e6, 1)

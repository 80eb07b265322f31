"""The ten rules of exactly-once, each by its name, on a real broker.

Each was forced by a measurement (docs/adr/0009); what kills and pauses do is tried in `test_chaos`,
what both buses share in `tests/conformance/test_buses.py`.
"""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from alerting import ledger
from alerting.delivery import REPEAT
from stream.bus import Batch, Bus, Outgoing, Ownership
from stream.crew import TaskCrew
from stream.errors import Corrupt, Fenced, Unavailable
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.kafka_task import KafkaOwnership
from stream.kafka_writer import RETIRE_RECORDS, RETIRE_SECONDS
from stream.records import PodInput, PodRecord
from stream.runtime import Pace, Task
from stream.testing import ManualClock
from stream.topics import DEAD_LETTERS, FINDINGS, PODS, TS, specs
from tests.alerting import test_delivery as deliveries
from tests.kafka_broker import Broker
from tests.stream.toy import POISON, Toy, messages, pod, stream

pytestmark = pytest.mark.kafka
RECORDS = stream(600, seed=5)
NEVER = Pace(commit_seconds=1e9, commit_records=10**9)


@pytest.fixture
def settings(kafka: Broker, request: pytest.FixtureRequest) -> KafkaSettings:
    prefix = f"{request.node.originalname[-40:]}."
    return KafkaSettings(
        bootstrap=(kafka.address,), prefix=prefix, replication_factor=1, min_insync_replicas=1
    )


@pytest.fixture
async def bus(settings: KafkaSettings) -> AsyncIterator[KafkaBus]:
    async with KafkaBus.open(settings, ManualClock()) as bus:
        await bus.ensure([each._replace(retention=None) for each in specs(1)])
        yield bus


def task(bus: Bus, app: str = "app", pace: Pace | None = None) -> Task:
    pace = pace or Pace(commit_records=50, snapshot_records=170)
    return Task(bus, app, 0, 1, lambda: [Toy()], clock=ManualClock(), pace=pace)


async def fill(bus: Bus, records: Sequence[PodInput]) -> None:
    await bus.publish(messages(records))
    await bus.settled(PODS)


async def drained(running: Task, limit: int = 1_000) -> str:
    while await running.step(limit):
        pass
    await running.flush()
    return await running.state_hash()


async def said(bus: Bus, topic: str) -> list[bytes]:
    await bus.settled(topic)
    values, offset = [], 0
    while batch := await bus.read(topic, 0, offset, 10_000):
        values += [message.value for message in batch.messages]
        offset = batch.next_offset
    return values


async def test_rule_1_a_task_has_a_transaction_of_its_own_name(
    bus: KafkaBus, settings: KafkaSettings, kafka: Broker
) -> None:
    await bus.own("app", 4, [])
    await bus.own("app", 3, [])
    listed = kafka.java("org.apache.kafka.tools.TransactionsCommand", "list")
    ours = {line.split()[0] for line in listed.splitlines() if settings.prefix in line}
    assert ours >= {f"{settings.prefix}app-3", f"{settings.prefix}app-4"}


async def test_rule_2_fence_then_changelog_then_compare_then_seek_to_the_state(
    bus: KafkaBus,
) -> None:
    await fill(bus, RECORDS[:200])
    before = task(bus, pace=NEVER)
    await drained(before)
    await fill(bus, RECORDS[200:300])
    calls: list[str] = []

    class Watched:
        """An ownership that notes what is asked of it."""

        def __init__(self, owner: Ownership) -> None:
            self.owner = owner

        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(self.owner, name)

    class Watching:
        async def own(self, *args: Any) -> Any:
            calls.append("own")
            return Watched(await bus.own(*args))

        def __getattr__(self, name: str) -> Any:
            return getattr(bus, name)

    await task(Watching()).step()  # type: ignore[arg-type]
    order = [name for name in calls if name in ("own", "changelog", "committed", "seek", "poll")]
    assert order == ["own", "changelog", "committed", "seek", "poll"]
    await before.step(1_000)
    with pytest.raises(Fenced):  # already the first of these calls fenced the predecessor
        await before.flush()


async def test_rule_3_outputs_state_letters_and_offsets_appear_together(bus: KafkaBus) -> None:
    await fill(bus, RECORDS[:200])
    await bus.publish([Outgoing(PODS, 0, b"k", b"\xc1", 1.0)])
    await bus.settled(PODS)
    running = task(bus, pace=NEVER)
    while await running.step(100):
        pass
    assert [await said(bus, topic) for topic in (TS, FINDINGS, DEAD_LETTERS)] == [[], [], []]
    await running.flush(snapshot=True)
    points, letters = await said(bus, TS), await said(bus, DEAD_LETTERS)
    assert len(points) == sum(isinstance(record, PodRecord) for record in RECORDS[:200])
    assert len(letters) == 1
    owner = await bus.own("app", 0, [PODS])
    assert len(await owner.changelog()) > 1
    assert (await owner.committed())[PODS] == 202  # and behind the marker of the first publish


async def test_rule_4_an_error_in_a_commit_drops_the_memory_and_never_the_promise(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(bus, RECORDS)
    wanted = await drained(task(bus, "calm"))
    calm = await said(bus, TS)
    commit, failures = KafkaOwnership.commit, [3, 5]

    async def failing(self: KafkaOwnership, *what: Any) -> None:
        await commit(self, *what)
        failures[:] = [left - 1 for left in failures]
        if 0 in failures:
            raise Unavailable("the answer was lost")  # it was written, but nobody knows

    running = task(bus)
    monkeypatch.setattr(KafkaOwnership, "commit", failing)
    found = ""
    while not found:
        with suppress(Unavailable):
            found = await drained(running, 60)
    assert running.counters.restores == 3
    assert found == wanted
    assert (await said(bus, TS))[len(calm) :] == calm, "each thing said once, in order"


async def test_rule_5_a_rebalance_waits_for_the_step_and_old_records_are_dropped(
    bus: KafkaBus,
) -> None:
    under_way, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        committed = False

        async def step(self) -> int:
            under_way.set()
            await go_on.wait()
            return 0

        async def flush(self, *, last: bool) -> None:
            self.committed = True

        async def release(self) -> None:
            pass

    work = Slow()
    crew = TaskCrew("app", lambda partition: work, ManualClock())
    await crew.take(frozenset({0}))
    await under_way.wait()
    pausing = asyncio.create_task(crew.pause())
    await asyncio.sleep(0)
    assert not pausing.done()
    go_on.set()
    await pausing
    assert work.committed
    await crew.aclose()

    class Repeating(KafkaOwnership):
        async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
            again = await super().poll(limit, wait)
            self.seek({PODS: 0})  # what was fetched before a rebalance comes after it
            return again

    await fill(bus, RECORDS[:100])
    running = task(bus, pace=NEVER)
    await running.step(60)
    assert running._memory is not None
    running._memory.ownership.__class__ = Repeating
    for _ in range(3):
        await running.step(60)
    assert running.counters.dropped == 120
    assert running.counters.records == 100


@pytest.mark.parametrize("reason", ["records", "age"])
async def test_rule_6_a_producer_retires_long_before_its_sequence_runs_out(
    settings: KafkaSettings, reason: str
) -> None:
    assert (RETIRE_RECORDS, RETIRE_SECONDS) == (2**30, 86_400.0)
    clock = ManualClock()
    async with KafkaBus.open(settings, clock) as bus:
        await bus.ensure([each._replace(retention=None) for each in specs(1)])
        await fill(bus, RECORDS)
        wanted = await drained(task(bus, f"calm-{reason}"))
        running = task(bus, f"old-{reason}")
        epochs = set()
        for turn in range(12):
            with suppress(Unavailable):
                await running.step(60)
                assert running._memory is not None
                owner = running._memory.ownership
                assert isinstance(owner, KafkaOwnership)
                epochs.add(owner.epoch)
                if turn == 4 and reason == "records":
                    owner._writer.retire_records = 10
                if turn == 4 and reason == "age":
                    clock.advance(RETIRE_SECONDS)
        assert bus.counters.retired == 1
        assert len(epochs) == 2
        assert await drained(running) == wanted


async def test_rule_7_a_replay_is_bit_identical_wherever_batches_end(bus: KafkaBus) -> None:
    await fill(bus, RECORDS)
    hashes = {await drained(task(bus, f"app{limit}"), limit) for limit in (7, 100, 1_000)}
    assert len(hashes) == 1


async def test_rule_8_others_have_their_turn_within_100_ms(bus: KafkaBus) -> None:
    await fill(bus, stream(20_000, seed=2))
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    beating = asyncio.create_task(beat())
    running = task(bus)
    while await running.step(1_000):
        pass
    beating.cancel()
    assert 0.0 < longest < 0.1, "seconds of CPU in which no heartbeat could be sent"


async def test_rule_9_poison_goes_to_the_dead_letters_whole_and_too_much_of_it_stops(
    bus: KafkaBus,
) -> None:
    refused = messages([pod("a", "bad", 2_000.0, phase=POISON)])
    await fill(bus, RECORDS[:300])
    await bus.publish([Outgoing(PODS, 0, b"key", b"\xc1\x00 bytes", 1.0), *refused])
    await fill(bus, RECORDS[300:])
    running = task(bus)
    await drained(running)
    letters = await said(bus, DEAD_LETTERS)
    assert len(letters) == 2
    assert base64.b64encode(b"\xc1\x00 bytes") in letters[0]
    assert b"pods/0@" in letters[0]
    assert base64.b64encode(refused[0].value) in letters[1]
    await bus.publish([Outgoing(PODS, 0, b"key", b"\xc1", 1.0)] * 200)
    await bus.settled(PODS)
    with pytest.raises(Corrupt, match="unusable"):
        await drained(running)


async def test_rule_10_what_may_have_been_sent_is_sent_again_and_says_so(bus: KafkaBus) -> None:
    await bus.ensure(ledger.specs(1))
    hanging, healthy = deliveries.Place("ops"), deliveries.Place("ops")
    hanging.hang = True
    await bus.publish([deliveries.outgoing(deliveries.note(1, "ops"), 1)])
    crashed = deliveries.task(bus, ManualClock(), hanging)  # type: ignore[arg-type]
    await crashed.step()
    await deliveries.until(lambda: len(hanging.heard) == 1)
    second = deliveries.task(bus, ManualClock(), healthy)  # type: ignore[arg-type]
    await second.step()
    await second.settle()
    assert [heard.title for heard in healthy.heard] == [f"title 1 {REPEAT}"]
    await second.release()
    await crashed.release()

"""The loop's story: whatever is cut, killed or refused, state and outputs are bit for bit the same.

Leaves out the operators themselves (`tests/conformance/test_operators.py`) and Kafka.
"""

import asyncio
import multiprocessing
import random
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.bus import Batch, Bus, Message, Outgoing, Ownership
from stream.codec import decode, digest
from stream.embedded import EmbeddedBus
from stream.errors import Corrupt, Fenced, Rejected, Unavailable
from stream.operators.base import Operator
from stream.records import DeadLetter, Finding, PodInput, Progress, Tick
from stream.runtime import Pace, Task
from stream.testing import ManualClock
from stream.topics import DEAD_LETTERS, FINDINGS, PODS, TS
from tests.stream.toy import POISON, Toy, ToyBank, fill, messages, pod, stream

# A clock that stands still: commits and snapshots come by count alone, often.
PACE = Pace(commit_records=50, snapshot_records=170)
OFTEN = Pace(commit_records=20, snapshot_records=50)
RECORDS = stream(1_000)


def toys() -> Sequence[Operator]:
    return [Toy()]


def task(bus: Bus, make: Callable[[], Sequence[Operator]] = toys, pace: Pace = PACE) -> Task:
    return Task(bus, "app", 0, 1, make, clock=ManualClock(), pace=pace)


async def drained(running: Task, limit: int = 1_000) -> Task:
    """Step until nothing is left, own it anew when the bus fails, then commit."""
    while True:
        try:
            while await running.step(limit):
                pass
            await running.flush()
        except Unavailable:
            continue
        return running


async def said(bus: Bus, topic: str) -> list[Message]:
    batch = await bus.read(topic, 0, 0, 100_000)
    return list(batch.messages) if batch else []


async def outcome(bus: Bus, running: Task) -> tuple[str, dict[str, str]]:
    """What must be equal: the state, and every output topic byte for byte, in order."""
    told = {t: digest(m.value for m in await said(bus, t)) for t in (FINDINGS, TS, DEAD_LETTERS)}
    return await running.state_hash(), told


async def expected(
    records: Sequence[PodInput], make: Callable[[], Sequence[Operator]] = toys
) -> tuple[str, dict[str, str]]:
    async with EmbeddedBus.open() as bus:
        await fill(bus, records)
        return await outcome(bus, await drained(task(bus, make)))


# ---- batches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 7, 64, 1_000])
async def test_borders_between_batches_change_nothing(limit: int) -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        found = await outcome(bus, await drained(task(bus), limit))
        assert len(await said(bus, FINDINGS)) > 100
        assert len(await said(bus, TS)) > 500
    assert found == await expected(RECORDS)


async def test_the_order_of_several_operators_does_not_depend_on_batches_either() -> None:
    def make() -> Sequence[Operator]:
        return [Toy("one", 3), Toy("two", 4), Toy("three", 2)]

    wanted = await expected(RECORDS, make)
    for limit in (1, 13, 100):
        async with EmbeddedBus.open() as bus:
            await fill(bus, RECORDS)
            state, told = await outcome(bus, await drained(task(bus, make), limit))
        assert state == wanted[0]
        assert told[FINDINGS] == wanted[1][FINDINGS]


async def test_progress_stands_behind_what_came_before_its_tick() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        await drained(task(bus))
        told = [decode(FINDINGS, message.value) for message in await said(bus, FINDINGS)]
    newest: dict[str, float] = {}
    for one in told:
        assert one.source == f"{PODS}/0"
        if isinstance(one, Progress):
            assert one.at > newest.get(one.cluster, 0.0)
            newest[one.cluster] = one.at
        else:
            assert one.at >= max(newest.values(), default=0.0), "said after it was passed"
    last = {
        name: max(r.at for r in RECORDS if isinstance(r, Tick) and r.cluster == name)
        for name in "ab"
    }
    assert newest == last


async def test_a_repeated_tick_says_what_was_held_and_no_second_progress() -> None:
    tick = Tick(cluster="a", at=1_000.0)
    sights = [pod("a", "pod-1", 1_000.0) for _ in range(5)]
    async with EmbeddedBus.open() as bus:
        await fill(bus, [tick, *sights, tick, Tick(cluster="a", at=990.0), tick])
        await drained(task(bus))
        told = [decode(FINDINGS, message.value) for message in await said(bus, FINDINGS)]
    assert [type(one) for one in told] == [Progress, Finding]


async def test_commits_follow_the_clock_when_records_are_few() -> None:
    clock = ManualClock()
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS[:10])
        running = Task(bus, "app", 0, 1, toys, clock=clock)
        assert await running.step() == 10
        assert running.counters.commits == 0
        clock.advance(0.5)
        assert await running.step() == 0
        assert running.counters.commits == 1
        clock.advance(3_600.0)
        await running.step()
        assert running.counters.snapshots == 1  # else retention could overtake an idle task
        clock.advance(3_600.0)
        await running.step()
        assert running.counters.commits == 2  # nothing new: no empty transactions


async def test_others_on_the_loop_have_their_turn_between_ticks() -> None:
    class Hasty(ManualClock):
        def now(self) -> float:
            self.advance(0.03)  # all work takes long
            return super().now()

    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        running = Task(bus, "app", 0, 1, toys, clock=Hasty(), pace=Pace(commit_seconds=1e9))
        await running.step(1)
        beside = asyncio.create_task(other())
        await running.step(1_000)
        beside.cancel()
    assert turns > 20


# ---- restart and crash ------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [(10,), (60, 61), (120, 400, 999), tuple(range(100, 1_000, 100))])
async def test_a_restart_anywhere_changes_nothing(stops: tuple[int, ...]) -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        for stop in stops:
            running = task(bus)
            count = 0
            while count < stop % 97 + 55 and (done := await running.step(7)):
                count += done
            # Dropped without a word: what was not committed never happened.
        found = await outcome(bus, await drained(task(bus)))
    assert found == await expected(RECORDS)


async def test_a_graceful_stop_leaves_nothing_to_replay() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        running = task(bus)
        while running.counters.records < 333:
            await running.step(100)
        running.stop()
        await running.run()
        successor = task(bus)
        await successor.state_hash()
        assert successor.counters.replayed == 0
        found = await outcome(bus, await drained(successor))
    assert found == await expected(RECORDS)


@pytest.mark.slow
async def test_restoring_a_hundred_thousand_rows_takes_a_fraction_of_learning_them() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, [pod("a", f"pod-{i}", 1_000.0 + i / 1_000.0) for i in range(100_000)])
        began = time.process_time()
        running = await drained(task(bus, pace=Pace()), 2_000)
        await running.flush(snapshot=True)
        learning = time.process_time() - began
        wanted = await running.state_hash()
        successor = task(bus)
        began = time.process_time()
        assert await successor.step() == 0
        restoring = time.process_time() - began
        assert await successor.state_hash() == wanted
    assert restoring < 0.25 * learning, (restoring, learning)  # measured: 0.05 s against 1.2 s


def work_when_told(place: Path, parent: Connection, seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        async with EmbeddedBus.open(place, synchronous="NORMAL") as bus:
            running = task(bus, pace=Pace(commit_records=20, snapshot_records=90))
            while True:
                parent.recv()
                await running.step(chance.randint(1, 40), 1.0)
                parent.send(None)

    asyncio.run(main())


@pytest.mark.slow
async def test_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    place = tmp_path / "bus.db"
    records = stream(6_000, seed=5)
    chance = random.Random(11)
    async with EmbeddedBus.open(place, synchronous="NORMAL") as bus:
        await fill(bus, records)
    for seed in range(12):
        here, there = multiprocessing.get_context("fork").Pipe()
        child = multiprocessing.get_context("fork").Process(
            target=work_when_told, args=(place, there, seed)
        )
        child.start()
        there.close()
        for _ in range(chance.randint(0, 9)):
            here.send(None)
            assert await asyncio.to_thread(here.poll, 30.0)
            here.recv()
        here.send(None)
        child.join(chance.uniform(0.0, 0.01))  # in the middle of a step, or of its restore
        child.kill()
        child.join()
        here.close()
    async with EmbeddedBus.open(place) as bus:
        running = task(bus)
        assert await running.step(1), "the killed ones had finished: nothing was tried"
        found = await outcome(bus, await drained(running))
        assert running.counters.records < len(records) - 500, "the killed ones had hardly begun"
    assert found == await expected(records)


ACTS = st.sampled_from(["restart", "hash", "flush", "snapshot"]) | st.integers(1, 60)


@settings(max_examples=40, deadline=None)
@given(st.lists(ACTS, max_size=30), st.sets(st.integers(0, 149), max_size=1))
def test_any_mix_of_steps_restarts_and_snapshots_ends_alike(
    acts: list[str | int], poison: set[int]
) -> None:
    log = messages(stream(150, seed=6))
    for place in poison:
        log.insert(place, refused(1.0))

    async def play(acts: Sequence[str | int]) -> tuple[str, dict[str, str]]:
        async with EmbeddedBus.open() as bus:
            await fill(bus, [])
            await bus.publish(log)
            running = task(bus, pace=OFTEN)
            for act in acts:
                match act:
                    case "restart":
                        running = task(bus, pace=OFTEN)
                    case "hash":
                        await running.state_hash()
                    case "flush" | "snapshot":
                        await running.flush(snapshot=act == "snapshot")
                    case limit:
                        await running.step(int(limit))
            return await outcome(bus, await drained(running))

    assert asyncio.run(play(acts)) == asyncio.run(play([]))


# ---- faults of the bus ------------------------------------------------------------------------


class Faulty:
    """A bus whose n-th call fails, before it did its work or after."""

    def __init__(self, bus: Bus, fail_at: int, *, after: bool) -> None:
        self.bus = bus
        self.left = fail_at
        self.after = after
        self.calls: list[str] = []

    async def call(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        self.calls.append(name)
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Unavailable(f"{name} did not happen")
        result = await real(*args)
        if self.left == 0:
            raise Unavailable(f"{name} happened, but the answer was lost")
        return result

    async def own(self, app: str, partition: int, inputs: Sequence[str]) -> Ownership:
        owner = await self.call("own", self.bus.own, app, partition, inputs)
        return FaultyOwnership(self, owner)

    async def read(self, topic: str, partition: int, offset: int, limit: int) -> Batch | None:
        batch: Batch | None = await self.call(
            "read", self.bus.read, topic, partition, offset, limit
        )
        return batch


class FaultyOwnership:
    def __init__(self, faulty: Faulty, owner: Ownership) -> None:
        self.faulty = faulty
        self.owner = owner
        self.epoch = owner.epoch
        self.seek = owner.seek

    async def changelog(self) -> Mapping[bytes, bytes]:
        return await self.faulty.call("changelog", self.owner.changelog)

    async def poll(self, limit: int, wait: float = 0.0) -> Sequence[Batch]:
        if self.faulty.left == 1 and self.faulty.after:
            self.faulty.left -= 1  # a poll that moved on and then failed is for the bus to prevent
        return await self.faulty.call("poll", self.owner.poll, limit, wait)

    async def commit(
        self,
        outputs: Sequence[Outgoing],
        changelog: Mapping[bytes, bytes | None],
        offsets: Mapping[str, int],
    ) -> None:
        await self.faulty.call("commit", self.owner.commit, outputs, changelog, offsets)

    async def committed(self) -> Mapping[str, int]:
        return await self.faulty.call("committed", self.owner.committed)

    async def release(self) -> None:
        await self.faulty.call("release", self.owner.release)


FEW = stream(120, seed=3)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_the_loop_cut_at_every_await_in_turn_changes_nothing(after: bool) -> None:
    wanted = await expected(FEW)
    tried: set[str] = set()
    for fail_at in range(1, 200):
        async with EmbeddedBus.open() as bus:
            await fill(bus, FEW)
            # A predecessor has left a snapshot and commits behind it: there is something to replay.
            before = task(bus, pace=OFTEN)
            while before.counters.records < 70:
                await before.step(10)
            faulty = Faulty(bus, fail_at, after=after)
            running = await drained(task(faulty, pace=OFTEN), 10)  # type: ignore[arg-type]
            left, faulty.left = faulty.left, 0  # what looks at the outcome must not fail
            assert await outcome(bus, running) == wanted, (fail_at, faulty.calls)
            if left > 0:
                break
            tried.add(faulty.calls[fail_at - 1])
    else:
        pytest.fail("the loop never came to an end")
    assert {"own", "changelog", "read", "commit"} <= tried


async def test_a_cancelled_commit_drops_memory_and_nothing_is_lost_or_doubled() -> None:
    wanted = await expected(FEW)
    for turns in range(6):
        async with EmbeddedBus.open() as bus:
            await fill(bus, FEW)
            running = task(bus, pace=OFTEN)
            stepping = asyncio.create_task(running.step(20))
            for _ in range(turns):
                await asyncio.sleep(0)
            stepping.cancel()
            await asyncio.gather(stepping, return_exceptions=True)
            assert await outcome(bus, await drained(running, 10)) == wanted


async def test_a_fenced_task_stops_and_its_successor_goes_on() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        old = task(bus)
        await old.step(60)
        await old.step(30)  # ahead of its last commit
        new = task(bus)
        await new.step(10)
        with pytest.raises(Fenced):
            await drained(old)
        assert old.counters.fenced == 1
        found = await outcome(bus, await drained(new))
    assert found == await expected(RECORDS)


async def test_run_ends_when_fenced() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS[:100])
        clock = ManualClock()
        old = Task(bus, "app", 0, 1, toys, clock=clock, pace=Pace(commit_seconds=0.01))
        await old.step()
        await task(bus).step(1)
        running = asyncio.create_task(old.run())
        clock.advance(1.0)
        async with asyncio.timeout(5.0):
            with pytest.raises(Fenced):
                await running


async def test_run_outlives_a_failing_bus_and_gives_the_task_up_when_cancelled() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, FEW)
        faulty = Faulty(bus, 5, after=False)  # own, changelog, committed, poll, commit
        clock = ManualClock()
        running = Task(faulty, "app", 0, 1, toys, clock=clock, pace=OFTEN)  # type: ignore[arg-type]
        looping = asyncio.create_task(running.run(30))
        while running.counters.records < 150:  # thirty of them twice
            clock.advance(0.5)
            await asyncio.sleep(0)
        looping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looping
        assert running.counters.restores == 2
        assert faulty.calls[-1] == "release"
        found = await outcome(bus, await drained(task(bus)))
    assert found == await expected(FEW)


async def test_records_below_the_expected_offset_are_dropped_and_counted() -> None:
    class Repeating(EmbeddedBus):
        async def own(self, app: str, partition: int, inputs: Sequence[str]) -> Ownership:
            owner = await super().own(app, partition, inputs)
            real, last = owner.poll, [0]

            async def poll(limit: int, wait: float = 0.0) -> Sequence[Batch]:
                batches = await real(limit, wait)
                if not batches:
                    return batches
                batch, start = batches[0], max(0, last[0] - 5)
                last[0] = batch.next_offset
                again = await self.read(batch.topic, partition, start, batch.next_offset - start)
                return [again] if again else []

            owner.poll = poll  # type: ignore[method-assign]
            return owner

    async with Repeating.open() as bus:
        await fill(bus, RECORDS)
        running = await drained(task(bus), 100)
        assert running.counters.dropped == 5 * 9
        found = await outcome(bus, running)
    assert found == await expected(RECORDS)


# ---- poison -----------------------------------------------------------------------------------

GARBAGE = Outgoing(PODS, 0, b"bad", b"\xc1 not msgpack", 5.0)


def refused(at: float) -> Outgoing:
    return messages([pod("a", "pod-1", at, phase=POISON)])[0]


@pytest.mark.parametrize("places", [(0,), (57,), (299,), (3, 4), (0, 150, 299), (120, 121)])
@pytest.mark.parametrize("kind", ["garbage", "refused", "both"])
async def test_poison_goes_to_the_dead_letters_and_touches_nothing_else(
    places: tuple[int, ...], kind: str
) -> None:
    good = stream(300, seed=9)
    log = messages(good)
    for i, place in enumerate(places):
        bad = GARBAGE if kind == "garbage" or (kind == "both" and i % 2) else refused(1.0)
        log.insert(place + i, bad)
    async with EmbeddedBus.open() as bus:
        await fill(bus, [])
        await bus.publish([Outgoing(PODS, 0, b"", m.value, m.at) for m in messages(stream(400, 2))])
        await bus.publish(log)
        first = task(bus)
        while first.counters.records < 550:
            await first.step(150)
        running = await drained(task(bus), 150)  # restored behind some of the poison
        letters = [decode(DEAD_LETTERS, message.value) for message in await said(bus, DEAD_LETTERS)]
        findings, points = await said(bus, FINDINGS), await said(bus, TS)
        state = await running.state_hash()
    offsets = [400 + place + i for i, place in enumerate(places)]
    assert [letter.place for letter in letters] == [f"pods/0@{offset}" for offset in offsets]
    for letter, offset in zip(letters, offsets, strict=True):
        assert isinstance(letter, DeadLetter)
        assert (letter.key, letter.value) == log[offset - 400][2:4]
        assert "poison" in letter.error or "not a record" in letter.error
    async with EmbeddedBus.open() as bus:
        await fill(bus, [*stream(400, 2), *good])
        clean = await drained(task(bus))
        assert [m.value for m in findings] == [m.value for m in await said(bus, FINDINGS)]
        assert [m.value for m in points] == [m.value for m in await said(bus, TS)]
        assert await clean.state_hash() != state  # the offsets differ, the rest does not


ENCODED = [message.value for message in messages(stream(4_500, 4))]
# Nothing, noise, a record that was cut, bent or lengthened, one of a later version or another kind.
DAMAGED = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda value, end: value[:end], st.sampled_from(ENCODED), st.integers(0, 30)),
    st.builds(
        lambda value, at, byte: value[: at % len(value)] + byte + value[at % len(value) + 1 :],
        st.sampled_from(ENCODED),
        st.integers(0, 1_000),
        st.binary(min_size=1, max_size=3),
    ),
    st.builds(lambda value, tail: value + tail, st.sampled_from(ENCODED), st.binary(min_size=1)),
    st.builds(
        lambda name, rest: msgspec.msgpack.encode([name, *rest]),
        st.sampled_from(["pod.v2", "PodRecord", "Tick", "DeploymentChange", ""]),
        st.lists(st.none() | st.floats() | st.text() | st.integers(-9, 9), max_size=12),
    ),
    st.integers(0, 3).map(lambda size: b"\x91" * 10**size),  # nested, deeper than anybody writes
)


@pytest.mark.slow
@given(st.lists(DAMAGED, max_size=40))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_damaged_goes_whole_to_the_dead_letters_and_the_rest_goes_on(
    damaged: list[bytes],
) -> None:
    log = list(ENCODED)
    for i, value in enumerate(damaged):  # one in 110: with more, the task stops (below)
        log.insert(110 * (i + 1), value)

    def readable(value: bytes) -> bool:
        try:
            decode(PODS, value)
        except Rejected:
            return False
        return True

    async def said_of(values: list[bytes]) -> tuple[list[DeadLetter], list[bytes]]:
        async with EmbeddedBus.open() as bus:
            await fill(bus, [])
            await bus.publish([Outgoing(PODS, 0, b"k", value, 1.0) for value in values])
            await drained(task(bus, pace=Pace()), 2_000)
            letters = [decode(DEAD_LETTERS, m.value) for m in await said(bus, DEAD_LETTERS)]
            told = [m.value for topic in (FINDINGS, TS) for m in await said(bus, topic)]
        return [each for each in letters if isinstance(each, DeadLetter)], told

    async def both() -> None:
        letters, told = await said_of(log)
        bad = [i for i, value in enumerate(log) if not readable(value)]
        assert [(each.place, each.value) for each in letters] == [
            (f"pods/0@{i}", log[i]) for i in bad
        ]
        _, clean = await said_of([value for value in log if readable(value)])
        assert told == clean

    asyncio.run(both())


async def test_what_one_operator_refuses_the_other_still_learns() -> None:
    class Glutton(Toy):
        def on_records(self, records: Sequence[Any]) -> Sequence[Any]:
            return super().on_records(
                [r if isinstance(r, Tick) else pod(r.cluster, r.pod, r.at) for r in records]
            )

    good = stream(300, seed=9)
    async with EmbeddedBus.open() as bus:
        await fill(bus, good)
        await bus.publish([refused(2_000.0), *messages([Tick(cluster="a", at=2_000.0)])])
        glutton = Glutton("glutton", every=1)
        await drained(task(bus, lambda: [Toy(), glutton]))
        [letter] = await said(bus, DEAD_LETTERS)
        told = [decode(FINDINGS, message.value) for message in await said(bus, FINDINGS)]
    assert "'toy'" in decode(DEAD_LETTERS, letter.value).error
    last = [one.rule for one in told if one.at == 2_000.0 and isinstance(one, Finding)]
    assert "glutton-seen" in last
    assert "toy-seen" not in last


@pytest.mark.parametrize(
    ("bad", "good", "match"),
    [(101, 20_000, "in a row"), (3, 200, "are unusable")],
)
@pytest.mark.parametrize("kind", ["garbage", "refused"])
async def test_too_much_poison_stops_the_task_before_the_topic_is_drained(
    bad: int, good: int, match: str, kind: str
) -> None:
    poison = GARBAGE if kind == "garbage" else refused(1.0)
    async with EmbeddedBus.open() as bus:
        await fill(bus, stream(good, 4))
        await bus.publish([poison] * bad + messages(stream(1)))
        running = task(bus, pace=Pace())
        while running.counters.records < good:
            await running.step(good - running.counters.records)
        await running.flush(snapshot=True)
        for _ in range(2):  # a restart does not help: a person must look
            with pytest.raises(Corrupt, match=match):
                await running.step(1_000)
        assert not await said(bus, DEAD_LETTERS)


async def test_a_hundred_in_a_row_may_pass_when_they_are_few_of_all() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, stream(15_000, 4))
        await bus.publish([GARBAGE] * 100 + messages(stream(1)))
        running = await drained(task(bus, pace=Pace()), 5_000)
        assert running.counters.dead_letters == 100


# ---- refusing to start ------------------------------------------------------------------------


async def test_another_number_of_partitions_is_corrupt() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, FEW)
        await drained(task(bus))
        with pytest.raises(Corrupt, match="partitions"):
            await Task(bus, "app", 0, 2, toys, clock=ManualClock()).step()


async def test_state_of_another_model_is_corrupt() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, FEW)
        running = await drained(task(bus))
        await running.flush(snapshot=True)
        with pytest.raises(Corrupt, match="another version"):
            await task(bus, lambda: [Toy(bank=ToyBank(width=3))]).step()


async def test_a_lost_input_between_snapshot_and_commit_is_corrupt() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, FEW)
        await drained(task(bus))  # no snapshot yet: all of it would be replayed
        await bus.trim(1e9)
        with pytest.raises(Corrupt, match="retention"):
            await task(bus).step()


async def test_operators_may_come_and_go() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, FEW)
        await (await drained(task(bus))).flush(snapshot=True)
        await bus.publish(messages(stream(50, 8)))
        both = await drained(task(bus, lambda: [Toy(), Toy("new")]))
        await both.flush(snapshot=True)
        only = task(bus, lambda: [Toy("new")])
        await bus.publish(messages(stream(10, 8)))
        await drained(only)
        await only.flush(snapshot=True)
        owner = await bus.own("app", 0, [])
        assert not [key for key in await owner.changelog() if key.startswith(b"toy/")]

"""Which tasks run: all that the bus gives, stood still between two steps, ended one by one.

Left out: real groups and rebalances (`tests/kafka`), what tasks do (`test_runtime`).
"""

import asyncio

import pytest

from stream.bus import Bus
from stream.crew import TaskCrew, work
from stream.embedded import EmbeddedBus
from stream.errors import Corrupt, Fenced, Unavailable
from stream.testing import ManualClock
from stream.topics import PODS, specs


class Stepping:
    """Work that counts its steps, and fails when told to."""

    def __init__(self, partition: int, events: list[str]) -> None:
        self.partition = partition
        self.events = events
        self.fails: list[BaseException] = []
        self.steps = 0

    async def step(self) -> int:
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails.pop()
        self.steps += 1
        return 0

    async def flush(self, *, last: bool) -> None:
        self.events.append(f"{'last ' if last else ''}commit {self.partition}")

    async def release(self) -> None:
        self.events.append(f"release {self.partition}")


class Stage:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.made: dict[int, list[Stepping]] = {}
        self.clock = ManualClock()
        self.crew = TaskCrew("app", self.make, self.clock)

    def make(self, partition: int) -> Stepping:
        made = Stepping(partition, self.events)
        self.made.setdefault(partition, []).append(made)
        return made

    async def turn(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    def steps(self, partition: int) -> int:
        return sum(one.steps for one in self.made.get(partition, ()))


async def test_what_stays_goes_on_with_its_memory_and_what_goes_is_committed_first() -> None:
    stage = Stage()
    await stage.crew.take(frozenset({0, 1}))
    await stage.turn()
    await stage.crew.pause()
    still = stage.steps(0)
    await stage.turn()
    assert stage.steps(0) == still, "nothing is stepped between pause and take"
    await stage.crew.take(frozenset({1, 2}))
    await stage.turn()
    assert stage.events == ["commit 0", "commit 1", "release 0"]
    assert len(stage.made[1]) == 1
    assert stage.steps(0) == still < stage.steps(1)
    assert stage.steps(2) > 0
    await stage.crew.aclose()
    assert sorted(stage.events[3:5]) == ["last commit 1", "last commit 2"]
    assert sorted(stage.events[5:]) == ["release 1", "release 2"]


async def test_a_corrupt_task_stops_alone_and_says_why() -> None:
    stage = Stage()
    await stage.crew.take(frozenset({0, 1}))
    await stage.turn()
    stage.made[0][0].fails = [Corrupt("a page is missing")]
    await stage.turn()
    assert stage.crew.stopped == {0: "a page is missing"}
    before = stage.steps(1)
    await stage.turn()
    assert stage.steps(1) > before
    assert sorted(stage.crew.works) == [1]
    await stage.crew.aclose()


CUT_OFF = asyncio.CancelledError()  # by a client that closes, not by us


@pytest.mark.parametrize(
    "failure", [Unavailable("no broker"), Fenced("a newer owner"), CUT_OFF], ids=repr
)
async def test_what_may_pass_is_tried_again_after_a_pause(failure: BaseException) -> None:
    stage = Stage()
    await stage.crew.take(frozenset({0}))
    await stage.turn()
    stage.made[0][0].fails = [failure]
    await stage.turn()
    still = stage.steps(0)
    await stage.turn()
    assert stage.steps(0) == still
    stage.clock.advance(0.5)
    await stage.turn()
    assert stage.steps(0) > still
    await stage.crew.aclose()


async def test_on_one_process_alone_every_task_runs_and_the_end_is_in_order() -> None:
    stage = Stage()
    bus: Bus
    async with EmbeddedBus.open() as bus:
        await bus.ensure(specs(3))
        following = asyncio.create_task(work(bus, "app", PODS, stage.crew, stage.clock))
        for _ in range(20):
            await stage.turn()
        assert stage.steps(2) > 0
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
    assert sorted(stage.events[:3]) == ["last commit 0", "last commit 1", "last commit 2"]
    assert sorted(stage.events[3:]) == ["release 0", "release 1", "release 2"]


async def test_a_bug_in_one_task_ends_the_process_instead_of_the_task_in_silence() -> None:
    stage = Stage()
    bus: Bus
    async with EmbeddedBus.open() as bus:
        await bus.ensure(specs(2))
        following = asyncio.create_task(work(bus, "app", PODS, stage.crew, stage.clock))
        for _ in range(20):
            await stage.turn()
        stage.made[1][0].fails = [ZeroDivisionError("a bug")]
        with pytest.raises(ZeroDivisionError):
            await following
    assert sorted(stage.events) == ["last commit 0", "release 0", "release 1"]


class Deaf(Stepping):
    """Work whose step swallows the first cancellation, as a client that is connecting may."""

    async def step(self) -> int:
        if not self.steps:
            self.steps += 1
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.events.append("swallowed")
        return await super().step()


async def test_a_swallowed_cancellation_keeps_nobody_from_leaving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream.crew._AGAIN", 0.01)
    events: list[str] = []
    crew = TaskCrew("app", lambda partition: Deaf(partition, events), ManualClock())
    await crew.take(frozenset({0}))
    for _ in range(50):
        await asyncio.sleep(0)
    crew._going.clear()  # as when a rebalance begins while the step still hangs
    await crew.take(frozenset())
    crew._going.clear()
    async with asyncio.timeout(5.0):
        while crew._leaving:
            await asyncio.gather(*crew._leaving)
    assert events == ["swallowed", "release 0"]

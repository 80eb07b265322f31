"""The alert task on a real bus: exactly once across restarts, rivals and poison.

Leaves out what is decided (`tests/timelines`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alerting.alert import Incident, Notification
from alerting.task import AlertTask
from alerting.testing import CHECKOUT, NODE, Story, digest_of
from alerting.wire import Record, decode
from stream import codec, topics
from stream.bus import Outgoing
from stream.embedded import EmbeddedBus
from stream.errors import Corrupt, Fenced
from stream.records import Conclusion, Progress, Severity
from stream.testing import ManualClock

SOURCES = ["pods/0", "node-metrics/0", "deployments/0"]


def story() -> Story:
    told = Story()
    told.at(0, "deployments/0").evidence("release", CHECKOUT, "release v42", manager="kubectl")
    told.at(1, "pods/0").firing("restart-burst", CHECKOUT)
    told.at(2, "node-metrics/0").firing("node-not-ready", NODE, severity=Severity.CRITICAL)
    told.at(9, "pods/0").resolved("restart-burst", CHECKOUT)
    told.at(10, "node-metrics/0").resolved("node-not-ready", NODE)
    told.at(30).quiet()
    return told


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedBus]:
    async with EmbeddedBus.open(tmp_path / "bus.db", synchronous="OFF") as opened:
        await opened.ensure(topics.specs(1))
        yield opened


def task(bus: EmbeddedBus, clock: ManualClock | None = None) -> AlertTask:
    return AlertTask(bus, 0, 1, story().config.policy(), SOURCES, clock or ManualClock())


async def publish(bus: EmbeddedBus, log: list[Conclusion]) -> None:
    await bus.publish([codec.outgoing(conclusion, 1) for conclusion in log])


async def written(bus: EmbeddedBus, topic: str) -> list[Record]:
    batch = await bus.read(topic, 0, 0, 10_000)
    return [decode(topic, message.value) for message in batch.messages] if batch else []


async def all_written(bus: EmbeddedBus) -> str:
    names = (topics.INCIDENTS, topics.NOTIFICATIONS, topics.SUPPRESSED)
    return digest_of([record for name in names for record in await written(bus, name)])


def expected() -> str:
    records = story().records
    kinds = (Incident, Notification)
    ordered = [r for kind in kinds for r in records if isinstance(r, kind)]
    return digest_of([*ordered, *[r for r in records if not isinstance(r, kinds)]])


async def test_what_the_task_writes_is_what_the_story_tells(bus: EmbeddedBus) -> None:
    await publish(bus, story().logged())
    one = task(bus)
    while await one.step():
        pass
    await one.flush()
    assert await all_written(bus) == expected()


@pytest.mark.parametrize("cut", range(1, 25, 3))
async def test_a_restart_anywhere_says_nothing_twice_and_nothing_less(
    bus: EmbeddedBus, cut: int
) -> None:
    log = story().logged()
    await publish(bus, log[:cut])
    first = task(bus)
    await first.step()
    if cut % 2:
        await first.flush()
    await publish(bus, log[cut:])
    second = task(bus)  # the first has crashed: no flush, no release
    while await second.step():
        pass
    await second.flush()
    assert await all_written(bus) == expected()
    whole = task(bus)
    await whole.start()
    assert whole.state_hash() == second.state_hash()


async def test_an_owner_who_has_been_replaced_writes_nothing(bus: EmbeddedBus) -> None:
    old = task(bus)
    await old.start()
    new = task(bus)
    await new.start()
    await publish(bus, story().logged())
    with pytest.raises(Fenced):
        await old.step()
    assert await written(bus, topics.INCIDENTS) == []
    while await new.step():
        pass
    await new.flush()
    assert await all_written(bus) == expected()


async def test_poison_goes_to_the_dead_letters_with_its_bytes(bus: EmbeddedBus) -> None:
    await bus.publish([Outgoing(topics.FINDINGS, 0, b"prod", b'{"type":"nonsense"}')])
    await publish(bus, story().logged())
    one = task(bus)
    while await one.step():
        pass
    await one.flush()
    batch = await bus.read(topics.DEAD_LETTERS, 0, 0, 10)
    assert batch is not None
    (letter,) = [codec.decode(topics.DEAD_LETTERS, message.value) for message in batch.messages]
    assert letter.value == b'{"type":"nonsense"}'
    assert letter.place == "findings/0@0"
    assert await all_written(bus) == expected()


async def test_state_without_records_is_written_after_a_few_seconds(bus: EmbeddedBus) -> None:
    clock = ManualClock()
    one = task(bus, clock)
    await one.start()
    await publish(bus, story().logged()[:2])
    await one.step()
    assert (await (await bus.own("alerting", 0, [])).changelog()) == {}
    one = task(bus, clock)
    await one.step()
    clock.advance(6.0)
    await one.step()
    assert b"offset" in await (await bus.own("alerting", 0, [])).changelog()


async def test_damaged_state_stops_with_a_reason(bus: EmbeddedBus) -> None:
    owner = await bus.own("alerting", 0, [topics.FINDINGS])
    owner.seek({})
    await owner.commit([], {b"cluster/prod/0000": b"\xc1"}, {})
    with pytest.raises(Corrupt, match="alerting/0"):
        await task(bus).start()


async def test_a_large_state_is_cut_into_parts_and_shrinks_again(
    bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerting.task._PART", 300)
    log = story().logged()
    one = task(bus)
    await publish(bus, log)
    while await one.step():
        pass
    await one.flush()
    again = task(bus)
    await again.start()
    assert again.state_hash() == one.state_hash()
    monkeypatch.setattr("alerting.task._PART", 1 << 19)
    await publish(bus, [Progress(source=name, cluster="prod", at=2e9) for name in SOURCES])
    while await again.step():
        pass
    await again.flush()
    last = task(bus)
    await last.start()
    assert last.state_hash() == again.state_hash()
    changelog = await (await bus.own("alerting", 0, [])).changelog()
    assert set(changelog) == {b"offset", b"cluster/prod/0000"}


async def test_the_state_is_the_same_however_the_log_was_interleaved() -> None:
    log = story().logged()
    hashes = []
    for order in (log, sorted(log, key=lambda conclusion: conclusion.source)):
        async with EmbeddedBus.open() as other:
            await other.ensure(topics.specs(1))
            await publish(other, order)
            one = task(other)
            while await one.step():
                pass
            hashes.append(one.state_hash())
    assert hashes[0] == hashes[1]

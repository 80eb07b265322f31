"""Delivery on virtual time: isolation, retries, the ledger, doubt after a crash, dry runs.

Leaves out what a channel does with an answer (`tests/conformance/test_channels.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from alerting import ledger
from alerting.alert import Notification, Reason
from alerting.budget import Limit
from alerting.config import AlertingConfig, DeliveryConfig
from alerting.delivery import REPEAT, DeliveryTask
from alerting.wire import outgoing
from stream import topics
from stream.bus import Outgoing
from stream.embedded import EmbeddedBus
from stream.errors import Fenced, Rejected, Unavailable
from stream.records import Severity
from stream.testing import ManualClock


class Place:
    """A channel whose answers are scripted: an exception to raise, or None."""

    def __init__(self, name: str, *answers: Exception | None, limit: Limit | None = None) -> None:
        self.name = name
        self.limit = limit or Limit(1000, 60.0)
        self.send_resolved = True
        self.answers = list(answers)
        self.heard: list[Notification] = []
        self.hang = False

    def render(self, notification: Notification) -> str:
        return notification.title

    async def notify(self, notification: Notification) -> None:
        self.heard.append(notification)
        if self.hang:
            await asyncio.Event().wait()
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

    async def aclose(self) -> None:
        pass


def note(number: int, channel: str) -> Notification:
    return Notification(
        id=f"n{number}",
        at=float(number),
        channel=channel,
        incident="i",
        kind="firing",
        reason=Reason.FIRST_NOTIFICATION,
        severity=Severity.WARNING,
        cluster="prod",
        title=f"title {number}",
        text="text",
    )


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedBus]:
    async with EmbeddedBus.open(tmp_path / "bus.db", synchronous="OFF") as opened:
        await opened.ensure([*topics.specs(1), *ledger.specs(1)])
        yield opened


async def publish(bus: EmbeddedBus, *notes: Notification) -> None:
    await bus.publish([outgoing(one, 1) for one in notes])


def task(bus: EmbeddedBus, clock: ManualClock, *places: Place, **options: bool) -> DeliveryTask:
    channels = {place.name: place for place in places}
    return DeliveryTask(bus, 0, 1, channels, DeliveryConfig(timeout=0.05), clock, **options)


async def until(what: Callable[[], bool], clock: ManualClock | None = None, by: float = 0) -> None:
    """Let others run, and time pass by `by` seconds a turn, until it is so."""
    for _ in range(2_000):
        if what():
            return
        await asyncio.sleep(0.001)
        if clock is not None:
            clock.advance(by)
    raise AssertionError("it never became so")


async def outcomes(bus: EmbeddedBus) -> list[ledger.Delivery]:
    batch = await bus.read(ledger.DELIVERIES, 0, 0, 1000)
    return [ledger.decode(message.value) for message in batch.messages] if batch else []


async def test_a_message_is_sent_once_and_its_outcome_is_kept(bus: EmbeddedBus) -> None:
    ops = Place("ops")
    await publish(bus, note(1, "ops"), note(2, "ops"))
    one = task(bus, ManualClock(), ops)
    assert await one.step() == 2
    await one.settle()
    await one.release()
    assert [heard.id for heard in ops.heard] == ["n1", "n2"]
    assert [(o.notification, o.outcome) for o in await outcomes(bus)] == [
        ("n1", "delivered"),
        ("n2", "delivered"),
    ]
    again = task(bus, ManualClock(), ops)
    assert await again.step() == 0
    await again.release()
    changelog = await (await bus.own("delivery", 0, [])).changelog()
    assert set(changelog) == {b"offset"}


async def test_a_dead_channel_delays_no_other(bus: EmbeddedBus) -> None:
    clock = ManualClock()
    dead, alive = Place("dead", *[Unavailable("down")] * 1000), Place("alive")
    await publish(bus, note(1, "dead"), note(2, "alive"), note(3, "alive"))
    one = task(bus, clock, dead, alive)
    await one.step()
    await until(lambda: one.outcomes["alive", "delivered"] == 2)
    assert not one.outcomes["dead", "failed"]
    await one.release()


async def test_unavailable_is_tried_again_until_it_is_taken(bus: EmbeddedBus) -> None:
    clock = ManualClock()
    ops = Place("ops", Unavailable("busy"), Unavailable("busy"), None)
    await publish(bus, note(1, "ops"))
    one = task(bus, clock, ops)
    await one.step()
    await until(lambda: len(ops.heard) == 3, clock, 0.5)
    await one.settle()
    await one.release()
    (kept,) = await outcomes(bus)
    assert (kept.outcome, kept.attempts) == ("delivered", 3)


async def test_who_asks_for_time_gets_it(bus: EmbeddedBus) -> None:
    clock = ManualClock(1000.0)
    ops = Place("ops", Unavailable("blocked", retry_after=600.0), None)
    await publish(bus, note(1, "ops"))
    one = task(bus, clock, ops)
    await one.step()
    await until(lambda: len(ops.heard) == 1)
    for _ in range(20):
        await asyncio.sleep(0.001)
    clock.advance(599.0)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(ops.heard) == 1
    clock.advance(1.0)
    await until(lambda: len(ops.heard) == 2)
    await one.release()


async def test_rejected_is_final(bus: EmbeddedBus) -> None:
    ops = Place("ops", Rejected("no such channel"))
    await publish(bus, note(1, "ops"), note(2, "ops"))
    one = task(bus, ManualClock(), ops)
    await one.step()
    await one.settle()
    await one.release()
    kept = await outcomes(bus)
    assert [(o.outcome, o.attempts) for o in kept] == [("failed", 1), ("delivered", 1)]
    assert "no such channel" in kept[0].error


async def test_after_half_an_hour_it_is_given_up(bus: EmbeddedBus) -> None:
    clock = ManualClock()
    ops = Place("ops", *[Unavailable("down")] * 10_000)
    await publish(bus, note(1, "ops"))
    one = task(bus, clock, ops)
    await one.step()
    await until(lambda: one.outcomes["ops", "failed"] == 1, clock, 5.0)
    await one.release()
    (kept,) = await outcomes(bus)
    assert "given up: down" in kept.error
    assert kept.attempts > 30
    assert 1700 < kept.at < 1810


async def test_a_channel_that_hangs_is_timed_out_and_tried_again(bus: EmbeddedBus) -> None:
    clock = ManualClock()
    ops = Place("ops")
    ops.hang = True
    await publish(bus, note(1, "ops"))
    one = task(bus, clock, ops)
    await one.step()
    await until(lambda: len(ops.heard) == 2, clock, 0.1)
    await one.release()


async def test_what_a_crash_left_in_doubt_is_sent_again_and_says_so(bus: EmbeddedBus) -> None:
    ops = Place("ops")
    ops.hang = True
    await publish(bus, note(1, "ops"), note(2, "ops"))
    crashed = task(bus, ManualClock(), ops)
    await crashed.step()
    await until(lambda: len(ops.heard) == 1)
    healthy = Place("ops")
    second = task(bus, ManualClock(), healthy)
    await second.step()
    await second.settle()
    assert [heard.title for heard in healthy.heard] == [f"title 1 {REPEAT}", "title 2"]
    assert [o.repeat for o in await outcomes(bus)] == [True, False]
    await second.release()
    await crashed.release()


async def test_what_is_in_doubt_may_be_suppressed_instead(bus: EmbeddedBus) -> None:
    ops = Place("ops")
    ops.hang = True
    await publish(bus, note(1, "ops"))
    crashed = task(bus, ManualClock(), ops)
    await crashed.step()
    await until(lambda: len(ops.heard) == 1)
    healthy = Place("ops")
    config = DeliveryConfig(on_uncertain="suppress")
    second = DeliveryTask(bus, 0, 1, {"ops": healthy}, config, ManualClock())
    await second.step()
    await second.settle()
    assert not healthy.heard
    await second.release()
    await crashed.release()


async def test_two_deliverers_never_both_settle(bus: EmbeddedBus) -> None:
    await publish(bus, note(1, "ops"))
    old = task(bus, ManualClock(), Place("ops"))
    await old.start()
    new = task(bus, ManualClock(), ops := Place("ops"))
    await new.start()
    await old.step()
    with pytest.raises(Fenced):
        await old.settle()
    await new.step()
    await new.settle()
    assert len(ops.heard) == 1
    await new.release()


async def test_the_position_waits_for_the_slowest_and_the_ledger_skips_the_rest(
    bus: EmbeddedBus,
) -> None:
    slow, fast = Place("slow"), Place("fast")
    slow.hang = True
    await publish(bus, note(1, "slow"), note(2, "fast"))
    one = task(bus, ManualClock(), slow, fast)
    await one.step()
    await until(lambda: one.outcomes["fast", "delivered"] == 1)
    again_slow, again_fast = Place("slow"), Place("fast")
    second = task(bus, ManualClock(), again_slow, again_fast)
    await second.step()
    await second.settle()
    assert [heard.id for heard in again_slow.heard] == ["n1"]
    assert not again_fast.heard
    await second.release()
    await one.release()


async def test_a_fast_replay_is_paced_to_what_the_place_takes(bus: EmbeddedBus) -> None:
    clock = ManualClock()
    ops = Place("ops", limit=Limit(2, 60.0))
    await publish(bus, *[note(number, "ops") for number in range(5)])
    one = task(bus, clock, ops)
    await one.step()
    await until(lambda: len(ops.heard) == 2)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(ops.heard) == 2
    clock.advance(60.0)
    await until(lambda: len(ops.heard) == 4)
    await one.release()


async def test_a_bug_in_one_channel_is_counted_and_silences_no_other(bus: EmbeddedBus) -> None:
    broken, fine = Place("broken", ZeroDivisionError("with a secret")), Place("fine")
    await publish(bus, note(1, "broken"), note(2, "fine"))
    one = task(bus, ManualClock(), broken, fine)
    await one.step()
    await one.settle()
    await one.release()
    kept = {o.channel: o for o in await outcomes(bus)}
    assert kept["broken"].error == "bug: ZeroDivisionError"
    assert kept["fine"].outcome == "delivered"


async def test_a_receiver_that_is_gone_and_what_is_unreadable_hold_nothing_up(
    bus: EmbeddedBus,
) -> None:
    await bus.publish([Outgoing(topics.NOTIFICATIONS, 0, b"prod", b"{}")])
    await publish(bus, note(1, "gone"), note(2, "ops"))
    one = task(bus, ManualClock(), ops := Place("ops"))
    await one.step()
    await one.settle()
    await one.release()
    assert len(ops.heard) == 1
    assert one.outcomes["", "unreadable"] == 1
    assert one.outcomes["gone", "failed"] == 1


async def test_a_dry_run_renders_and_opens_nothing(
    bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a dry run must not open a socket")

    config = AlertingConfig.model_validate(
        {
            "receivers": {
                "ops": {"type": "slack", "url_file": "/nowhere"},
                "all": {"type": "terminal"},
            },
            "route": {"receivers": ["ops"]},
        }
    )
    monkeypatch.setattr("alerting.outbound.aiohttp.ClientSession", refuse)
    await publish(bus, note(1, "ops"), note(2, "all"))
    clock = ManualClock()
    channels = config.channels(clock, dry=True)
    one = DeliveryTask(bus, 0, 1, channels, config.delivery, clock, dry=True)
    await one.step()
    await one.settle()
    await one.release()
    assert {o.outcome for o in await outcomes(bus)} == {"rendered"}


def test_a_ledger_entry_survives_its_wire() -> None:
    entry = ledger.Delivery(
        notification="n", channel="c", outcome=ledger.Outcome.DELIVERED, at=1.0, attempts=2
    )
    assert ledger.decode(ledger.encode(entry)) == entry
    assert msgspec.json.decode(ledger.encode(entry))["outcome"] == "delivered"

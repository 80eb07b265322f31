"""A verdict's way: from the page or the command onto the bus, into the operator, onto the timeline.

Left out: what it counts for (`tests/stream/test_event_feedback.py`).
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from typer.testing import CliRunner

from alerting.alert import Alert, Incident, State
from alerting.wire import outgoing
from forewarn import feedback
from forewarn.cli import app as command
from forewarn.config import Config
from forewarn.console.feed import Feed
from forewarn.console.server import create_app
from forewarn.pipeline import Pipeline
from stream.bus import Bus, Outgoing
from stream.codec import decode, encode_input
from stream.embedded import EmbeddedBus
from stream.errors import Rejected, Unavailable
from stream.records import Feedback, Finding, ObjectRef, Severity, Tick
from stream.testing import ManualClock
from stream.topics import EVENTS, FINDINGS, key_of, partition_of, specs
from tests.forewarn.asking import Answer, ask, elements

CHECKOUT = ObjectRef("Deployment", "shop", "checkout")
AT = 1_760_000_000.0
HOSTILE = "<script>alert(1)</script>"


def incident(*rules: str, name: str = "3f9a07", reason: str = "FailedMount") -> Incident:
    alerts = tuple(
        Alert(
            fingerprint=rule,
            rule=rule,
            cluster="prod",
            object=CHECKOUT,
            severity=Severity.WARNING,
            labels={"reason": reason},
            summary=f"{rule} of checkout",
            starts_at=AT,
            updated_at=AT,
        )
        for rule in rules
    )
    return Incident(
        id=name,
        cluster="prod",
        rule=rules[0],
        object=CHECKOUT,
        severity=Severity.WARNING,
        state=State.FIRING,
        opened_at=AT,
        updated_at=AT,
        summary="checkout cannot mount",
        alerts=alerts,
    )


async def said(bus: Bus, partitions: int) -> list[Feedback]:
    records = []
    for partition in range(partitions):
        batch = await bus.read(EVENTS, partition, 0, 100)
        messages = batch.messages if batch is not None else ()
        for message in messages:
            record: Any = decode(EVENTS, message.value)
            assert partition == partition_of(key_of("prod", record.object), partitions)
            records.append(record)
    return records


# ---- onto the bus -------------------------------------------------------------------------------


async def test_each_unusual_event_of_the_incident_is_judged_where_its_object_is_at_home() -> None:
    async with EmbeddedBus.open(None) as bus:
        await bus.ensure(specs(4))
        whole = incident("event-anomaly", "restart-burst")
        assert await feedback.tell(bus, 4, whole, "noise", 60.0) == [(CHECKOUT, "FailedMount")]
        assert await said(bus, 4) == [Feedback("prod", AT, CHECKOUT, "FailedMount", "noise", 60.0)]


@pytest.mark.parametrize(
    ("rules", "lasts", "why"),
    [
        (("restart-burst",), 60.0, "only that learns"),
        (("event-anomaly",), 0.0, "more than nothing"),
        (("event-anomaly",), 367 * 86_400.0, "a year at most"),
        (("event-anomaly",), float("nan"), "more than nothing"),
    ],
)
async def test_what_cannot_be_judged_is_refused_and_says_why(
    rules: tuple[str, ...], lasts: float, why: str
) -> None:
    async with EmbeddedBus.open(None) as bus:
        await bus.ensure(specs(1))
        with pytest.raises(Rejected, match=why):
            await feedback.tell(bus, 1, incident(*rules), "noise", lasts)
        assert await said(bus, 1) == []


async def test_a_verdict_goes_through_the_pipeline_and_a_replay_says_the_same() -> None:
    logs = []
    for _ in range(2):
        async with (
            EmbeddedBus.open(None) as bus,
            Pipeline.open(bus, Config(), ManualClock(AT)) as pipeline,
        ):
            partitions = pipeline.config.partitions
            await feedback.tell(bus, partitions, incident("event-anomaly"), "useful")
            await bus.publish(
                [
                    message._replace(partition=partition)
                    for partition in range(partitions)
                    for message in [_tick()]
                ]
            )
            await pipeline.drain()
            findings = []
            for partition in range(partitions):
                batch = await bus.read(FINDINGS, partition, 0, 100)
                messages = batch.messages if batch is not None else ()
                findings += [decode(FINDINGS, message.value) for message in messages]
            logs.append((findings, await pipeline.state_hash()))
    (first, state), (again, other_state) = logs
    assert [f.rule for f in first if isinstance(f, Finding)] == ["event-feedback"]
    assert (first, state) == (again, other_state)


def _tick() -> Outgoing:
    return Outgoing(EVENTS, 0, b"", encode_input(Tick("prod", AT + 60.0)), AT + 60.0)


# ---- the command --------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    async def fill() -> None:
        async with EmbeddedBus.open(tmp_path / "bus.db") as bus:
            await bus.ensure(specs(1))
            for one in (
                incident("event-anomaly"),
                incident("restart-burst", name="aa11"),
                incident("event-anomaly", name="aa22"),
            ):
                await bus.publish([outgoing(one, 1)])

    asyncio.run(fill())
    config = tmp_path / "c.yaml"
    config.write_text(f"partitions: 1\nstore: {{path: {tmp_path / 'bus.db'}}}\n")
    return config


def run(store: Path, *words: str) -> Any:
    return CliRunner().invoke(command, ["feedback", *words, "-c", str(store)])


def test_the_command_finds_the_incident_by_a_part_of_its_id_and_says_what_it_did(
    store: Path,
) -> None:
    told = run(store, "3f9", "noise", "--for", "7d")
    assert told.output == "FailedMount of Deployment shop/checkout: noise, for 7 d\n"

    async def look() -> list[Feedback]:
        async with EmbeddedBus.open(store.parent / "bus.db") as bus:
            return await said(bus, 1)

    assert asyncio.run(look()) == [
        Feedback("prod", AT, CHECKOUT, "FailedMount", "noise", 7 * 86_400.0)
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("nowhere", "noise"), "there is no incident 'nowhere'"),
        (("aa", "noise"), "2 incidents begin with 'aa'"),
        (("aa11", "useful"), "only that learns from verdicts"),
        (("3f9", "noise", "--for", "soon"), "'soon' is not a length of time"),
        (("3f9", "noise", "--for", "0s"), "more than nothing"),
    ],
)
def test_the_command_refuses_with_a_reason(store: Path, words: tuple[str, ...], why: str) -> None:
    refused = run(store, *words)
    assert isinstance(refused.exception, Rejected)
    assert why in str(refused.exception)


# ---- the page -----------------------------------------------------------------------------------


class Page:
    """The page of one incident, with a bus that can be taken away."""

    def __init__(self, known: Incident) -> None:
        self.path = f"/incidents/{known.id}"
        self.told: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        clock = ManualClock(AT)
        feed = Feed(clock)
        feed.apply("incidents", known)
        self.app: Starlette = create_app(feed, clock, tell=self.tell)

    async def tell(self, known: Incident, verdict: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.told.append((known.id, verdict))

    async def form(self) -> dict[str, str]:
        found = elements((await ask(self.app, self.path)).text)
        return {str(a["name"]): str(a["value"]) for tag, a in found if tag == "input"}

    async def send(self, body: str, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        path = f"{self.path}/feedback"
        return await ask(self.app, path, method="POST", headers=given, body=body.encode())


@pytest.fixture
def page() -> Page:
    return Page(incident("event-anomaly"))


async def test_a_button_on_the_page_says_it_and_the_page_shows_it(page: Page) -> None:
    token = (await page.form())["token"]
    answer = await page.send(
        f"token={token}&verdict=noise", origin="null", sec_fetch_site="same-origin"
    )
    assert (answer.status, answer.headers["location"]) == (303, f"{page.path}#feedback")
    assert page.told == [("3f9a07", "noise")]
    shown = (await ask(page.app, page.path)).text
    assert "Noted: noise." in shown
    assert "FailedMount of Deployment shop/checkout" in shown


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("verdict=noise", {}, 403),
        ("token=guess&verdict=noise", {}, 403),
        ("token={token}x&verdict=noise", {}, 403),
        ("token={token}&verdict=noise&more=" + 1_000 * "x", {}, 403),
        ("token={token}&verdict=noise", {"sec_fetch_site": "cross-site"}, 403),
        ("token={token}&verdict=noise", {"sec_fetch_site": "same-site"}, 403),
        ("token={token}&verdict=noise", {"origin": "http://evil.example"}, 403),
        ("token={token}&verdict=noise", {"origin": "http://localhost:9999"}, 403),
        ("token={token}&verdict=spam", {}, 400),
        ("token={token}", {}, 400),
        ("\xff\x00", {}, 403),
    ],
)
async def test_a_form_that_is_not_ours_changes_nothing(
    page: Page, body: str, headers: dict[str, str], status: int
) -> None:
    token = (await page.form())["token"]
    assert (await page.send(body.replace("{token}", token), **headers)).status == status
    assert page.told == []


async def test_the_same_origin_may_be_named(page: Page) -> None:
    token = (await page.form())["token"]
    answer = await page.send(f"token={token}&verdict=useful", origin="http://localhost:8080")
    assert answer.status == 303


async def test_a_bus_that_is_away_is_said_and_nothing_is_noted(page: Page) -> None:
    token = (await page.form())["token"]
    page.failure = Unavailable("the bus is not open")
    answer = await page.send(f"token={token}&verdict=noise")
    assert (answer.status, answer.text) == (503, "Not noted, try again: the bus is not open\n")
    page.failure = Rejected("nothing learns from it")
    assert (await page.send(f"token={token}&verdict=noise")).status == 400
    assert "Noted" not in (await ask(page.app, page.path)).text


async def test_only_incidents_that_learn_are_asked_about() -> None:
    assert await Page(incident("restart-burst")).form() == {}
    silent = Page(incident("event-anomaly"))
    clock = ManualClock(AT)
    feed = Feed(clock)
    feed.apply("incidents", incident("event-anomaly"))
    silent.app = create_app(feed, clock)
    assert await silent.form() == {}
    assert (await silent.send("verdict=noise")).status == 404


async def test_another_process_has_another_token(page: Page) -> None:
    other = Page(incident("event-anomaly"))
    assert await page.form() != await other.form()


async def test_a_hostile_reason_stays_text() -> None:
    page = Page(incident("event-anomaly", reason=HOSTILE))
    text = (await ask(page.app, page.path)).text
    assert HOSTILE not in text
    assert len(re.findall("<script", text)) == 1

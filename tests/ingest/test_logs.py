"""Last words of restarted containers: read once, redacted, bounded, and evidence in the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from alerting.testing import Story
from ingest.cluster import Cluster
from ingest.facts import Fact, fact_of
from ingest.logs import LogReader, LogSettings
from ingest.normalise import Normaliser
from ingest.recent import Recent
from stream.operators import OPERATORS
from stream.operators.settings import OperatorSettings
from stream.records import EventRecord, Finding, PodRecord, Tick
from stream.testing import ManualClock
from tests.ingest.fake_apiserver import FakeApiServer
from tests.ingest.watching import START, connect, eventually


class Reading:
    """A reader on the fake, with the clock in hand."""

    clock: ManualClock
    cluster: Cluster
    reader: LogReader
    full = False

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def offer(self, fact: Fact) -> bool:
        if not self.full:
            self.facts.append(fact)
        return not self.full

    def sees(self, restarts: int, name: str = "web", word: Any = "MODIFIED") -> Fact:
        fact = fact_of(self.clock.now(), "prod", "pods", word, pod(restarts, name))
        self.reader.note(fact)
        return fact

    def counts(self, name: str) -> int:
        return self.reader.status.counts[name]


def pod(restarts: int, name: str = "web") -> dict[str, Any]:
    return {
        "metadata": {"uid": name, "name": name, "namespace": "shop", "resourceVersion": "7"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"containerStatuses": [{"name": "c", "restartCount": restarts}]},
    }


@asynccontextmanager
async def reading(server: FakeApiServer, folder: Path, **settings: Any) -> AsyncIterator[Reading]:
    seen = Reading()
    seen.clock = ManualClock(START)
    seen.cluster = await connect(server, folder, seen.clock)
    chosen = LogSettings(tail=True, **settings)
    seen.reader = LogReader(seen.cluster, seen.clock, seen.offer, chosen)
    task = asyncio.create_task(seen.reader.run())
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await seen.cluster.aclose()


async def test_a_restart_is_asked_for_its_last_words_once_and_they_are_redacted(
    tmp_path: Path,
) -> None:
    async with FakeApiServer() as server, reading(server, tmp_path) as seen:
        server.logs["web", "c"] = b"connecting with password=hunter2\npanic: no route\n"
        seen.sees(2, word="LIST")  # history
        seen.sees(3)
        await eventually(lambda: seen.facts)
        (fact,) = seen.facts
        content = json.loads(bytes(fact.object))
        assert fact.resource == "logs"
        assert content["text"] == "connecting with password=<redacted>\npanic: no route\n"
        asked = [each for each in server.seen if each.resource == "pods/log"]
        assert [each.parameters for each in asked] == [
            {"container": "c", "previous": "true", "tailLines": "20", "limitBytes": "16384"}
        ]
        seen.clock.advance(5.0)
        seen.sees(4)  # within the minute: a crash loop repeats itself
        seen.clock.advance(60.0)
        seen.sees(5)
        await eventually(lambda: seen.counts("tails") == 2)


async def test_no_more_are_read_than_the_minute_allows_and_the_rest_is_counted(
    tmp_path: Path,
) -> None:
    async with FakeApiServer() as server, reading(server, tmp_path, per_minute=5) as seen:
        for number in range(8):
            server.logs[f"p{number}", "c"] = b"gone"
            seen.sees(1, f"p{number}")
        await eventually(lambda: seen.counts("tails") + seen.counts("dropped") == 8)
        assert (seen.counts("tails"), seen.counts("dropped")) == (5, 3)


async def test_a_log_that_is_gone_or_forbidden_costs_only_itself(tmp_path: Path) -> None:
    async with FakeApiServer() as server, reading(server, tmp_path) as seen:
        seen.sees(1, "forgotten")
        await eventually(lambda: seen.counts("failures") == 1)
        server.forbidden = {("get", "pods/log")}
        seen.sees(1, "secret")
        await eventually(lambda: seen.counts("failures") == 2)
        assert 'RBAC lacks the verb "get" on "pods/log"' in seen.reader.status.reason
        assert not seen.facts


def test_last_words_are_evidence_of_the_burst_and_change_nothing_else() -> None:
    normaliser, restarts = Normaliser(), OPERATORS["restarts"](OperatorSettings())
    found: list[Finding] = []
    for number in range(8):
        at = START + 60.0 * number
        content = pod(number)
        content["metadata"]["resourceVersion"] = str(number + 1)
        facts = [fact_of(at, "prod", "pods", "MODIFIED", content)]
        words = {"namespace": "shop", "pod": "web", "uid": "web", "container": "c"}
        words["text"] = f"try {number}\npanic: no route\n"
        facts.append(fact_of(at + 1.0, "prod", "logs", "SAMPLE", words))
        records = [record for fact in facts for record in normaliser.feed(fact)]
        assert [isinstance(each, PodRecord) for each in records] == [True, True]
        out = restarts.on_records([*records, Tick("prod", at + 30.0)])
        found += [each for each in out if isinstance(each, Finding)]
    told = [part.text for each in found if each.state == "firing" for part in each.because]
    assert "last words: panic: no route" in told


def event(number: int, reason: str, message: str, **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"uid": f"e{number}", "name": f"e{number}", "namespace": "shop"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web", "uid": "web"},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": "2025-10-09T08:53:20Z",
    } | fields


def story(events: int, *told: dict[str, Any], at: float = START) -> PodRecord:
    """A pod that is known, Events, and then its restart; returns what is said of that."""
    normaliser = Normaliser(events=events)
    normaliser.feed(fact_of(START - 7200.0, "prod", "pods", "LIST", pod(3)))
    for each in told:
        normaliser.feed(fact_of(START, "prod", "events", "ADDED", each))
    content = pod(4)
    content["metadata"]["resourceVersion"] = "8"
    (record,) = normaliser.feed(fact_of(at, "prod", "pods", "MODIFIED", content))
    assert isinstance(record, PodRecord)
    return record


UNHEALTHY = event(1, "Unhealthy", "Liveness probe failed: password=hunter2 refused", count=12)
KILLING = event(2, "Killing", "Container c failed liveness probe", type="Normal")


def test_a_restart_carries_what_was_said_of_its_pod_and_no_secret_of_it() -> None:
    found = story(5, UNHEALTHY, KILLING).events
    assert [(each.reason, each.count) for each in found] == [("Killing", 1), ("Unhealthy", 12)]
    assert found[1].message == "Liveness probe failed: password=<redacted> refused"


def test_ordinary_life_other_pods_and_what_is_an_hour_old_are_left_out() -> None:
    started = event(3, "Started", "Started container c", type="Normal")
    other = event(4, "Unhealthy", "no", involvedObject={"kind": "Pod", "name": "b", "uid": "b"})
    node = event(5, "OOMKilling", "no", involvedObject={"kind": "Node", "name": "web"})
    assert not story(5, started, other, node).events
    assert not story(5, UNHEALTHY, at=START + 3600.0).events


def test_no_more_events_are_kept_than_asked_for_and_none_unless_asked() -> None:
    many = [event(number, "Unhealthy", f"{number}{'x' * 1000}") for number in range(10)]
    found = story(3, *many).events
    assert [each.message[0] for each in found] == ["9", "8", "7"]
    assert {len(each.message) for each in found} == {500}
    assert not story(0, *many).events
    recent = Recent(3, capacity=2)
    (told,) = Normaliser().feed(fact_of(START, "prod", "events", "ADDED", UNHEALTHY))
    assert isinstance(told, EventRecord)
    for name in ("a", "b", "c"):
        recent.note(name, told)
    assert [bool(recent.of(name, START)) for name in ("a", "b", "c")] == [False, True, True]


def test_an_event_that_repeats_is_one_line_at_its_newest_count() -> None:
    again = UNHEALTHY | {"count": 13}
    again["metadata"] = UNHEALTHY["metadata"] | {"resourceVersion": "9"}
    (line,) = story(5, UNHEALTHY, again).events
    assert line.count == 13


def test_recent_events_reach_the_notification_beside_the_last_words() -> None:
    normaliser, restarts = Normaliser(events=5), OPERATORS["restarts"](OperatorSettings())
    found: list[Finding] = []
    for number in range(8):
        at = START + 60.0 * number
        content = pod(number)
        content["metadata"]["resourceVersion"] = str(number + 1)
        again = UNHEALTHY | {"count": 12 + number}
        again["metadata"] = UNHEALTHY["metadata"] | {"resourceVersion": str(number + 1)}
        words = {"namespace": "shop", "pod": "web", "uid": "web", "container": "c", "text": "no!"}
        facts = [
            fact_of(at, "prod", "events", "MODIFIED", again),
            fact_of(at, "prod", "pods", "MODIFIED", content),
            fact_of(at + 1.0, "prod", "logs", "SAMPLE", words),
        ]
        records = [record for fact in facts for record in normaliser.feed(fact)]
        pods = [each for each in records if isinstance(each, PodRecord)]
        out = restarts.on_records([*pods, Tick("prod", at + 30.0)])
        found += [each for each in out if isinstance(each, Finding)]
    (firing,) = [each for each in found if each.state == "firing" and each.rule == "restart-burst"]
    (part,) = [each for each in firing.because if each.name == "events"]
    assert str(part.value).startswith("08:53:20 UTC Unhealthy ×")
    told = Story()
    told.at(0).firing("restart-burst", firing.object, because=firing.because)
    told.at(5).quiet()
    (notice,) = told.between(0, 5).notified()
    assert "- recent events: Unhealthy ×" in notice.text
    assert "password=<redacted> refused" in notice.text
    assert "- last words: no!" in notice.text


def test_last_words_of_a_pod_that_is_gone_give_nothing() -> None:
    words = {"namespace": "shop", "pod": "web", "uid": "web", "container": "c", "text": "x"}
    assert Normaliser().feed(fact_of(START, "prod", "logs", "SAMPLE", words)) == []

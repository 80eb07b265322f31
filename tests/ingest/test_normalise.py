"""The path as a whole: lists, bookmarks, gaps, lateness, ticks, and several clusters at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.facts import KEPT, KINDS, TYPES, Fact, dead_letter, fact_of, read_fact, split
from ingest.intake import Intake
from ingest.known import Known, Metadata
from ingest.normalise import Normaliser
from ingest.publish import ROUTES, Publisher
from ingest.reading import read_whole
from ingest.times import seconds
from stream.codec import decode, outgoing
from stream.errors import Rejected
from stream.records import DeploymentChange, Gap, PodRecord, Tick
from stream.topics import INPUTS, partition_of
from tests.ingest.watching import BY_NAME

AT = 1_760_000_000.0
Golden = Callable[[str], Any]
Make = Callable[..., Fact]


def intake(partitions: int = 2, **options: Any) -> Intake:
    return Intake(Normaliser(), Publisher(partitions, **options))


def pods(names: list[str], golden: Golden) -> list[Any]:
    found = []
    for name in names:
        pod = golden("pod")
        pod["metadata"] |= {"name": name, "uid": f"uid-{name}"}
        found.append(pod)
    return found


def test_a_whole_list_is_its_items(golden: Golden, fact: Make) -> None:
    items = pods(["a", "b", "c"], golden)
    del items[1]["metadata"]["uid"]  # one bad apple
    document = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
    taker = intake()
    taker.offer(fact("pods", document, "LIST"), "tape x line 1", b"the line")
    messages, (letter,) = taker.take()
    assert [decode(m.topic, m.value).pod for m in messages] == ["a", "c"]
    assert (letter.place, letter.value) == ("tape x line 1", b"the line")
    assert "uid" in letter.error


def test_an_empty_list_is_nothing(fact: Make) -> None:
    assert list(split(fact("pods", {"kind": "PodList", "items": []}, "LIST"))) == []


def test_a_list_resets_nothing(golden: Golden, fact: Make) -> None:
    normaliser = Normaliser()
    a, b = pods(["a", "b"], golden)
    assert normaliser.feed(fact("pods", a, "LIST"))
    assert not normaliser.feed(fact("pods", a, "LIST", at=AT + 60))
    assert normaliser.feed(fact("pods", b, "LIST", at=AT + 60))
    stats = normaliser.stats["pods"]
    assert (stats.seen, stats.records, stats.duplicates) == (3, 2, 1)


def test_bookmarks_say_nothing(fact: Make) -> None:
    bookmark = {"kind": "Pod", "metadata": {"resourceVersion": "9", "creationTimestamp": None}}
    taker = intake()
    taker.offer(fact("pods", bookmark, "BOOKMARK"), "x")
    line = msgspec.json.encode(fact("pods", bookmark, "BOOKMARK"))
    taker.offer(read_whole(line), "x")
    assert taker.take() == ([], [])


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"kind": "Status", "code": 410, "reason": "Expired"}, "expired"),
        ({"kind": "Status", "code": 410, "reason": "Gone"}, "expired"),
        ({"kind": "Status", "code": 500, "reason": "InternalError"}, "internalerror"),
        ({"kind": "Status"}, "error"),
        ([], "error"),
    ],
)
def test_an_error_is_a_gap_since_the_last_fact(
    golden: Golden, fact: Make, status: Any, reason: str
) -> None:
    normaliser = Normaliser()
    normaliser.feed(fact("pods", golden("pod")))
    normaliser.feed(fact("events", golden("event"), at=AT + 20))
    (gap,) = normaliser.feed(fact("pods", status, "ERROR", at=AT + 30))
    assert gap == Gap("prod", AT + 30, "pods", AT, reason)
    message = Publisher(4).message(gap)
    assert decode(message.topic, message.value) == gap


@pytest.mark.parametrize(
    ("details", "since"),
    [
        ({"since": AT - 90}, AT - 90),
        ({"since": AT + 90}, AT),
        ({"since": "long"}, AT - 5),
        ({"since": -1}, AT - 5),
        (["?"], AT - 5),
        (None, AT - 5),
    ],
)
def test_a_gap_that_knows_its_beginning_keeps_it(
    golden: Golden, fact: Make, details: Any, since: float
) -> None:
    normaliser = Normaliser()
    normaliser.feed(fact("pods", golden("pod"), at=AT - 5))
    status = {"kind": "Status", "reason": "stalled", "details": details}
    (gap,) = normaliser.feed(fact("pods", status, "ERROR"))
    assert gap == Gap("prod", AT, "pods", since, "stalled")


def test_a_fact_that_runs_back_is_late_and_used(golden: Golden, fact: Make) -> None:
    normaliser = Normaliser()
    early, late = pods(["early", "late"], golden)
    normaliser.feed(fact("pods", early, at=AT + 60))
    (record,) = normaliser.feed(fact("pods", late, at=AT))
    assert record.at == AT
    assert normaliser.stats["pods"].late == 1


def test_clusters_know_nothing_of_each_other(golden: Golden, fact: Make) -> None:
    normaliser = Normaliser()
    here = normaliser.feed(fact("pods", golden("pod")))
    there = normaliser.feed(fact("pods", golden("pod"), cluster="stage"))
    assert [r.cluster for r in here + there] == ["prod", "stage"]


GONE = {
    "pods": "pod",
    "nodes": "node",
    "deployments": "deployment",
    "statefulsets": "statefulset",
    "daemonsets": "daemonset",
    "replicasets": "replicaset",
    "events": "event",
}


def tombstone(resource: str, content: Any) -> Any:
    """As a reflector makes it where a list no longer has the object."""
    known = Known()
    metadata = msgspec.json.decode(msgspec.json.encode(content["metadata"]), type=Metadata)
    known.note(metadata)
    return msgspec.json.decode(known.tombstone(metadata.uid, BY_NAME[resource]))


@pytest.mark.parametrize(("resource", "name"), GONE.items(), ids=GONE)
def test_what_a_comparison_finds_gone_is_told_as_it_was(
    golden: Golden, fact: Make, resource: str, name: str
) -> None:
    bare = tombstone(resource, golden(name))
    assert "spec" not in bare
    normaliser = Normaliser()
    before = normaliser.feed(fact(resource, golden(name), "LIST"))
    after = normaliser.feed(fact(resource, bare, "DELETED", at=AT + 60))
    assert normaliser.feed(fact(resource, bare, "DELETED", at=AT + 60)) == []
    if resource in ("replicasets", "events"):
        assert not after
        return
    (was,), (gone,) = before, after
    assert gone.at == AT + 60
    if isinstance(was, DeploymentChange):
        assert isinstance(gone, DeploymentChange)
        assert (gone.type, gone.operations) == ("deleted", ())
        assert (gone.workload, gone.images, gone.uid) == (was.workload, was.images, was.uid)
    else:
        assert gone.deleted  # type: ignore[union-attr]
        assert gone.uid == was.uid  # type: ignore[union-attr]
    if isinstance(was, PodRecord):
        assert isinstance(gone, PodRecord)
        assert (gone.workload, gone.containers) == (was.workload, was.containers)


@pytest.mark.parametrize(("resource", "name"), GONE.items(), ids=GONE)
def test_what_was_never_known_can_be_found_gone(
    golden: Golden, fact: Make, resource: str, name: str
) -> None:
    normaliser = Normaliser()
    bare = tombstone(resource, golden(name))
    records = normaliser.feed(fact(resource, bare, "DELETED"))
    assert bool(records) == (resource not in ("replicasets", "events"))
    assert not normaliser.stats[resource].rejected


def test_both_ways_of_reading_give_the_same_records(golden: Golden, fact: Make) -> None:
    names = {
        "pods": "pod",
        "events": "event",
        "nodes": "node",
        "deployments": "deployment",
        "statefulsets": "statefulset",
        "daemonsets": "daemonset",
        "replicasets": "replicaset",
        "horizontalpodautoscalers": "horizontalpodautoscaler",
        "persistentvolumeclaims": "persistentvolumeclaim",
        "configmaps": "configmap",
        "summary": "summary",
        "metrics": "node_metrics",
        "logs": "log",
        "audit": "audit",
    }
    assert set(names) == set(KINDS)
    raw, typed = Normaliser(), Normaliser()
    for resource, name in names.items():
        line = msgspec.json.encode(fact(resource, golden(name), "ADDED", node="node-1"))
        whole = read_whole(line)
        assert not isinstance(whole, Fact)
        assert whole.resource == resource
        assert raw.feed(read_fact(line)) == typed.feed(whole)
    assert raw.stats == typed.stats


def test_every_record_finds_its_way(golden: Golden, fact: Make) -> None:
    """Pods, their Events and their changes meet in one partition; a node with its samples."""
    normaliser, publisher = Normaliser(), Publisher(8)
    told = [
        *normaliser.feed(fact("pods", golden("pod"))),
        *normaliser.feed(fact("events", golden("event"))),
        *normaliser.feed(fact("deployments", golden("deployment"), "LIST")),
        *normaliser.feed(fact("nodes", golden("node"))),
        *normaliser.feed(fact("summary", golden("summary"), "SAMPLE")),
    ]
    messages = publisher.messages(told)
    assert [m.topic for m in messages] == [
        "pods",
        "events",
        "deployments",
        "node-metrics",
        "node-metrics",
    ]
    assert {m.key for m in messages[:3]} == {b"prod/shop/Deployment/checkout"}
    assert {m.key for m in messages[3:]} == {b"prod//Node/node-1"}
    for message, record in zip(messages, told, strict=True):
        assert message.partition == partition_of(message.key, 8)
        assert message.at == record.at
        assert decode(message.topic, message.value) == record
        assert message.headers is ROUTES[type(record)][2]
    with pytest.raises(KeyError):
        publisher.message(Tick("prod", AT))


def test_ticks_stand_on_a_grid_before_the_facts_that_they_precede(fact: Make) -> None:
    taker = intake(3, tick_seconds=10.0)
    heard: list[tuple[float, list[float]]] = []
    for at in (AT + 1, AT + 9, AT + 10, AT + 10, AT + 8, AT + 47.5, AT + 50):
        taker.offer(fact("pods", {}, "BOOKMARK", at=at), "x")
        ticks = taker.take().messages
        assert len(ticks) in (0, 3 * len(INPUTS))
        assert len({(t.topic, t.partition) for t in ticks}) == len(ticks)
        heard.append((at - AT, sorted({t.at - AT for t in ticks})))
    assert heard == [(1, []), (9, []), (10, [10]), (10, []), (8, []), (47.5, [40]), (50, [50])]


def test_ticks_of_clusters_are_apart_and_all_end_at_their_time(fact: Make) -> None:
    taker = intake(1)
    taker.offer(fact("pods", {}, "BOOKMARK", at=AT), "x")
    taker.offer(fact("pods", {}, "BOOKMARK", at=AT + 100, cluster="stage"), "x")
    assert taker.take().messages == []
    taker.finish()
    last = {(decode(t.topic, t.value).cluster, t.at) for t in taker.take().messages}
    assert last == {("prod", AT + 5), ("stage", AT + 105)}  # a grid step behind the last fact
    assert taker.event_time == AT + 100


def test_a_leap_of_time_is_counted_and_followed(fact: Make) -> None:
    taker = intake()
    for at in (AT, AT + 300, AT + 601):
        taker.offer(fact("pods", {}, "BOOKMARK", at=at), "x")
    assert taker.publisher.jumps == 1
    assert taker.publisher.clock("prod") == AT + 601
    assert taker.publisher.clock("stage") is None


@pytest.mark.parametrize("wrong", [{"partitions": 0}, {"partitions": 1, "tick_seconds": 0.0}])
def test_impossible_settings_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        Publisher(**wrong)


def test_a_dead_letter_fits_the_bus_and_says_what_is_cut() -> None:
    letter = dead_letter(AT, "tape x line 1", "broken", b"\xff" * (KEPT + 5), cut=2)
    assert letter.error == "broken (the last 7 bytes of the original are cut)"
    assert len(outgoing(letter, 1).value) <= 2**20
    assert dead_letter(AT, "x", "broken", b"abc").value == b"abc"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, None),
        ("", None),
        ("0001-01-01T00:00:00Z", None),
        ("2025-10-09T08:53:20Z", AT),
        ("2025-10-09T08:53:20.5Z", AT + 0.5),
        ("2025-10-09T08:53:20.123456Z", AT + 0.123456),
        ("2025-10-09T08:53:20.123456789Z", AT + 0.123456),
        ("2025-10-09T04:53:20-04:00", AT),
        ("2025-10-09T08:53:20", AT),
    ],
)
def test_times_in_every_form(text: str | None, value: float | None) -> None:
    assert seconds(text) == value


@given(
    resource=st.sampled_from(KINDS),
    word=st.sampled_from(TYPES),
    content=st.recursive(
        st.none() | st.integers() | st.text(max_size=4) | st.just("2025-10-09T08:53:20Z"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["metadata", "name", "uid", "spec", "status", "node", "pods", "items", "kind"]
                ),
                inner,
                max_size=5,
            )
        ),
    ),
)
@settings(max_examples=300)
def test_no_object_whatever_breaks_the_path(resource: Any, word: Any, content: Any) -> None:
    """It gives records, or it is a dead letter; and a pod afterwards is read all the same."""
    taker = intake()
    raw = fact_of(AT, "prod", resource, word, content)
    taker.offer(raw, "x")
    taker.offer(read_whole(msgspec.json.encode(raw)), "x")
    fine = {"metadata": {"name": "p", "uid": "u"}, "spec": {}}
    taker.offer(fact_of(AT, "prod", "pods", "ADDED", fine), "x")
    messages, letters = taker.take()
    assert isinstance(decode(messages[-1].topic, messages[-1].value), PodRecord)
    assert all(letter.error and letter.place == "x" and letter.value for letter in letters)


def test_an_error_that_looks_like_an_object_is_a_gap_all_the_same(
    golden: Golden, fact: Make
) -> None:
    line = msgspec.json.encode(fact("nodes", golden("node"), "ERROR"))
    for read in (read_fact(line), read_whole(line)):
        (gap,) = Normaliser().feed(read)
        assert isinstance(gap, Gap)


def test_a_rejected_fact_is_counted_with_its_resource(fact: Make) -> None:
    normaliser = Normaliser()
    with pytest.raises(Rejected, match="not an object of nodes"):
        normaliser.feed(fact("nodes", {"metadata": {}}))
    assert normaliser.stats["nodes"].rejected == 1

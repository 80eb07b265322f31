"""Events: which of five times, which of three counts, whose they are and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingest.facts import Fact
from ingest.normalise import Normaliser
from ingest.reasons import CATEGORIES, category_of
from stream.errors import Rejected
from stream.records import EventRecord, ObjectRef

AT = 1_760_000_000.0
ZERO = "0001-01-01T00:00:00Z"
Golden = Callable[[str], Any]
Make = Callable[..., Fact]


def one(fact: Fact, normaliser: Normaliser | None = None) -> EventRecord:
    (record,) = (normaliser or Normaliser()).feed(fact)
    assert isinstance(record, EventRecord)
    return record


def test_a_kubelets_event_is_understood(golden: Golden, fact: Make) -> None:
    normaliser = Normaliser()
    normaliser.feed(fact("pods", golden("pod")))
    record = one(fact("events", golden("event")), normaliser)
    assert record.object == ObjectRef("Pod", "shop", "checkout-7d4b9c6f5-x2x7q")
    assert record.workload == ObjectRef("Deployment", "shop", "checkout")
    assert (record.type, record.reason, record.category) == ("Warning", "BackOff", "CrashLoop")
    assert (record.count, record.at, record.first_at) == (7, AT - 35, AT - 499)
    assert (record.node, record.component, record.container) == ("node-1", "kubelet", "app")
    assert record.template == "Back-off restarting failed container <*> in pod <*>"


@pytest.mark.parametrize(
    ("times", "at", "first_at"),
    [
        ({"series": {"count": 4, "lastObservedTime": "2025-10-09T08:53:10.000000Z"}}, -10, -499),
        ({"series": {"count": 4, "lastObservedTime": None}}, -35, -499),
        ({"lastTimestamp": None, "eventTime": "2025-10-09T08:53:00.5Z"}, -19.5, -499),
        ({"lastTimestamp": ZERO, "eventTime": None}, -499, -499),
        ({"lastTimestamp": None, "firstTimestamp": None}, -499, -499),  # creationTimestamp
        ({"lastTimestamp": None, "firstTimestamp": None, "eventTime": "2025-10-09T08:53:00Z"},
         -20, -20),
        ({"lastTimestamp": None, "firstTimestamp": None, "metadata.creationTimestamp": None}, 0, 0),
        ({"lastTimestamp": "2025-10-09T10:53:20Z"}, 0, -499),  # two hours ahead: not believed
        ({"lastTimestamp": "2025-10-09T08:53:50Z"}, 30, -499),  # half a minute ahead: believed
        ({"lastTimestamp": "2025-10-09T10:52:45+02:00"}, -35, -499),
    ],
)  # fmt: skip
def test_the_time_rule(
    golden: Golden, fact: Make, times: dict[str, Any], at: float, first_at: float
) -> None:
    event = golden("event")
    for name, value in times.items():
        if name == "metadata.creationTimestamp":
            event["metadata"]["creationTimestamp"] = value
        else:
            event[name] = value
    record = one(fact("events", event))
    assert (record.at, record.first_at) == (AT + at, AT + first_at)


@pytest.mark.parametrize(
    ("counts", "count"),
    [
        ({"count": 7, "series": {"count": 12}}, 12),
        ({"count": 7, "series": {}}, 7),
        ({"count": 7, "series": None}, 7),
        ({"count": 0}, 1),
        ({"count": None}, 1),
        ({"count": -3}, 1),
    ],
)
def test_the_count_rule(golden: Golden, fact: Make, counts: dict[str, Any], count: int) -> None:
    assert one(fact("events", golden("event") | counts)).count == count


def test_the_new_api_says_the_same_in_other_words(golden: Golden, fact: Make) -> None:
    old = golden("event")
    new = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": old["metadata"],
        "regarding": old["involvedObject"],
        "note": old["message"],
        "reason": old["reason"],
        "type": old["type"],
        "eventTime": None,
        "reportingController": "kubelet",
        "reportingInstance": "node-1",
        "deprecatedCount": 7,
        "deprecatedFirstTimestamp": old["firstTimestamp"],
        "deprecatedLastTimestamp": old["lastTimestamp"],
        "deprecatedSource": old["source"],
    }
    assert one(fact("events", new)) == one(fact("events", old))
    del new["deprecatedSource"]
    assert one(fact("events", new)).node == "node-1"


def test_a_recurrence_is_a_record_and_a_repetition_is_not(golden: Golden, fact: Make) -> None:
    normaliser = Normaliser()
    first = golden("event")
    again = golden("event")
    again["metadata"]["resourceVersion"] = "184600"
    again["count"] = 8
    assert [len(normaliser.feed(fact("events", e))) for e in (first, first, again, again)] == [
        1,
        0,
        1,
        0,
    ]
    assert normaliser.stats["events"].duplicates == 2


def test_an_expired_event_went_when_we_heard_of_it(golden: Golden, fact: Make) -> None:
    record = one(fact("events", golden("event"), "DELETED", at=AT + 3600))
    assert (record.deleted, record.at) == (True, AT + 3600)


def test_a_nodes_event_belongs_to_the_node(golden: Golden, fact: Make) -> None:
    event = golden("event")
    event["involvedObject"] = {"kind": "Node", "name": "node-1", "uid": "node-1"}
    event |= {"reason": "NodeHasDiskPressure", "source": {"component": "kubelet"}}
    record = one(fact("events", event))
    assert (record.workload, record.node) == (ObjectRef("Node", "", "node-1"), "node-1")
    assert record.category == "NodeDiskPressure"


def test_an_event_about_nothing_is_rejected(golden: Golden, fact: Make) -> None:
    event = golden("event")
    del event["involvedObject"]
    with pytest.raises(Rejected, match="names no involvedObject"):
        Normaliser().feed(fact("events", event))


@pytest.mark.parametrize(
    ("reason", "message", "category"),
    [
        ("BackOff", 'Back-off pulling image "x"', "ImagePull"),
        ("BackOff", "Back-off restarting failed container", "CrashLoop"),
        ("Failed", 'Failed to pull image "x": not found', "ImagePull"),
        ("Failed", "Error: ImagePullBackOff", "ImagePull"),
        ("Failed", 'Error: secret "db" not found', "ContainerConfig"),
        ("Failed", "Error: failed to create containerd task: exec: no such file", "ContainerStart"),
        ("NodeNotReady", "PLEG is not healthy", "NodePLEG"),
        ("NodeNotReady", "Node node-1 status is now: NodeNotReady", "NodeNotReady"),
        ("OOMKilling", "Killed process 7", "PodOOM"),
        ("SystemOOM", "victim process: java", "NodeOOM"),
        ("Pulled", "", ""),
        ("NeverHeardOf", "", ""),
    ],
)
def test_reasons_fall_into_one_taxonomy(reason: str, message: str, category: str) -> None:
    assert category_of(reason, message) == category


def test_the_taxonomy_is_large_enough_and_small_enough() -> None:
    assert len(CATEGORIES) >= 60
    assert len(set(CATEGORIES.values())) <= 45

"""Pods: what a container's story looks like to those who judge restarts, and when it happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingest.facts import Fact
from ingest.normalise import Normaliser
from stream.errors import Rejected
from stream.records import ObjectRef, PodRecord

AT = 1_760_000_000.0
Golden = Callable[[str], Any]
Make = Callable[..., Fact]


def one(fact: Fact, normaliser: Normaliser | None = None) -> PodRecord:
    (record,) = (normaliser or Normaliser()).feed(fact)
    assert isinstance(record, PodRecord)
    return record


def test_a_killed_container_tells_its_whole_story(golden: Golden, fact: Make) -> None:
    record = one(fact("pods", golden("pod")))
    migrate, app, proxy = record.containers
    assert (migrate.init, migrate.state, migrate.exit_code) == (True, "terminated", 0)
    assert (app.state, app.reason, app.restarts, app.ready) == (
        "waiting",
        "CrashLoopBackOff",
        3,
        False,
    )
    assert (app.last_reason, app.last_exit_code, app.last_signal) == ("OOMKilled", 137, 9)
    assert (app.last_started_at, app.last_finished_at) == (AT - 130, AT - 51)
    assert (app.memory_limit, app.cpu_limit) == (256 * 2.0**20, 0.5)
    assert (app.memory_request, app.cpu_request) == (128 * 2.0**20, 0.25)
    assert app.message == "heap exhausted"
    assert (proxy.state, proxy.started_at, proxy.cpu_limit) == ("running", AT - 794, None)
    assert record.phase == "Running"
    assert record.generation == "7d4b9c6f5"
    assert record.workload == ObjectRef("Deployment", "shop", "checkout")
    assert [c.type for c in record.conditions if c.status == "False"] == [
        "Ready",
        "ContainersReady",
    ]


def test_a_restart_faster_than_the_watch_shows_in_the_count(golden: Golden, fact: Make) -> None:
    """The container is running again before anyone saw it stopped; only lastState knows."""
    pod = golden("pod")
    status = pod["status"]["containerStatuses"][0]
    status["state"] = {"running": {"startedAt": "2025-10-09T08:53:18Z"}}
    status["lastState"]["terminated"] |= {
        "startedAt": "2025-10-09T08:53:17Z",
        "finishedAt": "2025-10-09T08:53:17Z",
    }
    status["restartCount"] = 9
    app = one(fact("pods", pod)).containers[1]
    assert (app.state, app.reason, app.restarts, app.last_exit_code) == ("running", "", 9, 137)
    assert app.last_finished_at == AT - 3


def test_a_pending_pod_has_containers_without_state(golden: Golden, fact: Make) -> None:
    pod = golden("pod")
    pod["status"] = {"phase": "Pending"}
    del pod["spec"]["nodeName"]
    record = one(fact("pods", pod))
    assert (record.node, record.conditions) == ("", ())
    assert {(c.state, c.restarts, c.ready) for c in record.containers} == {("", 0, False)}
    del pod["status"]
    assert one(fact("pods", pod)).phase == ""


def test_the_limit_in_force_wins_over_the_one_that_is_wanted(golden: Golden, fact: Make) -> None:
    pod = golden("pod")
    pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = "512Mi"  # resize is pending
    assert one(fact("pods", pod)).containers[1].memory_limit == 256 * 2.0**20


def test_an_evicted_pod_says_so(golden: Golden, fact: Make) -> None:
    pod = golden("pod")
    pod["status"] |= {"phase": "Failed", "reason": "Evicted", "containerStatuses": None}
    record = one(fact("pods", pod))
    assert (record.phase, record.reason) == ("Failed", "Evicted")


def test_a_pod_on_its_way_out_carries_the_end_of_its_grace(golden: Golden, fact: Make) -> None:
    """deletionTimestamp lies ahead by the grace period; it must not move event time."""
    pod = golden("pod")
    pod["metadata"]["deletionTimestamp"] = "2025-10-09T08:53:50Z"
    record = one(fact("pods", pod))
    assert (record.deletion_at, record.at, record.deleted) == (AT + 30, AT, False)


def test_a_deleted_pod_is_said_once(golden: Golden, fact: Make) -> None:
    normaliser = Normaliser()
    assert not one(fact("pods", golden("pod")), normaliser).deleted
    gone = fact("pods", golden("pod"), "DELETED")  # at the version of its last change
    assert one(gone, normaliser).deleted
    assert normaliser.feed(gone) == []
    assert normaliser.stats["pods"].duplicates == 1


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2025-10-09T08:53:19Z", AT),  # before we heard of it: when we heard of it
        ("2025-10-09T08:53:50Z", AT + 30),  # its clock is a little ahead: not before what it says
        ("2025-10-09T09:53:20Z", AT),  # an hour ahead: that clock is wrong
    ],
)
def test_event_time_follows_the_hearer(
    golden: Golden, fact: Make, said: str, expected: float
) -> None:
    pod = golden("pod")
    pod["status"]["conditions"][2]["lastTransitionTime"] = said
    assert one(fact("pods", pod)).at == expected


def test_long_messages_are_cut(golden: Golden, fact: Make) -> None:
    pod = golden("pod")
    pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"] = "x" * 5000
    assert len(one(fact("pods", pod)).containers[1].message) == 1024


def spoil(pod: Any, path: str, value: Any) -> Any:
    *parents, last = path.split(".")
    place = pod
    for name in parents:
        place = place[int(name)] if name.isdecimal() else place[name]
    place[last] = value
    return pod


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("metadata.name", "", "no metadata.name"),
        ("metadata.uid", "", "no metadata.uid"),
        ("metadata.name", None, r"\$.metadata.name"),
        ("metadata", [], "Expected `object`"),
        ("spec.containers", {}, "Expected `array"),
        ("status.containerStatuses.0.restartCount", "three", "restartCount"),
        ("status.containerStatuses.0.resources.limits.memory", "256K", "did you mean k"),
        ("status.conditions.0.lastTransitionTime", "yesterday", "is not a time"),
    ],
)
def test_a_pod_that_cannot_be_read_leaves_no_trace(
    golden: Golden, fact: Make, path: str, value: Any, error: str
) -> None:
    normaliser = Normaliser()
    bad = fact("pods", spoil(golden("pod"), path, value))
    for _ in range(2):  # it is no duplicate of itself: it was never taken
        with pytest.raises(Rejected, match=error):
            normaliser.feed(bad)
    assert normaliser.feed(fact("pods", golden("pod")))
    assert normaliser.stats["pods"].rejected == 2
    assert normaliser.stats["pods"].records == 1

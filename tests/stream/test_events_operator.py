"""Events as stories: what is new, lasting and grave is said; everything else is accounted for.

Left out: precision and recall over weeks (`benchmarks/score_events.py`), batch borders and restores
(`tests/conformance/test_operators.py`).
"""

from __future__ import annotations

from ingest.reasons import category_of
from models.templates import template_of
from stream.operators.events import Events, EventSettings
from stream.records import EventRecord, Finding, ObjectRef, Severity, Tick

START = 1_760_000_000.0
DAY = 86_400.0


class Cluster:
    def __init__(self, **settings: object) -> None:
        self.operator = Events(EventSettings(**settings))  # type: ignore[arg-type]
        self.now = START
        self.version = 0
        self.said: list[Finding] = []

    def offer(self, record: object) -> None:
        for output in self.operator.on_records([record]):  # type: ignore[list-item]
            assert isinstance(output, Finding)
            self.said.append(output)

    def wait(self, seconds: float, every: float = 30.0) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + every, end)
            self.offer(Tick("c", self.now))

    def event(
        self,
        reason: str,
        message: str,
        *,
        workload: str = "checkout",
        namespace: str = "shop",
        type: str = "Warning",  # noqa: A002
        uid: str = "",
        count: int = 1,
        node: str = "n1",
        pod: str = "",
    ) -> None:
        self.version += 1
        ref = ObjectRef("Deployment", namespace, workload)
        self.offer(
            EventRecord(
                "c", self.now, namespace, uid or f"u{self.version}", str(self.version),
                ObjectRef("Pod", namespace, pod or f"{workload}-1"), ref, type, reason,
                category_of(reason, message), message, template_of(message), count, self.now, node,
            )
        )  # fmt: skip

    def lasting(self, reason: str, message: str, minutes: int, **facts: str) -> None:
        uid = f"lasting-{self.version}"
        for count in range(1, 2 * minutes + 1):
            self.event(reason, message, uid=uid, count=count, **facts)  # type: ignore[arg-type]
            self.wait(30.0)

    def rule(self, rule: str, state: str = "firing") -> list[Finding]:
        return [f for f in self.said if f.rule == rule and f.state == state]

    def account(self, name: str) -> float:
        parts = [p for f in self.rule("event-noise", "evidence") for p in f.because]
        return sum(float(p.value) for p in parts if p.name == name)


SANDBOX = "Failed to create pod sandbox: plugin failed (add): no addresses available"
PROBE = "Readiness probe failed: HTTP probe failed with statuscode: 503"


def after_a_quiet_week() -> Cluster:
    cluster = Cluster()
    for _ in range(14):
        cluster.event("Scheduled", "assigned", type="Normal")
        cluster.wait(DAY / 2, every=1800.0)
    return cluster


def test_a_grave_message_that_was_never_seen_and_lasts_is_said_once() -> None:
    cluster = after_a_quiet_week()
    began = cluster.now
    cluster.lasting("FailedCreatePodSandBox", SANDBOX, 20)
    (found,) = cluster.rule("event-anomaly")
    assert found.at - began <= 400.0
    assert str(found.object) == "Deployment shop/checkout"
    assert found.labels["reason"] == "FailedCreatePodSandBox"
    assert found.labels["family"] == "network"
    assert {part.name for part in found.because} >= {"own", "gravity", "minutes", "message"}


def test_what_was_said_of_one_workload_is_said_again_when_it_is_tenfold() -> None:
    cluster = after_a_quiet_week()
    cluster.lasting("FailedCreatePodSandBox", SANDBOX, 10)
    assert len(cluster.rule("event-anomaly")) == 1
    for round_ in range(1, 30):
        for i in range(14):
            name = f"app-{i}"
            cluster.event("FailedCreatePodSandBox", SANDBOX, workload=name, uid=name, count=round_)
        cluster.wait(60.0)
    first, again = cluster.rule("event-anomaly")
    assert again.object == first.object
    assert again.since == first.since
    assert again.severity is Severity.CRITICAL
    assert "14 others" in again.summary
    cluster.wait(3 * 3600.0)
    assert len(cluster.rule("event-anomaly", "resolved")) == 1


def test_it_is_over_after_two_silent_hours() -> None:
    cluster = after_a_quiet_week()
    cluster.lasting("FailedCreatePodSandBox", SANDBOX, 10)
    cluster.wait(1.9 * 3600.0)
    assert not cluster.rule("event-anomaly", "resolved")
    cluster.wait(600.0)
    assert len(cluster.rule("event-anomaly", "resolved")) == 1


def test_chronic_noise_is_silent_after_its_first_days() -> None:
    cluster = Cluster()
    for _ in range(8):
        cluster.lasting("Unhealthy", PROBE, 30)
        cluster.wait(0.9 * DAY, every=600.0)
    assert not cluster.rule("event-anomaly")
    assert cluster.account("usual") > 0


def test_a_single_line_is_not_enough_however_new() -> None:
    cluster = after_a_quiet_week()
    cluster.event("FailedKillPod", "error killing pod: context deadline exceeded")
    cluster.wait(3600.0)
    assert not cluster.rule("event-anomaly")


def test_what_progresses_is_taken_back_before_it_is_said() -> None:
    cluster = after_a_quiet_week()
    cluster.event("FailedScheduling", "0/3 nodes are available: 3 Insufficient cpu.", pod="p")
    cluster.wait(45.0)
    cluster.event("Scheduled", "assigned", type="Normal", pod="p")
    (_, group), *_ = list(cluster.operator._groups)
    assert group.evidence(0.0).uncleared == 0.0
    cluster.wait(3600.0)
    assert not cluster.rule("event-anomaly")


def test_one_trouble_of_many_workloads_is_said_once() -> None:
    cluster = after_a_quiet_week()
    for count in range(1, 30):
        for i in range(6):
            cluster.event(
                "FailedCreatePodSandBox", SANDBOX, workload=f"w{i}", uid=f"u-{i}", count=count
            )
        cluster.wait(30.0)
    (found,) = cluster.rule("event-anomaly")
    assert found.labels["subjects"] == "6"


def test_a_count_that_jumps_stands_for_what_was_hidden() -> None:
    cluster = Cluster()
    cluster.event("Unhealthy", PROBE, uid="u", count=1)
    cluster.wait(60.0)
    cluster.event("Unhealthy", PROBE, uid="u", count=41)
    cluster.wait(3600.0)
    assert cluster.account("events") == 41
    assert cluster.account("lines") == 2


def test_every_line_is_accounted_for() -> None:
    cluster = after_a_quiet_week()
    cluster.event("Unhealthy", PROBE, uid="u", count=3)
    cluster.version -= 1
    cluster.event("Unhealthy", PROBE, uid="u", count=3)  # sent twice
    cluster.event("Pulled", "image pulled", type="Normal")
    cluster.wait(3 * 3600.0)
    assert cluster.account("lines") == 14 + 3
    assert cluster.account("normal") == 14 + 1
    assert cluster.account("duplicate") == 1
    judged = cluster.account("usual") + cluster.account("candidates")
    assert judged == 1
    ends = cluster.account("below") + cluster.account("sent") + cluster.account("folded")
    assert cluster.account("groups") == ends


def test_nothing_is_unusual_on_the_first_half_day() -> None:
    cluster = Cluster()
    cluster.wait(3600.0)
    cluster.lasting("FailedCreatePodSandBox", SANDBOX, 30)
    assert not cluster.rule("event-anomaly")


def test_the_rule_can_be_turned_off_and_still_accounts() -> None:
    cluster = Cluster(threshold=None, warm_up=0.0)
    cluster.lasting("FailedCreatePodSandBox", SANDBOX, 40)
    assert not cluster.rule("event-anomaly")
    assert cluster.account("lines") > 0


def test_memory_is_given_back() -> None:
    cluster = Cluster(idle=DAY)
    cluster.lasting("Unhealthy", PROBE, 5)
    cluster.wait(3 * DAY, every=900.0)
    assert len(cluster.operator._seen) == 0
    assert len(cluster.operator._groups) == 0
    assert len(cluster.operator._keys) == 0

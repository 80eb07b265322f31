"""Restarts as stories: what is a burst, what is ordinary life, what the fixed rules say.

Left out: precision and recall over weeks (`benchmarks/quality`), batch borders and restores
(`tests/conformance/test_operators.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stream.operators.restarts import Restarts, RestartSettings
from stream.records import (
    Condition,
    Container,
    Finding,
    ObjectRef,
    PodRecord,
    Point,
    Severity,
    Tick,
)

START = 1_760_000_000.0
DAY = 86_400.0
CHECKOUT = ObjectRef("Deployment", "shop", "checkout")


class Cluster:
    """A story's cluster: says records in order of time and collects what is concluded."""

    def __init__(self, **settings: object) -> None:
        self.operator = Restarts(RestartSettings(**settings))  # type: ignore[arg-type]
        self.now = START
        self.said: list[Finding] = []
        self.points: list[Point] = []
        self.version = 1
        self.counts: dict[str, int] = {}
        self.born: dict[str, float] = {}

    def offer(self, records: Sequence[object]) -> None:
        for output in self.operator.on_records(records):  # type: ignore[arg-type]
            if isinstance(output, Finding):
                self.said.append(output)
            elif isinstance(output, Point):
                self.points.append(output)

    def wait(self, seconds: float, every: float = 15.0) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + every, end)
            self.offer([Tick("c", self.now)])

    def pod(
        self,
        name: str = "checkout-1",
        *,
        restarts: int | None = None,
        workload: ObjectRef = CHECKOUT,
        born: float | None = None,
        generation: str = "old",
        ready: bool = True,
        state: str = "running",
        reason: str = "",
        last: tuple[str, int] = ("Error", 1),
        node: str = "n1",
        phase: str = "Running",
        conditions: tuple[Condition, ...] = (),
        container: str = "app",
        deleted: bool = False,
        status: str = "",
        ended: float | None = None,
    ) -> None:
        self.counts[name] = self.counts.get(name, 0) if restarts is None else restarts
        self.born.setdefault(name, START - 10 * DAY if born is None else born)
        self.version += 1
        count = self.counts[name]
        ended = (self.now if ended is None else ended) if count else None
        facts = Container(
            container, "shop/app:1", count, ready, state, reason,
            last_reason=last[0] if count else "",
            last_exit_code=last[1] if count else None,
            last_finished_at=ended,
            finished_at=self.now if state == "terminated" else None,
        )  # fmt: skip
        self.offer(
            [
                PodRecord(
                    "c", self.now, workload.namespace, name, f"uid-{name}", str(self.version),
                    workload, node, phase, self.born[name], (facts,), generation=generation,
                    conditions=conditions, deleted=deleted, reason=status,
                )
            ]
        )  # fmt: skip

    def restart(self, name: str = "checkout-1", **facts: object) -> None:
        self.pod(name, restarts=self.counts.get(name, 0) + 1, **facts)  # type: ignore[arg-type]

    def rule(self, rule: str, state: str = "firing") -> list[Finding]:
        return [f for f in self.said if f.rule == rule and f.state == state]


def crash_loop(cluster: Cluster, times: int, name: str = "checkout-1", **facts: object) -> None:
    for back_off in (0.0, 10.0, 20.0, 40.0, 80.0, 160.0, *[300.0] * 20)[:times]:
        cluster.wait(back_off + 5.0)
        cluster.restart(name, ready=False, **facts)


def test_a_crash_loop_is_a_burst_within_two_minutes() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    began = cluster.now
    crash_loop(cluster, 5)
    (burst,) = cluster.rule("restart-burst")
    assert burst.at - began <= 120.0
    assert burst.object == CHECKOUT
    assert burst.severity is Severity.CRITICAL  # its only pod
    assert burst.labels["container"] == "app"
    assert burst.labels["exit_code"] == "1"
    assert {part.name for part in burst.because} >= {"count", "score", "pods", "last_exit"}


def test_a_list_that_shows_fifty_restarts_is_not_news() -> None:
    cluster = Cluster()
    cluster.pod(restarts=50)
    cluster.wait(3600.0)
    assert not cluster.rule("restart-burst")
    assert not cluster.rule("restart", "evidence")


def test_a_count_that_jumps_by_four_is_four_restarts() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    cluster.pod(restarts=4, ready=False)
    cluster.wait(60.0)
    (burst,) = cluster.rule("restart-burst")
    assert burst.because[0].value == 4
    (evidence,) = cluster.rule("restart", "evidence")
    assert evidence.because[0].value == 4


def test_clean_exits_are_told_but_not_counted() -> None:
    cluster = Cluster()
    cluster.pod()
    for _ in range(10):
        cluster.wait(60.0)
        cluster.restart(last=("Completed", 0))
    cluster.wait(120.0)
    assert not cluster.rule("restart-burst")
    assert not cluster.rule("restart-count")
    assert sum(f.because[0].value for f in cluster.rule("restart", "evidence")) == 10  # type: ignore[misc]


def test_clean_exits_count_where_somebody_wants_them_to() -> None:
    cluster = Cluster(ignore_exit_code_zero=False)
    cluster.pod()
    for _ in range(10):
        cluster.wait(60.0)
        cluster.restart(last=("Completed", 0))
    assert cluster.rule("restart-burst")


def test_start_up_restarts_of_a_release_are_not_a_burst() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    for name in ("new-1", "new-2", "new-3"):
        cluster.pod(name, born=cluster.now, generation="new", ready=False)
        for _ in range(3):
            cluster.wait(25.0)
            cluster.restart(name, generation="new", ready=False)
        cluster.pod(name, generation="new")
    cluster.wait(3600.0)
    assert not cluster.rule("restart-burst")
    assert not cluster.rule("restart-count")


def failing_release(cluster: Cluster, generation: str, restarts: int) -> None:
    """Bear a pod that restarts every 40 s and is not ready."""
    name = f"{generation}-1"
    cluster.pod(name, born=cluster.now, generation=generation, ready=False)
    for _ in range(restarts):
        cluster.wait(40.0)
        cluster.restart(name, generation=generation, ready=False)
    cluster.wait(30.0)


def test_who_was_hardly_seen_to_start_may_need_five_restarts_and_a_sixth_makes_all_count() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    failing_release(cluster, "new", 5)
    assert not cluster.rule("restart-burst")
    cluster.restart("new-1", generation="new", ready=False)
    cluster.wait(30.0)
    (burst,) = cluster.rule("restart-burst")
    assert burst.because[0].value == 6
    assert any(part.name == "release" and part.value == "new" for part in burst.because)


def test_a_fourth_is_enough_where_many_pods_were_seen_to_start() -> None:
    cluster = Cluster(startup_pods=4)
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    for generation in ("a", "b"):
        for i in range(2):
            cluster.pod(f"{generation}-{i}", born=cluster.now, generation=generation)
        cluster.wait(2 * 3600.0, every=60.0)
    failing_release(cluster, "new", 3)
    assert not cluster.rule("restart-burst")
    cluster.restart("new-1", generation="new", ready=False)
    cluster.wait(30.0)
    (burst,) = cluster.rule("restart-burst")
    assert burst.because[0].value == 4


@pytest.mark.parametrize(("ready", "said"), [(False, True), (True, False)])
def test_three_pods_that_fail_alike_are_no_slow_start_unless_one_was_ready(
    ready: bool, said: bool
) -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    names = ("new-1", "new-2", "new-3")
    for name in names:
        cluster.pod(name, born=cluster.now, generation="new", ready=False)
    for round_ in range(4):
        for name in names:
            cluster.wait(15.0)
            cluster.restart(name, generation="new", ready=ready and round_ == 0)
    cluster.wait(30.0)
    assert bool(cluster.rule("restart-burst")) is said


def test_a_node_that_boots_is_not_a_burst() -> None:
    cluster = Cluster()
    for i in range(12):
        cluster.pod(f"checkout-{i}", node="n1")
    cluster.wait(DAY, every=600.0)
    for i in range(12):
        cluster.wait(3.0)
        cluster.restart(f"checkout-{i}", node="n1", last=("Unknown", 255), ready=False)
    for i in range(12):
        cluster.pod(f"checkout-{i}", node="n1")
    cluster.wait(3600.0)
    assert not cluster.rule("restart-burst")
    assert not cluster.rule("restart-count")
    assert not cluster.rule("namespace-restart-share")


def test_a_drain_is_not_a_burst() -> None:
    cluster = Cluster()
    for i in range(6):
        cluster.pod(f"a-{i}", node="n1")
    cluster.wait(DAY, every=600.0)
    for i in range(6):
        cluster.wait(20.0)
        cluster.pod(f"a-{i}", deleted=True)
        cluster.pod(f"b-{i}", born=cluster.now, node="n2")
    cluster.wait(3600.0)
    assert not [f for f in cluster.said if f.state == "firing"]


def test_a_slow_oom_cycle_is_found_by_the_third_kill() -> None:
    cluster = Cluster(oom_threshold=None)
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    for _ in range(3):
        cluster.wait(80 * 60.0)
        cluster.restart(last=("OOMKilled", 137))
    cluster.wait(30.0)
    (burst,) = cluster.rule("restart-burst")
    assert burst.labels["reason"] == "OOMKilled"
    cluster.wait(60 * 60.0)
    assert not cluster.rule("restart-burst", "resolved")  # it turns slowly: not over yet
    cluster.wait(90 * 60.0)
    assert cluster.rule("restart-burst", "resolved")


def test_two_oom_kills_in_a_day_fire_by_themselves() -> None:
    cluster = Cluster()
    cluster.pod()
    for _ in range(2):
        cluster.wait(6 * 3600.0, every=60.0)
        cluster.restart(last=("OOMKilled", 137))
    cluster.wait(60.0)
    (kill,) = cluster.rule("oom-kill")
    assert kill.labels["reason"] == "OOMKilled"
    assert len(cluster.rule("oom-kill", "evidence")) == 2


def test_an_oom_kill_names_its_pod_before_the_restart_is_counted() -> None:
    cluster = Cluster(oom_threshold=None)
    for name in ("checkout-1", "checkout-2"):
        cluster.pod(name)
    cluster.wait(DAY, every=600.0)
    cluster.restart("checkout-1", last=("OOMKilled", 137))
    cluster.wait(3600.0)
    cluster.pod("checkout-2", state="terminated", reason="OOMKilled")
    killed = cluster.now
    cluster.wait(30.0)
    cluster.restart("checkout-2", last=("OOMKilled", 137), ended=killed)
    cluster.wait(120.0)
    told = [f.labels["pod"] for f in cluster.rule("oom-kill", "evidence")]
    assert told == ["checkout-1", "checkout-2"]


def test_two_pods_killed_in_one_minute_are_both_named() -> None:
    cluster = Cluster(oom_threshold=None)
    for name in ("checkout-1", "checkout-2"):
        cluster.pod(name)
    cluster.wait(DAY, every=600.0)
    for name in ("checkout-1", "checkout-2"):
        cluster.restart(name, last=("OOMKilled", 137))
    cluster.wait(120.0)
    assert {f.labels["pod"] for f in cluster.rule("oom-kill", "evidence")} == {
        "checkout-1",
        "checkout-2",
    }


def test_a_workload_that_always_restarted_daily_stays_silent() -> None:
    cluster = Cluster(count_threshold=None)
    cluster.pod(restarts=120)  # in ten days
    for _ in range(40):
        cluster.wait(2 * 3600.0, every=300.0)
        cluster.restart()
        cluster.wait(60.0)
        cluster.pod()
    assert not cluster.rule("restart-burst")


def test_a_burst_is_over_after_ten_quiet_minutes_with_pods_ready() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    crash_loop(cluster, 5)
    cluster.wait(20.0)
    cluster.pod(ready=True)
    quiet_from = cluster.now
    cluster.wait(20 * 60.0)
    (over,) = cluster.rule("restart-burst", "resolved")
    assert 540.0 <= over.at - quiet_from <= 630.0
    assert len(cluster.rule("restart-burst")) == 1


def test_a_pod_that_waits_for_its_next_attempt_is_not_quiet() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    crash_loop(cluster, 5)
    cluster.pod(ready=False, state="waiting", reason="CrashLoopBackOff")
    cluster.wait(14 * 60.0)
    assert not cluster.rule("restart-burst", "resolved")
    assert not cluster.rule("crash-loop")
    cluster.wait(3 * 60.0)
    (loop,) = cluster.rule("crash-loop")
    assert loop.severity is Severity.CRITICAL
    assert loop.labels["alertname"] == "KubePodCrashLooping"


def test_known_and_older_records_change_nothing() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(DAY, every=600.0)
    for _ in range(2):
        cluster.wait(30.0)
        cluster.restart()
        cluster.version -= 1
        cluster.restart()  # the same version again, with another count
        cluster.counts["checkout-1"] -= 1
    cluster.wait(120.0)
    assert sum(f.because[0].value for f in cluster.rule("restart", "evidence")) == 2  # type: ignore[misc]


def test_an_image_that_cannot_be_pulled_fires_after_five_minutes() -> None:
    cluster = Cluster()
    cluster.pod(ready=False, state="waiting", reason="ErrImagePull", phase="Pending")
    cluster.wait(60.0)
    cluster.pod(ready=False, state="waiting", reason="ImagePullBackOff", phase="Pending")
    cluster.wait(200.0)
    assert not cluster.rule("image-pull")
    cluster.wait(100.0)
    assert cluster.rule("image-pull")[0].labels["image"] == "shop/app:1"
    cluster.pod()
    cluster.wait(120.0)
    assert cluster.rule("image-pull", "resolved")


def test_a_pod_that_no_node_takes_fires_after_ten_minutes() -> None:
    cluster = Cluster()
    why = Condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available")
    cluster.pod(ready=False, state="", phase="Pending", conditions=(why,), node="")
    cluster.wait(590.0)
    assert not cluster.rule("pod-pending")
    cluster.wait(30.0)
    assert cluster.rule("pod-pending")[0].labels["reason"] == "Unschedulable"


def test_an_evicted_pod_is_evidence_once() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(600.0)
    cluster.pod(phase="Failed", status="Evicted")
    cluster.wait(60.0)
    cluster.pod(phase="Failed", status="Evicted")
    cluster.wait(120.0)
    assert len(cluster.rule("pod-evicted", "evidence")) == 1


def test_a_namespace_whose_pods_restart_all_over_fires_with_their_names() -> None:
    cluster = Cluster(alert_score=None, count_threshold=None)
    owners = [ObjectRef("Deployment", "shop", f"w{i}") for i in range(10)]
    for i in range(30):
        cluster.pod(f"p{i}", workload=owners[i % 10], node=f"n{i % 7}")
    cluster.wait(2 * DAY, every=900.0)
    for i in range(12):
        cluster.wait(30.0)
        cluster.restart(f"p{i}", workload=owners[i % 10], node=f"n{i % 7}")
    cluster.wait(600.0)
    (share,) = cluster.rule("namespace-restart-share")
    assert share.object == ObjectRef("Namespace", "", "shop")
    assert "p0" in str(next(p.value for p in share.because if p.name == "pods"))
    cluster.wait(2 * 3600.0)
    assert cluster.rule("namespace-restart-share", "resolved")


def test_restarts_become_points_only_where_there_are_any() -> None:
    cluster = Cluster()
    cluster.pod()
    cluster.wait(3600.0)
    assert not cluster.points
    cluster.restart()
    cluster.wait(600.0)
    (point,) = cluster.points
    assert point.measurement == "restarts"
    assert point.fields == {"restarts_total": 1.0}


def test_nothing_is_kept_of_what_is_gone() -> None:
    cluster = Cluster(idle=DAY)
    cluster.pod()
    cluster.restart()
    cluster.wait(60.0)
    cluster.pod(deleted=True)
    cluster.wait(2 * DAY, every=600.0)
    assert len(cluster.operator._workloads) == 0
    assert len(cluster.operator._rows) == 0

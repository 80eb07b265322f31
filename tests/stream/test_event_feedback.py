"""What people say of findings: it counts, it expires, it hides nothing grave, and it is told.

Left out: how much it counts (`tests/models/test_evidence.py`), batches and restores
(`tests/conformance/test_operators.py`, whose workload holds verdicts).
"""

from __future__ import annotations

from typing import Any

from stream.records import Feedback, ObjectRef
from tests.stream.test_events_operator import DAY, PROBE, SANDBOX, Cluster

CHECKOUT = ObjectRef("Deployment", "shop", "checkout")
MINUTES = 20


def watched(**settings: Any) -> Cluster:
    """A week in which nothing but normal life went by."""
    cluster = Cluster(**settings)
    for _ in range(14):
        cluster.event("Scheduled", "assigned", type="Normal")
        cluster.wait(DAY / 2, every=1800.0)
    return cluster


def judge(cluster: Cluster, verdict: Any, *, lasts: float = 30 * DAY, **facts: str) -> None:
    reason = facts.get("reason", "Unhealthy")
    cluster.offer(Feedback("c", cluster.now, CHECKOUT, reason, verdict, lasts))


def weight_of_failing_probes() -> float:
    """What twenty minutes of a failing probe weigh when nobody has said anything."""
    cluster = watched(threshold=None)
    cluster.lasting("Unhealthy", PROBE, MINUTES)
    cluster.wait(3600.0)
    return max(group.score for _, group in cluster.operator._groups)


def test_what_was_called_noise_is_not_said_and_the_reason_is_kept() -> None:
    least = weight_of_failing_probes() - 0.5
    silent, heard = watched(threshold=least), watched(threshold=least)
    judge(silent, "noise")
    for cluster in (silent, heard):
        cluster.lasting("Unhealthy", PROBE, MINUTES)
        cluster.wait(3 * 3600.0)
    assert len(heard.rule("event-anomaly")) == 1
    assert not silent.rule("event-anomaly")
    verdict, held = silent.rule("event-feedback", "evidence")
    assert verdict.summary == (
        "Unhealthy of Deployment shop/checkout was called noise, which counts for 30 d"
    )
    assert held.summary == (
        "Unhealthy of Deployment shop/checkout is not said: people called it noise"
    )
    assert silent.account("below") == 1


def test_what_was_called_useful_is_said_on_less_evidence_and_says_why() -> None:
    cluster = watched(threshold=weight_of_failing_probes() + 0.5)
    judge(cluster, "useful")
    cluster.lasting("Unhealthy", PROBE, MINUTES)
    (found,) = cluster.rule("event-anomaly")
    assert "people called 100% of it useful" in [part.text for part in found.because]


def test_a_verdict_expires() -> None:
    cluster = watched(threshold=weight_of_failing_probes() - 0.5)
    judge(cluster, "noise", lasts=3600.0)
    cluster.wait(7200.0)
    cluster.lasting("Unhealthy", PROBE, MINUTES)
    assert len(cluster.rule("event-anomaly")) == 1


def test_the_newest_verdict_counts() -> None:
    cluster = watched(threshold=weight_of_failing_probes() - 0.5)
    judge(cluster, "noise")
    judge(cluster, "useful")
    cluster.lasting("Unhealthy", PROBE, MINUTES)
    assert len(cluster.rule("event-anomaly")) == 1


def test_a_verdict_on_another_reason_is_none_on_this_one() -> None:
    cluster = watched(threshold=weight_of_failing_probes() - 0.5)
    judge(cluster, "noise", reason="BackOff")
    cluster.lasting("Unhealthy", PROBE, MINUTES)
    (found,) = cluster.rule("event-anomaly")
    assert "feedback" not in [part.name for part in found.because]


def test_what_is_grave_and_new_is_said_whatever_people_called_it() -> None:
    cluster = watched()
    judge(cluster, "noise", reason="FailedCreatePodSandBox")
    cluster.lasting("FailedCreatePodSandBox", SANDBOX, MINUTES)
    (found,) = cluster.rule("event-anomaly")
    assert "people called 100% of it noise" in [part.text for part in found.because]


def test_one_noisy_workload_does_not_hide_the_trouble_around_it() -> None:
    scores = []
    for others in (0, 9):
        cluster = watched(threshold=0.0)
        judge(cluster, "noise")
        for round_ in range(1, 2 * MINUTES):
            cluster.event("Unhealthy", PROBE, uid="own", count=round_)
            for i in range(others):
                cluster.event("Unhealthy", PROBE, workload=f"w{i}", uid=f"w{i}", count=round_)
            cluster.wait(30.0)
        parts = {part.name: part.value for part in cluster.rule("event-anomaly")[-1].because}
        scores.append(parts["feedback"])
    assert scores == [-1.0, -0.1]

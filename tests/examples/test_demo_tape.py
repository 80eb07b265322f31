"""The committed demo tape tells the story that its truth labels, in the bytes of Kubernetes.

What the product makes of it is tested elsewhere; here the tape itself is looked at.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

HOUR = 3600.0
START = 1_794_960_000.0  # 2026-11-18T00:00:00Z
END = START + 48 * HOUR
GRAIN = 90.0  # seconds: Kubernetes' whole seconds, stretched


def objects(tape: list[Any], resource: str) -> list[tuple[Any, dict[str, Any]]]:
    return [
        (fact, json.loads(bytes(fact.object)))
        for fact in tape
        if fact.resource == resource and fact.type != "BOOKMARK"
    ]


@pytest.fixture(scope="session")
def pods(tape: list[Any]) -> list[tuple[Any, dict[str, Any]]]:
    return objects(tape, "pods")


@pytest.fixture(scope="session")
def summaries(tape: list[Any]) -> list[tuple[Any, dict[str, Any]]]:
    return objects(tape, "summary")


def app(pod: dict[str, Any]) -> str:
    return str(pod["metadata"].get("labels", {}).get("app.kubernetes.io/name", ""))


def disk_share(document: dict[str, Any]) -> float:
    disk = document["node"]["fs"]
    return float(disk["usedBytes"] / disk["capacityBytes"])


def test_it_is_small_enough_to_be_committed() -> None:
    tape = Path(__file__).parents[2] / "examples" / "tapes" / "demo.tape.zst"
    assert tape.stat().st_size <= 6_000_000


def test_it_spans_the_two_days_and_its_lines_are_in_the_order_of_time(tape: list[Any]) -> None:
    ats = [fact.at for fact in tape]
    assert ats == sorted(ats)
    assert START <= ats[0] < START + 0.1 * HOUR
    assert END - 0.1 * HOUR < ats[-1] < END + 0.1 * HOUR


def test_it_is_long_enough_and_holds_every_resource_of_the_format(tape: list[Any]) -> None:
    counts = Counter(fact.resource for fact in tape)
    assert 40_000 <= len(tape) <= 80_000
    workloads = {"deployments", "statefulsets", "daemonsets", "replicasets"}
    assert set(counts) == {"pods", "events", "nodes", "summary"} | workloads
    kinds = {"LIST", "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "SAMPLE"}
    assert {fact.type for fact in tape} == kinds


def test_every_watched_object_was_listed_or_added_before_it_changed(tape: list[Any]) -> None:
    known: set[tuple[str, str]] = set()
    for fact in tape:
        if fact.type in ("BOOKMARK", "SAMPLE"):
            continue
        meta = json.loads(bytes(fact.object))["metadata"]
        key = (fact.resource, meta["uid"])
        if fact.type in ("LIST", "ADDED"):
            known.add(key)
        assert key in known


def test_restart_counts_never_fall_and_grow_by_one(pods: list[tuple[Any, Any]]) -> None:
    counts: dict[str, int] = {}
    for _, pod in pods:
        for status in pod["status"].get("containerStatuses", []):
            uid = pod["metadata"]["uid"]
            before = counts.get(uid, status["restartCount"])
            assert status["restartCount"] - before in (0, 1)
            counts[uid] = status["restartCount"]


def test_containers_start_before_they_finish_and_before_they_are_seen(
    pods: list[tuple[Any, Any]], census: Any
) -> None:
    for fact, pod in pods:
        for status in pod["status"].get("containerStatuses", []):
            for state in (status["state"], status["lastState"]):
                ended = state.get("terminated")
                if ended:
                    started = census.instant(ended["startedAt"])
                    assert started <= census.instant(ended["finishedAt"]) <= fact.at
                if "running" in state:
                    assert census.instant(state["running"]["startedAt"]) <= fact.at


def test_checkout_v42_crash_loops_between_its_release_and_its_rollback(
    pods: list[tuple[Any, Any]], truth: dict[str, Any]
) -> None:
    label = truth["checkout-v42"]
    assert START + 2 * HOUR <= label["start"] < START + 2.1 * HOUR
    crashing = [
        fact.at
        for fact, pod in pods
        if pod["spec"]["containers"][0]["image"].endswith("checkout:v42")
        and "CrashLoopBackOff" in json.dumps(pod["status"])
    ]
    assert len(crashing) > 40
    assert label["start"] < min(crashing)
    assert max(crashing) < label["end"] + 120
    assert len(label["moments"]) > 40


def test_the_rolling_update_stalls_and_most_of_checkout_stays_available(tape: list[Any]) -> None:
    stalled = [
        document["status"]
        for _, document in objects(tape, "deployments")
        if document["metadata"]["name"] == "checkout"
        and "ProgressDeadlineExceeded" in json.dumps(document["status"])
    ]
    assert stalled
    assert min(status.get("availableReplicas", 0) for status in stalled) >= 3


def test_each_oom_kill_of_the_truth_is_in_a_pod_and_follows_memory_at_its_limit(
    pods: list[tuple[Any, Any]], summaries: list[tuple[Any, Any]], truth: dict[str, Any]
) -> None:
    kills = truth["ledger-leak"]["moments"]
    assert 12 <= len(kills) <= 24
    shown = {
        round(fact.at): pod["metadata"]["uid"]
        for fact, pod in pods
        if (pod["status"].get("containerStatuses") or [{}])[0]
        .get("state", {})
        .get("terminated", {})
        .get("reason")
        == "OOMKilled"
    }
    held: dict[str, list[tuple[float, float]]] = {}
    for fact, document in summaries:
        for entry in document["pods"]:
            if entry["podRef"]["name"].startswith("ledger-"):
                share = entry["memory"]["workingSetBytes"] / 2**29
                held.setdefault(entry["podRef"]["uid"], []).append((fact.at, share))
    for kill in kills:
        [uid] = {uid for at, uid in shown.items() if abs(at - kill) < 30}
        before = [share for at, share in held[uid] if kill - 400 < at < kill]
        assert 0.95 < before[-1] <= 1.0


def test_exits_with_code_0_are_restarts_of_ticker_and_ends_of_reports_only(
    pods: list[tuple[Any, Any]],
) -> None:
    restarted = {
        app(pod)
        for _, pod in pods
        for status in pod["status"].get("containerStatuses", [])
        if status["lastState"].get("terminated", {}).get("exitCode") == 0
    }
    ended = {
        app(pod)
        for _, pod in pods
        if pod["status"].get("phase") == "Succeeded"
        and not pod["metadata"].get("deletionTimestamp")
    }
    assert restarted == {"ticker"}
    assert ended == {"report"}


def test_node_4_fills_from_hour_8_to_its_eviction_threshold(
    summaries: list[tuple[Any, Any]], truth: dict[str, Any]
) -> None:
    shares = [
        ((fact.at - START) / HOUR, disk_share(d)) for fact, d in summaries if fact.node == "node-4"
    ]
    [pressed] = truth["node-4-disk"]["moments"]
    hour = (pressed - START) / HOUR
    assert 41.9 < hour < 42.2
    assert all(0.54 < share < 0.57 for at, share in shares if at < 8)
    assert next(share for at, share in shares if at > hour - 0.2) == pytest.approx(0.9, abs=0.01)
    assert all(share < 0.6 for at, share in shares if at > hour + 0.2)


def test_disk_pressure_evicts_the_writer(pods: list[tuple[Any, Any]], tape: list[Any]) -> None:
    evicted = {app(pod) for _, pod in pods if pod["status"].get("reason") == "Evicted"}
    assert "ingest" in evicted
    pressed = [
        document["metadata"]["name"]
        for _, document in objects(tape, "nodes")
        for condition in document["status"].get("conditions", [])
        if condition["type"] == "DiskPressure" and condition["status"] == "True"
    ]
    assert set(pressed) == {"node-4"}


def test_the_volume_heads_for_full_and_is_not_full_at_the_end(
    summaries: list[tuple[Any, Any]],
) -> None:
    shares = [
        volume["usedBytes"] / volume["capacityBytes"]
        for _, document in summaries
        for entry in document["pods"]
        for volume in entry.get("volume", [])
        if volume["pvcRef"]["name"] == "data-postgres-0"
    ]
    assert shares[0] == pytest.approx(0.45, abs=0.01)
    assert 0.80 < shares[-1] < 0.90


def test_the_samples_are_those_that_the_recipe_makes_of_the_recorded_part(
    summaries: list[tuple[Any, Any]], census: Any, usage: Any
) -> None:
    path = Path(__file__).parents[2] / "examples" / "tapes" / "demo.tape.zst"
    taken = census.take_census(usage.read_recorded(path), usage.GRACE * GRAIN)
    made = usage.samples(taken, usage.Usage(taken, 7), 120.0, "demo")
    for (_, line), (fact, document) in zip(made, summaries[:300], strict=False):
        again = json.loads(line)
        assert (again["at"], again["node"], again["object"]) == (fact.at, fact.node, document)


def test_image_collection_saws_between_78_and_85_percent(summaries: list[tuple[Any, Any]]) -> None:
    shares = [disk_share(document) for fact, document in summaries if fact.node == "node-6"]
    assert 0.77 < min(shares) < 0.79
    assert 0.84 < max(shares) < 0.87
    falls = [b for a, b in itertools.pairwise(shares) if b < a - 0.04]
    assert 4 <= len(falls) <= 6


def test_the_dead_node_is_unknown_for_hours_and_silent(
    tape: list[Any], summaries: list[tuple[Any, Any]], truth: dict[str, Any]
) -> None:
    label = truth["node-1-down"]
    sampled = [
        fact.at
        for fact, _ in summaries
        if fact.node == "node-1" and label["start"] + 600 < fact.at < label["end"] - 600
    ]
    assert not sampled
    unknown = [
        fact.at
        for fact, document in objects(tape, "nodes")
        if document["metadata"]["name"] == "node-1"
        and any(
            c["type"] == "Ready" and c["status"] == "Unknown"
            for c in document["status"]["conditions"]
        )
    ]
    assert label["start"] < min(unknown) < label["start"] + 1200


def test_the_reboot_restarts_each_container_of_its_node_once(
    pods: list[tuple[Any, Any]], truth: dict[str, Any]
) -> None:
    label = truth["reboot-node-5"]
    assert label["end"] - label["start"] < 600
    lives: dict[str, set[str]] = {}
    for fact, pod in pods:
        if not (label["start"] <= fact.at < label["end"] + 300):
            continue
        for status in pod["status"].get("containerStatuses", []):
            if "running" in status["state"] and pod["spec"]["nodeName"] == "node-5":
                lives.setdefault(pod["metadata"]["name"], set()).add(status["containerID"])
                assert status["lastState"]["terminated"]["exitCode"] == 255
    assert len(lives) >= 4
    assert {len(containers) for containers in lives.values()} == {1}


def test_changes_carry_who_made_them(tape: list[Any]) -> None:
    managers = {
        field["manager"]
        for _, document in objects(tape, "deployments")
        for field in document["metadata"].get("managedFields", [])
    }
    assert {"argocd-controller", "horizontal-pod-autoscaler"} <= managers
    assert {"kubectl", "helm", "kube-controller-manager"} <= managers


def test_the_quota_keeps_pods_from_being_created(tape: list[Any], truth: dict[str, Any]) -> None:
    label = truth["batcher-quota"]
    failed = [
        fact.at
        for fact, event in objects(tape, "events")
        if event["reason"] == "FailedCreate" and fact.type != "DELETED"
    ]
    assert failed
    assert all(label["start"] <= at <= label["end"] + 300 for at in failed)


def test_events_are_counted_up_by_changes_and_expire(tape: list[Any]) -> None:
    events = objects(tape, "events")
    assert max(event.get("count") or 1 for _, event in events) > 1000
    assert sum(fact.type == "DELETED" for fact, _ in events) > 1000


def test_truth_names_incidents_and_benign_spans_inside_the_tape(truth: dict[str, Any]) -> None:
    kinds = Counter(label["kind"] for label in truth.values())
    assert kinds["incident"] == 6
    assert kinds["benign"] >= 15
    for label in truth.values():
        assert START <= label["start"] < label["end"] <= END + 60
        assert all(label["start"] - 1 <= at <= label["end"] + 1 for at in label["moments"])

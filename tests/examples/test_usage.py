"""Usage follows the recorded lives: who runs is sampled, a leak meets its limit at its kill.

On a tape of one node and three pods that is written here; the shapes of the demo's own nodes are
looked at in test_demo_tape.py.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

START = 1_794_960_000.0
HOUR = 3600.0


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fact(hour: float, resource: str, kind: str, document: dict[str, Any]) -> bytes:
    at = round(START + hour * HOUR, 3)
    line = {"at": at, "cluster": "t", "resource": resource, "type": kind, "object": document}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def node(ready: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    meta = {"name": "node-1", "creationTimestamp": stamp(START - HOUR)}
    return {"metadata": meta, "status": {"conditions": conditions}}


def pod(app: str, life: int, state: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": app}
    resources = {"requests": {"cpu": "500m"}, "limits": {"memory": "512Mi"}}
    status = {"containerID": f"{app}/{life}", "state": state, "lastState": last}
    return {
        "metadata": {"namespace": "n", "name": f"{app}-0", "uid": f"uid-{app}", "labels": labels},
        "spec": {"nodeName": "node-1", "containers": [{"name": app, "resources": resources}]},
        "status": {"startTime": stamp(START), "containerStatuses": [status]},
    }


def running(app: str, life: int, hour: float, last: dict[str, Any] | None = None) -> dict[str, Any]:
    return pod(app, life, {"running": {"startedAt": stamp(START + hour * HOUR)}}, last or {})


def killed(app: str, life: int) -> dict[str, Any]:
    return {"terminated": {"reason": "OOMKilled", "exitCode": 137, "containerID": f"{app}/{life}"}}


@pytest.fixture
def lines() -> list[bytes]:
    """A leak killed at hour 6, its next life; a pod deleted at hour 3; a node down from 8 to 9."""
    return [
        fact(0, "nodes", "LIST", node("True")),
        fact(0, "pods", "LIST", running("leak", 1, 0)),
        fact(0, "pods", "LIST", running("steady", 1, 0)),
        fact(3, "pods", "DELETED", running("steady", 1, 0)),
        fact(6, "pods", "MODIFIED", pod("leak", 1, killed("leak", 1), {})),
        fact(6.1, "pods", "MODIFIED", running("leak", 2, 6.1, killed("leak", 1))),
        fact(8, "nodes", "MODIFIED", node("Unknown")),
        fact(9, "nodes", "MODIFIED", node("True")),
        fact(12, "nodes", "MODIFIED", node("True")),
    ]


def sampled(census: Any, usage: Any, lines: list[bytes], seed: int = 7) -> list[dict[str, Any]]:
    return [json.loads(line) for _, line in generated(census, usage, lines, seed)]


def generated(
    census: Any, usage: Any, lines: list[bytes], seed: int
) -> Iterator[tuple[float, bytes]]:
    taken = census.take_census(iter(lines), 0.1 * HOUR)
    found: Iterator[tuple[float, bytes]] = usage.samples(taken, usage.Usage(taken, seed), 60.0, "t")
    return found


def memory(samples: list[dict[str, Any]], app: str) -> dict[float, int]:
    return {
        (sample["at"] - START) / HOUR: entry["containers"][0]["memory"]["workingSetBytes"]
        for sample in samples
        for entry in sample["object"]["pods"]
        if entry["podRef"]["name"] == f"{app}-0"
    }


def test_a_leak_reaches_its_limit_when_the_recorded_kill_comes(
    census: Any, usage: Any, lines: list[bytes]
) -> None:
    held = memory(sampled(census, usage, lines), "leak")
    first = {hour: value for hour, value in held.items() if hour < 6}
    assert 0.97 < first[max(first)] / 2**29 < 1.0
    assert 0.55 < next(value for hour, value in first.items() if hour > 3) / 2**29 < 0.65
    assert next(value for hour, value in held.items() if hour > 6.1) / 2**29 < 0.25


def test_a_container_is_sampled_while_it_runs_and_not_a_moment_longer(
    census: Any, usage: Any, lines: list[bytes]
) -> None:
    samples = sampled(census, usage, lines)
    assert max(memory(samples, "steady")) < 3
    assert not [hour for hour in memory(samples, "leak") if 6 <= hour < 6.1]


def test_a_node_that_does_not_answer_gives_no_samples(
    census: Any, usage: Any, lines: list[bytes]
) -> None:
    hours = [(sample["at"] - START) / HOUR for sample in sampled(census, usage, lines)]
    assert not [hour for hour in hours if 7.9 <= hour < 9]
    assert [hour for hour in hours if 7.8 < hour < 7.9]
    assert [hour for hour in hours if 9 < hour < 9.1]


def test_cpu_time_is_the_integral_of_cores_and_starts_again_with_the_container(
    census: Any, usage: Any, lines: list[bytes]
) -> None:
    samples = sampled(census, usage, lines)
    seen = [
        (entry["containers"][0]["startTime"], entry["cpu"]["usageCoreNanoSeconds"])
        for sample in samples
        for entry in sample["object"]["pods"]
        if entry["podRef"]["name"] == "leak-0"
    ]
    for (life, before), (next_life, after) in itertools.pairwise(seen):
        assert after > before if life == next_life else after < before


def test_free_and_used_bytes_of_the_disk_are_the_whole(
    census: Any, usage: Any, lines: list[bytes]
) -> None:
    for sample in sampled(census, usage, lines):
        disk = sample["object"]["node"]["fs"]
        assert disk["availableBytes"] + disk["usedBytes"] == disk["capacityBytes"]
        assert disk["inodesFree"] + disk["inodesUsed"] == disk["inodes"]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    census: Any, usage: Any, lines: list[bytes]
) -> None:
    once, again, other = (list(generated(census, usage, lines, seed)) for seed in (7, 7, 8))
    assert once == again
    assert once != other


def test_samples_are_merged_in_the_order_of_time_and_no_line_is_lost(
    census: Any, usage: Any, lines: list[bytes]
) -> None:
    extra = list(generated(census, usage, lines, 7))
    merged = list(usage.merge(iter(lines), iter(extra)))
    ats = [json.loads(line)["at"] for line in merged]
    assert ats == sorted(ats)
    assert len(merged) == len(lines) + len(extra)
    assert [line for line in merged if b'"SAMPLE"' not in line] == lines

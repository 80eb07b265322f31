"""Decoding a pod's watch event: ours beside the official client's typed path, in one run.

Both are shown to have read the same facts before either is timed. The target is a ratio, because
machines differ: at least 50 times as many events per second.
"""

import json
import time
from collections.abc import Callable

import pytest
from kubernetes import client, watch

from benchmarks import workloads
from ingest.intake import Intake
from ingest.normalise import Normaliser
from ingest.publish import Publisher
from ingest.reading import read_whole

EVENTS = 200
TARGET = 50.0  # times the typed path


def pod_lines() -> list[bytes]:
    return [
        workloads.line(
            workloads.START + i,
            "pods",
            "MODIFIED",
            workloads.pod(i, workloads.START + i, version=i),
        )
        for i in range(EVENTS)
    ]


def watch_lines() -> list[str]:
    return [
        json.dumps({"type": "MODIFIED", "object": workloads.pod(i, workloads.START + i, version=i)})
        for i in range(EVENTS)
    ]


def typed() -> list[client.V1Pod]:
    stream = watch.Watch()
    stream._api_client = client.ApiClient()
    return [stream.unmarshal_event(line, "V1Pod")["object"] for line in watch_lines()]


def per_second(action: Callable[[], object], rounds: int) -> float:
    best = min(_timed(action) for _ in range(rounds))
    return EVENTS / best


def _timed(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def test_both_read_the_same_pods() -> None:
    ours = [read_whole(line).object for line in pod_lines()]
    theirs = typed()
    assert [pod.metadata.uid for pod in ours] == [pod.metadata.uid for pod in theirs]
    assert [pod.status.container_statuses[0].restart_count for pod in ours] == [
        pod.status.container_statuses[0].restart_count for pod in theirs
    ]


@pytest.mark.benchmark(group="pod event")
def test_decoding_is_50_times_the_typed_path(benchmark) -> None:  # type: ignore[no-untyped-def]
    test_both_read_the_same_pods()
    lines = pod_lines()
    stream = watch.Watch()
    stream._api_client = client.ApiClient()
    raw = watch_lines()
    theirs = per_second(lambda: [stream.unmarshal_event(line, "V1Pod") for line in raw], 3)
    benchmark(lambda: [read_whole(line) for line in lines])
    ours = per_second(lambda: [read_whole(line) for line in lines], 20)
    benchmark.extra_info["ratio"] = round(ours / theirs, 1)
    benchmark.extra_info["events per second"] = round(ours)
    print(f"\npod event decoded: {ours:,.0f}/s beside {theirs:,.0f}/s: {ours / theirs:.0f} times")
    assert ours >= TARGET * theirs


@pytest.mark.benchmark(group="pod event")
def test_from_line_to_message(benchmark) -> None:  # type: ignore[no-untyped-def]
    lines = pod_lines()

    def whole() -> int:
        intake = Intake(Normaliser(), Publisher(1))
        for line in lines:
            intake.offer(read_whole(line), "bench")
        return len(intake.take().messages)

    assert whole() >= EVENTS
    benchmark(whole)

"""Nodes and their samples: sizes, taints, usage beside limits, and numbers that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingest.facts import Fact, read_fact
from ingest.normalise import Normaliser
from ingest.usage import amount_or_none, number
from stream.errors import Rejected
from stream.records import Allocatable, Filesystem, NodeMetricsRecord, NodeRecord, ObjectRef

AT = 1_760_000_000.0
Golden = Callable[[str], Any]
Make = Callable[..., Fact]


def node(fact: Fact) -> NodeRecord:
    (record,) = Normaliser().feed(fact)
    assert isinstance(record, NodeRecord)
    return record


def sample(normaliser: Normaliser, fact: Fact) -> NodeMetricsRecord:
    (record,) = normaliser.feed(fact)
    assert isinstance(record, NodeMetricsRecord)
    return record


@pytest.fixture
def seen(golden: Golden, fact: Make) -> Normaliser:
    """A normaliser that knows the node and the pod of the samples."""
    normaliser = Normaliser()
    normaliser.feed(fact("nodes", golden("node"), "LIST"))
    normaliser.feed(fact("pods", golden("pod"), "LIST"))
    return normaliser


def test_a_node_is_understood(golden: Golden, fact: Make) -> None:
    record = node(fact("nodes", golden("node")))
    assert (record.node, record.ready, record.unschedulable) == ("node-1", "True", True)
    assert record.taints == (
        "dedicated=shop:NoExecute",
        "node.kubernetes.io/unschedulable:NoSchedule",
    )
    assert record.allocatable == Allocatable(7.91, 32760120 * 1024.0, 110.0, 94998384074.0)
    assert record.capacity.cpu == 8.0
    assert record.boot_id == "2f1f6c0e-7d3f-4f2b-8f0c-0c8a7b1f5e44"
    assert record.kubelet_version == "v1.36.3"
    assert [c.since for c in record.conditions if c.type == "DiskPressure"] == [AT - 40]


def test_a_node_without_status_is_not_known_to_be_ready(golden: Golden, fact: Make) -> None:
    raw = golden("node")
    del raw["status"]
    del raw["spec"]
    record = node(fact("nodes", raw))
    assert (record.ready, record.taints, record.allocatable) == ("Unknown", (), Allocatable())


def test_a_negative_size_is_rejected(golden: Golden, fact: Make) -> None:
    raw = golden("node")
    raw["status"]["allocatable"]["memory"] = "-1Gi"
    with pytest.raises(Rejected, match="must not be negative"):
        node(fact("nodes", raw))


def test_a_summary_is_joined_with_what_was_seen(
    seen: Normaliser, golden: Golden, fact: Make
) -> None:
    record = sample(seen, fact("summary", golden("summary"), "SAMPLE", node="node-1"))
    assert record.at == AT - 10  # the newest of the node's own samples
    assert (record.cpu, record.memory, record.memory_available) == (1.25, 13e9, 20e9)
    assert (record.pids, record.pids_max, record.pods) == (1200.0, 32768.0, 2.0)
    assert record.filesystem == Filesystem(70e9, 105553760256.0, 30e9, 1553600.0, 6553600.0)
    assert record.image_filesystem is not None
    assert record.image_filesystem.used == 40e9
    assert record.allocatable.memory == 32760120 * 1024.0
    app, proxy, etcd = record.containers
    assert (app.memory, app.memory_limit, app.cpu, app.cpu_limit) == (250e6, 2.0**28, 0.25, 0.5)
    assert app.workload == ObjectRef("Deployment", "shop", "checkout")
    assert app.started_at == AT - 18
    assert proxy.cpu_limit is None
    assert (etcd.workload, etcd.cpu) == (ObjectRef("Pod", "kube-system", "etcd"), None)
    (volume,) = record.volumes
    assert (volume.claim, volume.filesystem.used) == ("data-checkout", 6e9)
    assert volume.workload == app.workload


def test_a_summary_of_strangers_stands_alone(golden: Golden, fact: Make) -> None:
    record = sample(Normaliser(), fact("summary", golden("summary"), "SAMPLE"))
    assert (record.node, record.allocatable) == ("node-1", Allocatable())
    app = record.containers[0]
    assert (app.memory_limit, str(app.workload)) == (None, "Deployment shop/checkout")  # by name


@pytest.mark.parametrize(
    "nothing", [None, -1, float("nan"), float("inf"), "12", True, [], {}, 1e400, 10**400]
)
def test_a_number_that_is_none_costs_only_itself(golden: Golden, fact: Make, nothing: Any) -> None:
    assert number(nothing) is None
    raw = golden("summary")
    if not (isinstance(nothing, float | int) and abs(nothing) > 1e300):
        raw["node"]["memory"]["workingSetBytes"] = nothing
        raw["pods"][0]["containers"][0]["cpu"]["usageNanoCores"] = nothing
        record = sample(Normaliser(), fact("summary", raw, "SAMPLE"))
        assert (record.memory, record.containers[0].cpu) == (None, None)
        assert (record.cpu, record.containers[0].memory) == (1.25, 250e6)


def test_a_huge_number_in_a_document_costs_only_itself() -> None:
    line = (
        b'{"at":1760000000,"cluster":"c","resource":"summary","type":"SAMPLE","object":'
        b'{"node":{"nodeName":"n","cpu":{"usageNanoCores":' + b"9" * 400 + b"},"
        b'"memory":{"workingSetBytes":5}}}}'
    )
    record = sample(Normaliser(), read_fact(line))
    assert (record.cpu, record.memory) == (None, 5.0)


def test_missing_parts_are_not_known(fact: Make) -> None:
    record = sample(Normaliser(), fact("summary", {"node": {"nodeName": "n"}}, "SAMPLE"))
    assert (record.cpu, record.filesystem, record.pods, record.containers) == (None, None, None, ())
    assert record.at == AT  # nobody says when: when we heard of it


@pytest.mark.parametrize("time", [None, "soon", 7, "0001-01-01T00:00:00Z", "2025-10-09T10:00:00Z"])
def test_a_sample_without_a_credible_time_is_of_now(
    golden: Golden, fact: Make, time: object
) -> None:
    raw = golden("summary")
    for part in ("cpu", "memory", "fs"):
        raw["node"][part]["time"] = time
    assert sample(Normaliser(), fact("summary", raw, "SAMPLE")).at == AT


def test_inodes_in_use_follow_from_those_that_are_free(golden: Golden, fact: Make) -> None:
    raw = golden("summary")
    del raw["node"]["fs"]["inodesUsed"]
    record = sample(Normaliser(), fact("summary", raw, "SAMPLE"))
    assert record.filesystem is not None
    assert record.filesystem.inodes_used == 1553600.0


def test_the_same_sample_twice_is_said_once(golden: Golden, fact: Make) -> None:
    normaliser = Normaliser()
    assert normaliser.feed(fact("summary", golden("summary"), "SAMPLE"))
    assert not normaliser.feed(fact("summary", golden("summary"), "SAMPLE", at=AT + 5))
    assert normaliser.stats["summary"].duplicates == 1


def test_the_metrics_api_knows_cpu_and_memory(seen: Normaliser, golden: Golden, fact: Make) -> None:
    of_node = sample(seen, fact("metrics", golden("node_metrics"), "SAMPLE", node="node-1"))
    assert (of_node.source, of_node.at, of_node.cpu) == ("metrics", AT - 13, 1.25)
    assert of_node.memory == 12695312 * 1024.0
    assert (of_node.filesystem, of_node.containers) == (None, ())
    assert of_node.allocatable.cpu == 7.91
    of_pod = sample(seen, fact("metrics", golden("pod_metrics"), "SAMPLE"))  # the pod knows where
    assert (of_pod.node, of_pod.cpu, of_pod.at) == ("node-1", None, AT - 16)
    app, _ = of_pod.containers
    assert (app.container, app.cpu, app.memory_limit) == ("app", 0.25, 2.0**28)
    assert str(app.workload) == "Deployment shop/checkout"


def test_a_pods_sample_from_nowhere_is_rejected(golden: Golden, fact: Make) -> None:
    with pytest.raises(Rejected, match="names no node and the pod was not seen"):
        Normaliser().feed(fact("metrics", golden("pod_metrics"), "SAMPLE"))
    with pytest.raises(Rejected, match="names no node"):
        Normaliser().feed(fact("summary", {"node": {}}, "SAMPLE"))


def test_nonsense_in_usage_is_not_known() -> None:
    assert [amount_or_none(v) for v in ("250m", "1GiB", "-5", 7, None, {})] == [
        0.25,
        None,
        None,
        7.0,
        None,
        None,
    ]


def test_samples_of_a_deleted_node_have_no_size(
    seen: Normaliser, golden: Golden, fact: Make
) -> None:
    (gone,) = seen.feed(fact("nodes", golden("node"), "DELETED"))
    assert isinstance(gone, NodeRecord)
    assert gone.deleted
    record = sample(seen, fact("summary", golden("summary"), "SAMPLE"))
    assert record.allocatable == Allocatable()

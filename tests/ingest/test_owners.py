"""Whose pod is it? Each way in which Kubernetes names what it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingest.facts import Fact
from ingest.normalise import Normaliser
from ingest.objects import Metadata, OwnerReference, Reference
from ingest.owners import root_of_pod, root_of_reference
from ingest.seen import PodSeen, Seen
from stream.records import EventRecord, ObjectRef, PodRecord

AT = 1_760_000_000.0
Golden = Callable[[str], Any]
Make = Callable[..., Fact]


def pod(name: str, *owners: OwnerReference, **labels: str) -> Metadata:
    hashes = {key.replace("_", "-"): value for key, value in labels.items()}
    return Metadata(name, "u", "shop", labels=hashes, owner_references=list(owners) or None)


def owner(kind: str, name: str, *, controller: bool | None = True) -> OwnerReference:
    return OwnerReference(kind, name, f"{kind}-{name}", controller)


@pytest.mark.parametrize(
    ("metadata", "root"),
    [
        (pod("lonely"), "Pod shop/lonely"),
        (
            pod("web-7d4b9c6f5-x2x7q", owner("ReplicaSet", "web-7d4b9c6f5"),
                pod_template_hash="7d4b9c6f5"),
            "Deployment shop/web",
        ),
        (
            pod("web-7d4b9c6f5-x2x7q", owner("ReplicaSet", "web-7d4b9c6f5"),
                rollouts_pod_template_hash="7d4b9c6f5"),
            "Rollout shop/web",
        ),
        (
            pod("old-x2x7q", owner("ReplicaSet", "old"), pod_template_hash="7d4b9c6f5"),
            "ReplicaSet shop/old",
        ),
        (pod("db-0", owner("StatefulSet", "db")), "StatefulSet shop/db"),
        (pod("agent-abcde", owner("DaemonSet", "agent")), "DaemonSet shop/agent"),
        (pod("report-29333333-abcde", owner("Job", "report-29333333")), "CronJob shop/report"),
        (pod("report-1760000000-abcde", owner("Job", "report-1760000000")), "CronJob shop/report"),
        (pod("import-42-abcde", owner("Job", "import-42")), "Job shop/import-42"),
        (pod("etcd-node-1", owner("Node", "node-1")), "Pod shop/etcd"),
        (pod("kafka-0", owner("StrimziPodSet", "kafka")), "StrimziPodSet shop/kafka"),
        (
            pod("x", owner("Backup", "b", controller=None), owner("StatefulSet", "db")),
            "StatefulSet shop/db",
        ),
        (pod("x", owner("Backup", "b", controller=None)), "Backup shop/b"),
    ],
)  # fmt: skip
def test_the_root_owner_is_who_people_know(metadata: Metadata, root: str) -> None:
    assert str(root_of_pod(metadata, Seen())) == root


def test_a_replicaset_that_was_seen_decides(golden: Golden, fact: Make) -> None:
    """Its owner may bear any name; nothing is guessed from names where the truth is known."""
    normaliser = Normaliser()
    replicaset = golden("replicaset")
    replicaset["metadata"]["ownerReferences"][0] |= {"kind": "Rollout", "name": "till"}
    assert normaliser.feed(fact("replicasets", replicaset, "LIST")) == []
    (record,) = normaliser.feed(fact("pods", golden("pod")))
    assert isinstance(record, PodRecord)
    assert record.workload == ObjectRef("Rollout", "shop", "till")


def test_a_pods_root_never_changes_while_it_lives(golden: Golden, fact: Make) -> None:
    """Else its records would move to another partition, past their own past."""
    normaliser = Normaliser()
    young = golden("pod")
    del young["metadata"]["labels"]["pod-template-hash"]
    (first,) = normaliser.feed(fact("pods", young))
    normaliser.feed(fact("replicasets", golden("replicaset"), "ADDED"))
    young["metadata"]["resourceVersion"] = "184468"
    (second,) = normaliser.feed(fact("pods", young))
    assert isinstance(first, PodRecord)
    assert isinstance(second, PodRecord)
    assert (
        first.workload == second.workload == ObjectRef("ReplicaSet", "shop", "checkout-7d4b9c6f5")
    )


@pytest.mark.parametrize(
    ("reference", "root"),
    [
        (Reference("Pod", "shop", "web-7d4b9c6f5-x2x7q"), "Deployment shop/web"),
        (Reference("Pod", "shop", "db-0"), "Pod shop/db-0"),
        (Reference("Pod", "kube-system", "etcd-node-1"), "Pod kube-system/etcd"),
        (Reference("ReplicaSet", "shop", "web-7d4b9c6f5"), "Deployment shop/web"),
        (Reference("ReplicaSet", "shop", "web"), "ReplicaSet shop/web"),
        (Reference("Job", "shop", "report-29333333"), "CronJob shop/report"),
        (Reference("Node", "", "node-1"), "Node node-1"),
        (Reference("HorizontalPodAutoscaler", "shop", "web"), "HorizontalPodAutoscaler shop/web"),
    ],
)
def test_an_event_ahead_of_its_object_goes_by_the_name(reference: Reference, root: str) -> None:
    assert str(root_of_reference(reference, Seen(), "node-1")) == root


def test_events_of_a_deleted_pod_still_find_their_workload(golden: Golden, fact: Make) -> None:
    normaliser = Normaliser()
    named_oddly = golden("pod")
    named_oddly["metadata"]["name"] = "odd"
    normaliser.feed(fact("pods", named_oddly))
    normaliser.feed(fact("pods", named_oddly, "DELETED", at=AT + 1))
    event = golden("event")
    event["involvedObject"]["name"] = "odd"

    def workload_at(at: float) -> str:
        event["metadata"]["resourceVersion"] += "1"
        (record,) = normaliser.feed(fact("events", event, at=at))
        assert isinstance(record, EventRecord)
        return str(record.workload)

    assert workload_at(AT + 500) == "Deployment shop/checkout"
    assert workload_at(AT + 602) == "Pod shop/odd"  # forgotten after its grace


def test_the_next_pod_of_the_same_name_is_not_forgotten_with_the_last() -> None:
    seen = Seen(grace=10.0)
    root = ObjectRef("StatefulSet", "shop", "db")
    seen.saw_pod(PodSeen("old", "shop", "db-0", root, deleted=True), 0.0)
    seen.saw_pod(PodSeen("new", "shop", "db-0", root), 1.0)
    seen.expire(10.0)
    assert seen.pod("old") is None
    found = seen.pod("", "shop", "db-0")
    assert found is not None
    assert found.uid == "new"


def test_memory_is_bounded() -> None:
    seen = Seen(capacity=3)
    root = ObjectRef("Pod", "shop", "x")
    for number in range(10):
        seen.saw_pod(PodSeen(f"u{number}", "shop", f"x{number}", root), 0.0)
        seen.saw_replicaset(f"r{number}", root, 0.0, deleted=False)
        seen.saw_pod(PodSeen("busy", "shop", "busy", root), 0.0)
    assert len(seen) == 3
    assert seen.pod("busy") is not None
    assert seen.pod("u0", "shop", "x0") is None
    assert seen.replicaset("r9") is not None
    assert seen.replicaset("r0") is None

"""Counts of what happened to workloads: by field, bounded, without what is gone."""

from typing import Any

from ingest.deployments import OTHERS, DeploymentCounts, Replicas, Workload
from stream.records import DeploymentChange, ObjectRef, Operation, Tick


def change(name: str, word: Any, *paths: str, desired: int = 2) -> DeploymentChange:
    return DeploymentChange(
        cluster="prod",
        at=1.0,
        workload=ObjectRef("Deployment", "shop", name),
        uid=name,
        resource_version="1",
        type=word,
        operations=tuple(Operation("replace", path) for path in paths),
        replicas_desired=desired,
        replicas_actual=1,
        replicas_max=desired + 1,
    )


WEB = Workload("prod", "shop", "Deployment", "web")
CONTAINER = "/spec/template/spec/containers/c"


def test_a_change_counts_once_for_each_field_and_what_was_there_counts_not() -> None:
    counts = DeploymentCounts()
    counts.observe(change("web", "known"))
    counts.observe(Tick("prod", 1.0))
    assert not counts.changes
    assert counts.replicas[WEB] == Replicas(2, 1, 3)
    counts.observe(
        change(
            "web",
            "modified",
            "/spec/replicas",
            f"{CONTAINER}/image",
            f"{CONTAINER}/env/A/value",
            f"{CONTAINER}/env/B/value",
            desired=5,
        )
    )
    counts.observe(change("web", "modified", desired=5))  # of its status only
    assert dict(counts.changes) == {
        (WEB, "MODIFIED", "replicas"): 1,
        (WEB, "MODIFIED", "image"): 1,
        (WEB, "MODIFIED", "env"): 1,
    }
    assert counts.replicas[WEB].desired == 5


def test_what_is_deleted_gives_its_replicas_back_and_keeps_its_counts() -> None:
    counts = DeploymentCounts()
    counts.observe(change("web", "added"))
    counts.observe(change("web", "deleted"))
    assert not counts.replicas
    assert set(counts.changes) == {(WEB, "ADDED", "deployment"), (WEB, "DELETED", "deployment")}


def test_beyond_its_capacity_workloads_are_counted_together() -> None:
    counts = DeploymentCounts(capacity=2)
    for name in ("web", "cart", "one", "two", "web"):
        counts.observe(change(name, "modified", "/spec/replicas"))
    others = Workload("prod", OTHERS, "Deployment", OTHERS)
    assert counts.changes[others, "MODIFIED", "replicas"] == 2
    assert counts.changes[WEB, "MODIFIED", "replicas"] == 2
    assert set(counts.replicas) == {WEB, Workload("prod", "shop", "Deployment", "cart")}

"""A raw node → `NodeRecord`.

Guaranteed: taints are sorted (Kubernetes keeps no order among them), ``ready`` is "Unknown" where
there is no Ready condition yet. Event time is `ingest.times.observed_at` over the conditions'
``lastTransitionTime``; heartbeats say nothing new and are not read.

Left to others: remembering sizes for samples (`ingest.seen`), judging conditions (operators).
"""

from __future__ import annotations

from ingest.objects import Node, NodeAmounts, NodeInfo, Taint, identify
from ingest.pods import conditions_of
from ingest.quantity import amount
from ingest.times import observed_at, seconds
from stream.records import Allocatable, NodeRecord


def node_record(cluster: str, received: float, node: Node, *, deleted: bool = False) -> NodeRecord:
    """Return the record of one observation of one node. About 4 µs.

    Raises
    ------
    Rejected
        Name or uid are empty, or a time or a quantity is none.
    """
    metadata, status = node.metadata, node.status
    identify(metadata)
    conditions = conditions_of(status.conditions)
    created_at = seconds(metadata.creation_timestamp)
    proven = max((c.since for c in conditions if c.since is not None), default=created_at or 0.0)
    info = status.node_info or NodeInfo()
    return NodeRecord(
        cluster=cluster,
        at=observed_at(received, proven),
        node=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        ready=next((c.status for c in conditions if c.type == "Ready"), "Unknown"),
        created_at=received if created_at is None else created_at,
        deleted=deleted,
        unschedulable=bool(node.spec.unschedulable),
        taints=tuple(sorted(_taint(taint) for taint in node.spec.taints or ())),
        conditions=conditions,
        labels=metadata.labels or {},
        allocatable=_allocatable(status.allocatable),
        capacity=_allocatable(status.capacity),
        boot_id=info.boot_id,
        kubelet_version=info.kubelet_version,
    )


def _taint(taint: Taint) -> str:
    """Return a taint as kubectl writes it: ``key=value:Effect``, ``key:Effect``."""
    value = f"={taint.value}" if taint.value else ""
    return f"{taint.key}{value}:{taint.effect}"


def _allocatable(amounts: NodeAmounts | None) -> Allocatable:
    if amounts is None:
        return Allocatable()
    return Allocatable(
        cpu=amount(amounts.cpu),
        memory=amount(amounts.memory),
        pods=amount(amounts.pods),
        ephemeral_storage=amount(amounts.ephemeral_storage),
    )

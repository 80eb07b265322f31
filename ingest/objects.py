"""The fields of Kubernetes' objects that are needed, as msgspec Structs; the rest is skipped.

Decoding a pod of 4.6 KB into these costs some 5 µs where the official client's typed path costs
455 µs. Whatever Kubernetes may leave out or write as ``null`` is optional here. Identity (name,
uid) is required: an object without it is no object. Pods are in `ingest.pod_objects`, samples in
`ingest.samples`, the desired state of workloads in `ingest.rollout`.

These Structs are trees that die with their fact, hence ``gc=False``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stream.errors import Rejected

Text = str | None  # a string, or none


class Raw(msgspec.Struct, rename="camel", gc=False):
    """Root of the raw objects: camelCase names, no garbage-collector tracking."""


class OwnerReference(Raw):
    """metadata.ownerReferences[]."""

    kind: str
    name: str
    uid: str = ""
    controller: bool | None = None


class ManagedFields(Raw):
    """metadata.managedFields[], without the fields themselves."""

    manager: str = ""
    operation: str = ""
    time: Text = None
    subresource: str = ""


class Metadata(Raw):
    """metadata of a watched object."""

    name: str
    uid: str
    namespace: str = ""
    resource_version: str = ""
    creation_timestamp: Text = None
    deletion_timestamp: Text = None
    labels: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None


class RawCondition(Raw):
    """status.conditions[] of pods, nodes and workloads."""

    type: str
    status: str
    reason: Text = None
    message: Text = None
    last_transition_time: Text = None


# ---- events -----------------------------------------------------------------------------------


class Reference(Raw):
    """involvedObject."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    field_path: str = ""


class Series(Raw):
    """series of an Event."""

    count: int | None = None
    last_observed_time: Text = None


class EventSource(Raw):
    """source of an Event."""

    component: str = ""
    host: str = ""


class Event(Raw):
    """core/v1 Event, and events.k8s.io/v1 where its names differ."""

    metadata: Metadata
    involved_object: Reference | None = None
    regarding: Reference | None = None
    reason: Text = None
    message: Text = None
    note: Text = None
    type: Text = None
    count: int | None = None
    deprecated_count: int | None = None
    first_timestamp: Text = None
    deprecated_first_timestamp: Text = None
    last_timestamp: Text = None
    deprecated_last_timestamp: Text = None
    event_time: Text = None
    series: Series | None = None
    source: EventSource | None = None
    deprecated_source: EventSource | None = None
    reporting_component: Text = None
    reporting_controller: Text = None
    reporting_instance: Text = None


# ---- nodes ------------------------------------------------------------------------------------


class Taint(Raw):
    """spec.taints[]."""

    key: str
    effect: str = ""
    value: Text = None


class NodeSpec(Raw):
    """spec of a node."""

    unschedulable: bool | None = None
    taints: list[Taint] | None = None


class NodeAmounts(msgspec.Struct, gc=False):
    """capacity and allocatable."""

    cpu: str | float | None = None
    memory: str | float | None = None
    pods: str | float | None = None
    ephemeral_storage: str | float | None = msgspec.field(name="ephemeral-storage", default=None)


class NodeInfo(msgspec.Struct, gc=False):
    """status.nodeInfo."""

    boot_id: str = msgspec.field(name="bootID", default="")
    kubelet_version: str = msgspec.field(name="kubeletVersion", default="")


class NodeStatus(Raw):
    """status of a node."""

    allocatable: NodeAmounts | None = None
    capacity: NodeAmounts | None = None
    conditions: list[RawCondition] | None = None
    node_info: NodeInfo | None = None


class Node(Raw):
    """core/v1 Node."""

    metadata: Metadata
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


# ---- the rest ---------------------------------------------------------------------------------


class ReplicaSet(Raw):
    """apps/v1 ReplicaSet: only whose it is."""

    metadata: Metadata


class LogTail(Raw):
    """The end of the log of a container that was restarted, redacted; ours, not Kubernetes'."""

    namespace: str
    pod: str
    uid: str
    container: str
    text: str


class Written(Raw):
    """Who wrote a workload, by the cluster's audit; ours, not Kubernetes'."""

    resource: str
    name: str
    user: str
    time: str
    namespace: str = ""
    verb: str = ""


class Version(Raw):
    """object of a BOOKMARK, or whatever else has only metadata."""

    metadata: Metadata | None = None


class Status(Raw):
    """object of an ERROR.

    A source of ours that knows since when it missed something says so as ``details.since``, Unix
    seconds; the API server has no such field.
    """

    code: int = 0
    reason: Text = None
    details: Any = None


def identify(metadata: Metadata) -> None:
    """Check that an object says which one it is.

    Raises
    ------
    Rejected
        Its name or uid is empty.
    """
    if not metadata.name or not metadata.uid:
        missing = "metadata.uid" if metadata.name else "metadata.name"
        raise Rejected(f"the object has no {missing}: it cannot be told from others")


READ_ERRORS: Final = (ValueError, RecursionError)  # all that msgspec raises on bad bytes

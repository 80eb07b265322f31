"""A raw Deployment, StatefulSet or DaemonSet → `DeploymentChange`: what changed, by whom, how far.

Compared is the desired state: spec, labels and annotations. What Kubernetes and kubectl write by
themselves is noise: status, resourceVersion, managedFields and generation are never compared,
kubectl's last-applied copy and the controllers' bookkeeping (`NOISE`) are left out.

Guaranteed: an operation's old value is what was there at the last fact of this uid; a change of
status alone gives a record only where replicas or the rollout's outcome changed. Memory is the spec
of each workload as bytes (some KB) and its last record, until it is deleted. Left to others:
duplicates (`ingest.normalise`), correlating a change with what follows it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from pydantic import Field

from ingest.diff import difference
from ingest.objects import ManagedFields, Metadata, Raw, identify
from ingest.rollout import RolloutSpec, RolloutStatus, Shape, read_spec, shape_of
from ingest.times import observed_at, seconds
from stream.records import DeploymentChange, ObjectRef, Operation

REVISION: Final = "deployment.kubernetes.io/revision"
CHANGE_CAUSE: Final = "kubernetes.io/change-cause"
_DAEMONSET_REVISION: Final = "deprecated.daemonset.template.generation"
# Resources of which a change is told → their kind.
AUDITED: Final = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
}
# Annotations that controllers and kubectl write on their own.
NOISE: Final = frozenset(
    {
        REVISION,
        _DAEMONSET_REVISION,
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
        "deployment.kubernetes.io/revision-history",
        "autoscaling.alpha.kubernetes.io/conditions",
        "autoscaling.alpha.kubernetes.io/current-metrics",
    }
)
CAPACITY: Final = 50_000  # workloads; some 400 MB at 8 KB of spec each
# A watch without a list begins by calling everything ADDED; what is this much older was there.
_JUST_ADDED: Final = 120.0  # seconds

_REPLICAS: Final = "/spec/replicas"
_decode: Final = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class WorkloadSettings:
    """Which changes of Deployments, StatefulSets and DaemonSets are noise."""

    ignore: tuple[Annotated[str, Field(pattern=r"^(/[^/]+)+$")], ...] = ()
    """Fields that are never reported, with all below them: ``/spec/replicas``, or
    ``/metadata/annotations/example.com~1restarted-by``. What controllers and kubectl write by
    themselves is left out in any case: status, resourceVersion, managedFields, generation."""


Change = Literal["known", "added", "modified", "deleted"]


class WorkloadMetadata(Metadata):
    """metadata of a workload: also who wrote it."""

    generation: int = 0
    annotations: dict[str, str] | None = None
    managed_fields: list[ManagedFields] | None = None


class Workload(Raw):
    """apps/v1 Deployment, StatefulSet, DaemonSet."""

    metadata: WorkloadMetadata
    spec: msgspec.Raw
    status: RolloutStatus = msgspec.field(default_factory=RolloutStatus)


class Autoscaler(NamedTuple):
    """What scales a workload, by its name, and how far."""

    name: str
    most: int


class _Known(msgspec.Struct, gc=False):
    """A workload at its last fact."""

    spec: bytes
    labels: dict[str, str]
    annotations: dict[str, str]
    shape: Shape
    record: DeploymentChange | None = None  # that was made of it


class Workloads:
    """The workloads of one cluster as last seen.

    Some 6 µs a fact, 20 µs where the spec changed.

    Parameters
    ----------
    ignore
        Paths that are never reported, with what is below them: ``/spec/replicas``.
    """

    def __init__(self, *, ignore: frozenset[str] = frozenset(), capacity: int = CAPACITY) -> None:
        self._ignore = ignore
        self._capacity = capacity
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._uids: dict[ObjectRef, str] = {}
        self._autoscalers: dict[ObjectRef, Autoscaler] = {}

    def change(
        self, cluster: str, received: float, kind: str, word: str, workload: Workload
    ) -> DeploymentChange | None:
        """Return what this fact says anew, or None where it says nothing.

        Parameters
        ----------
        kind
            "Deployment", "StatefulSet" or "DaemonSet".
        word
            Type of the fact: "LIST", "ADDED", "MODIFIED" or "DELETED".

        Raises
        ------
        Rejected
            Name or uid are empty, or a time is none.
        """
        metadata, status = workload.metadata, workload.status
        identify(metadata)
        spec = read_spec(workload.spec)
        shape = shape_of(kind, metadata.generation, spec, status)
        kept = {
            name: value for name, value in (metadata.annotations or {}).items() if name not in NOISE
        }
        now = _Known(bytes(workload.spec), metadata.labels or {}, kept, shape)
        before = self._known.pop(metadata.uid, None)
        ref = ObjectRef(kind, metadata.namespace, metadata.name)
        if word != "DELETED":
            self._known[metadata.uid] = now
            self._uids[ref] = metadata.uid
            if len(self._known) > self._capacity:
                self._forget(self._known.popitem(last=False))
        elif before is not None:
            self._forget((metadata.uid, before))
        operations = self._operations(before, now) if before is not None else ()
        if word != "DELETED" and before is not None:
            if not operations and before.shape == shape:
                now.record = before.record
                return None
            said: Change = "modified"
        else:
            said = first_word(word, received, seconds(metadata.creation_timestamp))
        record = _record(cluster, received, ref, said, operations, workload, spec, shape)
        now.record = record = _scaled_by(record, self._autoscalers.get(ref))
        return record

    def lose(
        self, cluster: str, received: float, kind: str, metadata: Metadata
    ) -> DeploymentChange:
        """Return that a workload is gone, which nobody saw go: as it was, as far as known.

        Raises
        ------
        Rejected
            Name or uid are empty.
        """
        identify(metadata)
        known = self._known.pop(metadata.uid, None)
        if known is None or known.record is None:
            ref = ObjectRef(kind, metadata.namespace, metadata.name)
            return DeploymentChange(
                cluster, received, ref, metadata.uid, metadata.resource_version, "deleted"
            )
        self._forget((metadata.uid, known))
        return msgspec.structs.replace(
            known.record, at=received, type="deleted", operations=(), manager="", managed_at=None
        )

    def autoscale(
        self, ref: ObjectRef, scaler: Autoscaler | None, received: float
    ) -> DeploymentChange | None:
        """Note what scales a workload, None for nothing; return its record where that is news."""
        if self._autoscalers.get(ref) == scaler:
            return None
        if scaler is None:
            del self._autoscalers[ref]
        else:
            self._autoscalers[ref] = scaler
        known = self._known.get(self._uids.get(ref, ""))
        if known is None or known.record is None:
            return None
        again = msgspec.structs.replace(
            known.record,
            at=received,
            type="modified",
            operations=(),
            replicas_max=known.shape.most,
            autoscaler="",
        )
        known.record = again = _scaled_by(again, scaler)
        return again

    def specs(self, namespace: str) -> Iterator[tuple[ObjectRef, bytes]]:
        """Yield the workloads of a namespace with their raw specs."""
        for ref, uid in self._uids.items():
            if ref.namespace == namespace:
                yield ref, self._known[uid].spec

    def _forget(self, gone: tuple[str, _Known]) -> None:
        uid, known = gone
        ref = known.record.workload if known.record is not None else None
        if ref is not None and self._uids.get(ref) == uid:
            del self._uids[ref]

    def _operations(self, before: _Known, now: _Known) -> tuple[Operation, ...]:
        old: dict[str, Any] = {}
        new: dict[str, Any] = {}
        if before.labels != now.labels or before.annotations != now.annotations:
            old["metadata"] = {"labels": before.labels, "annotations": before.annotations}
            new["metadata"] = {"labels": now.labels, "annotations": now.annotations}
        if before.spec != now.spec:  # bytes: the API server's encoding is deterministic
            old["spec"], new["spec"] = _decode(before.spec), _decode(now.spec)
        return difference(old, new, self._ignore)


def _scaled_by(record: DeploymentChange, scaler: Autoscaler | None) -> DeploymentChange:
    if scaler is None:
        return record
    return msgspec.structs.replace(record, replicas_max=scaler.most, autoscaler=scaler.name)


def first_word(word: str, received: float, created_at: float | None) -> Change:
    """Return what the first fact of an object says, by its type and the object's age."""
    if word == "DELETED":
        return "deleted"
    if word == "MODIFIED":
        return "known"  # its history is not: a tape that begins in the middle
    old = created_at is not None and created_at < received - _JUST_ADDED
    return "known" if word == "LIST" or old else "added"


def _record(
    cluster: str,
    received: float,
    ref: ObjectRef,
    said: Change,
    operations: tuple[Operation, ...],
    workload: Workload,
    spec: RolloutSpec,
    shape: Shape,
) -> DeploymentChange:
    metadata, status = workload.metadata, workload.status
    annotations = metadata.annotations or {}
    who = author_of(metadata.managed_fields, operations)
    managed_at = seconds(who.time)
    proven = max(managed_at or 0.0, seconds(metadata.creation_timestamp) or 0.0)
    return DeploymentChange(
        cluster=cluster,
        at=observed_at(received, proven),
        workload=ref,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        type=said,
        operations=operations,
        generation=metadata.generation,
        observed_generation=status.observed_generation,
        revision=annotations.get(REVISION)
        or status.update_revision
        or annotations.get(_DAEMONSET_REVISION, ""),
        replicas_desired=shape.desired,
        replicas_actual=shape.actual,
        replicas_updated=shape.updated,
        replicas_ready=shape.ready,
        replicas_max=shape.most,
        manager=who.manager,
        manager_operation=who.operation,
        managed_at=managed_at,
        change_cause=annotations.get(CHANGE_CAUSE, ""),
        rollout=shape.rollout,
        images=spec.images(),
        subresource=who.subresource,
    )


def author_of(
    entries: list[ManagedFields] | None, operations: Sequence[Operation] = ()
) -> ManagedFields:
    """Return who wrote the desired state last: the newest entry that is not of the status.

    Writing through ``scale`` is how autoscalers and ``kubectl scale`` change replicas. The API
    server gives such an entry no time, and takes it away when somebody writes replicas otherwise;
    so where nothing but replicas has changed, who has such an entry has written them.
    """
    newest = ManagedFields()
    scaled = bool(operations) and all(each.path == _REPLICAS for each in operations)
    for entry in entries or ():
        if scaled and entry.subresource == "scale":
            return entry
        if entry.subresource == "status":
            continue
        if (entry.time or "") >= (newest.time or ""):  # RFC 3339 in UTC sorts as text
            newest = entry
    return newest

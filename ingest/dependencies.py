"""What workloads depend on beside their own spec: autoscalers, volume claims, ConfigMaps.

A change of one becomes a `DependencyChange` for each workload that it concerns: a
HorizontalPodAutoscaler its target, a PersistentVolumeClaim or ConfigMap every workload whose pod
template names it (volumes, projected volumes, ``env``, ``envFrom``, a StatefulSet's claim
templates). Compared are an autoscaler's spec, a claim's requests and whether it is lost, a
ConfigMap's hash; their status is no news, and a claim is made and removed with its pod.

Guaranteed: bounded memory. A change is looked up among the namespace's workloads, some 20 µs for
each that holds the name. Left to others: the hash (`ingest.digests`), duplicates
(`ingest.normalise`), what a change explains (`alerting.causes`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from ingest.diff import difference
from ingest.objects import Raw, Reference, Text, identify
from ingest.template_names import claims_in, configmaps_in
from ingest.times import observed_at, seconds
from ingest.workloads import Autoscaler, Change, WorkloadMetadata, Workloads, author_of, first_word
from stream.records import AnyInput, DependencyChange, ObjectRef, Operation

DEPENDENCIES: Final = {
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "configmaps": "ConfigMap",
}
CAPACITY: Final = 100_000  # objects, some 1 KB of spec at the most
_EMPTY: Final = msgspec.Raw(b"{}")
_decode: Final = msgspec.json.decode
_encode: Final = msgspec.json.encode


class DependencyStatus(Raw):
    """status of a claim."""

    phase: Text = None


class Dependency(Raw):
    """HorizontalPodAutoscaler, PersistentVolumeClaim, or a ConfigMap without its data."""

    metadata: WorkloadMetadata
    spec: msgspec.Raw = _EMPTY
    status: DependencyStatus | None = None
    digest: str = ""


class _Target(Raw):
    scale_target_ref: Reference
    max_replicas: int


class _Resources(Raw):
    requests: dict[str, str] | None = None


class _Claim(Raw):
    resources: _Resources | None = None


class _Known(msgspec.Struct, gc=False):
    """A dependency at its last fact."""

    state: bytes
    target: ObjectRef | None


class Dependencies:
    """The dependencies of one cluster's workloads as last seen."""

    def __init__(self, workloads: Workloads, *, capacity: int = CAPACITY) -> None:
        self._workloads = workloads
        self._capacity = capacity
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def change(
        self, cluster: str, received: float, kind: str, word: str, item: Dependency
    ) -> list[AnyInput]:
        """Return what this fact says anew; mostly nothing.

        An autoscaler that comes, goes or moves its maximum also has its workload said again, with
        the new ``replicas_max``.

        Parameters
        ----------
        kind
            One of `DEPENDENCIES`.
        word
            Type of the fact: "LIST", "ADDED", "MODIFIED" or "DELETED".

        Raises
        ------
        Rejected
            Name or uid are empty, or a time is none.
        ValueError
            Its spec cannot be read.
        """
        metadata = item.metadata
        identify(metadata)
        before = self._known.get(metadata.uid)
        if word == "DELETED":
            if before is None:
                return []
            now = None
            del self._known[metadata.uid]
        else:
            now = _seen(kind, item)
            self._known[metadata.uid] = now
            self._known.move_to_end(metadata.uid)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        targets = dict.fromkeys(
            each.target for each in (before, now) if each is not None and each.target is not None
        )
        found: list[AnyInput] = []
        for target in targets:
            scaler = None
            if now is not None and now.target == target:
                scaler = Autoscaler(metadata.name, _most(item))
            again = self._workloads.autoscale(target, scaler, received)
            found += [] if again is None else [again]
        change = _change(cluster, received, kind, word, item, before, now)
        if change is None:
            return found
        users = targets or self._users(kind, metadata.namespace, metadata.name)
        return [*found, *(msgspec.structs.replace(change, workload=user) for user in users)]

    def _users(self, kind: str, namespace: str, name: str) -> Iterator[ObjectRef]:
        for ref, spec in self._workloads.specs(namespace):
            # A claim of a StatefulSet does not stand in its spec as a whole.
            if ref.kind == "StatefulSet" or name.encode() in spec:
                if kind == "ConfigMap":
                    used = name in configmaps_in(spec)
                else:
                    used = any(each.fullmatch(name) for each in claims_in(ref, spec))
                if used:
                    yield ref


def _seen(kind: str, item: Dependency) -> _Known:
    match kind:
        case "HorizontalPodAutoscaler":
            to = _read_target(item.spec).scale_target_ref
            target = ObjectRef(to.kind, item.metadata.namespace, to.name)
            return _Known(b'{"spec":%b}' % bytes(item.spec), target)
        case "PersistentVolumeClaim":
            resources = _read_claim(item.spec).resources
            lost = item.status is not None and item.status.phase == "Lost"
            asked = {"requests": (resources.requests if resources is not None else None) or {}}
            status = {"phase": "Lost" if lost else "Bound"}  # waiting for its first pod is no loss
            return _Known(_encode({"spec": {"resources": asked}, "status": status}), None)
        case _:
            return _Known(_encode({"data": item.digest}), None)


def _most(item: Dependency) -> int:
    return _read_target(item.spec).max_replicas


def _change(
    cluster: str,
    received: float,
    kind: str,
    word: str,
    item: Dependency,
    before: _Known | None,
    now: _Known | None,
) -> DependencyChange | None:
    """Return what is to be said, still of no workload."""
    metadata = item.metadata
    created = seconds(metadata.creation_timestamp)
    operations: tuple[Operation, ...] = ()
    said: Change
    if before is None:
        said = first_word(word, received, created)
    elif now is None:
        said = "deleted"
    else:
        said = "modified"
        if now.state != before.state:
            operations = difference(_decode(before.state), _decode(now.state))
    if said == "known" or (said == "modified" and not operations):
        return None
    if kind == "PersistentVolumeClaim" and said != "modified":
        return None
    who = author_of(metadata.managed_fields)
    written = max(seconds(who.time) or 0.0, created or 0.0)
    return DependencyChange(
        cluster=cluster,
        at=received if said == "deleted" else observed_at(received, written),
        workload=ObjectRef("", "", ""),
        object=ObjectRef(kind, metadata.namespace, metadata.name),
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        type=said,
        operations=operations,
        manager=who.manager,
    )


_read_target: Final = msgspec.json.Decoder(_Target).decode
_read_claim: Final = msgspec.json.Decoder(_Claim).decode

"""Facts → records: the one path that a tape and a live cluster share.

A `Normaliser` remembers per cluster what joins facts (`ingest.memory`) and drops what was said
before. Rules:

- Same uid at the same resourceVersion, or the same sample of a node again: a duplicate. Versions
  are compared for equality only, as Kubernetes promises no more before 1.35.
- A fact whose `at` runs back is late: counted, and used as it is.
- LIST resets nothing: what is known and unchanged is a duplicate, what changed is MODIFIED.
- DELETED gives a record with ``deleted=True`` and the object's last state. Where a comparison with
  a list found it gone, the fact has metadata alone, and the state is what was known; of an Event,
  which expires, that says nothing.
- BOOKMARK gives nothing. ERROR gives a `Gap` since what it says itself, else since the last fact of
  that resource: 410 means "expired", anything else goes by its own reason.

Guaranteed: records are a function of the facts alone, in order; `feed` raises nothing but
`Rejected`, for the one object that it was given, and leaves its memory whole. Bounded memory. Left
to others: places and dead letters, ticks (`ingest.intake`), the bus.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec

from ingest.dependencies import DEPENDENCIES, Dependency
from ingest.events import event_record, reference_of
from ingest.facts import KINDS, Fact
from ingest.memory import Memory, Stats
from ingest.nodes import node_record
from ingest.objects import (
    READ_ERRORS,
    Event,
    LogTail,
    Metadata,
    Node,
    Raw,
    ReplicaSet,
    Status,
    Written,
    identify,
)
from ingest.owners import root_of_pod, root_of_reference, root_of_replicaset
from ingest.pod_objects import Pod
from ingest.pods import pod_record
from ingest.reading import AnyFact
from ingest.redact import redact
from ingest.samples import Metrics, Summary
from ingest.seen import PodSeen
from ingest.times import seconds
from ingest.usage import metrics_record, number, summary_record
from ingest.workloads import AUDITED, Workload
from stream.errors import Rejected
from stream.records import (
    AnyInput,
    Gap,
    NodeMetricsRecord,
    ObjectRef,
    PodRecord,
    RecentEvent,
)

_NO_SPEC: Final = msgspec.Raw(b"")
_GONE: Final = 410  # HTTP: the wanted resourceVersion is no longer kept

_T = TypeVar("_T")


class Normaliser:
    """Turns facts into records, in order.

    Parameters
    ----------
    ignore
        Paths of workloads whose changes are never reported, such as ``/spec/replicas``.
    events
        Newest Events of a pod that its record carries beside a restart.

    Attributes
    ----------
    stats
        Counts by resource.
    """

    def __init__(self, *, ignore: frozenset[str] = frozenset(), events: int = 0) -> None:
        self._ignore = ignore
        self._events = events
        self._clusters: dict[str, Memory] = {}
        self.stats: dict[str, Stats] = {kind: Stats() for kind in KINDS}

    def feed(self, fact: AnyFact) -> list[AnyInput]:
        """Return the records that this fact gives: none or one; of a dependency one per workload.

        Some 6 µs for a pod of 5 KB that is read already, 3 µs for an Event.

        Raises
        ------
        Rejected
            The object cannot be read; nothing was remembered of it.
        """
        cluster = self._clusters.get(fact.cluster)
        if cluster is None:
            cluster = self._clusters[fact.cluster] = Memory(
                ignore=self._ignore, events=self._events
            )
        stats = self.stats[fact.resource]
        stats.seen += 1
        if fact.at < cluster.newest:
            stats.late += 1
        else:
            cluster.newest = fact.at
            cluster.seen.expire(fact.at)
        try:
            found = self._record(cluster, fact, stats)
        except Rejected:
            stats.rejected += 1
            raise
        cluster.heard[fact.resource] = fact.at
        if found is None:
            return []
        records = found if isinstance(found, list) else [found]
        stats.records += len(records)
        return records

    def _record(self, cluster: Memory, fact: AnyFact, stats: Stats) -> _Found:
        if fact.type == "BOOKMARK":
            return None
        if fact.type == "ERROR":
            return _gap(cluster, fact)
        return _READERS[fact.resource](cluster, fact, stats)


def _read(decode: Callable[[msgspec.Raw], _T], fact: AnyFact) -> _T:
    content: Any = fact.object
    if type(content) is not msgspec.Raw:
        return cast(_T, content)  # `ingest.reading` has read it into the same Struct
    try:
        return decode(content)
    except READ_ERRORS as error:
        raise Rejected(f"not an object of {fact.resource}: {error}") from error


def _version(metadata: Metadata, fact: AnyFact) -> str:
    """Return what tells two facts of one object apart, "" where nothing does."""
    version = metadata.resource_version
    # A deletion may carry the version of the last change.
    return f"{version} deleted" if version and fact.type == "DELETED" else version


class _Bare(Raw):
    """An object of which only metadata is left, if that."""

    metadata: Metadata
    spec: msgspec.Raw = _NO_SPEC


def _bare(fact: AnyFact) -> Metadata | None:
    """Return the metadata of a deletion that carries nothing else."""
    if fact.type != "DELETED" or type(fact.object) is not msgspec.Raw:
        return None
    bare = _read(_read_bare, fact)
    return None if bytes(bare.spec) else bare.metadata


def _lost_pod(cluster: Memory, fact: AnyFact, metadata: Metadata, stats: Stats) -> AnyInput | None:
    identify(metadata)
    version = _version(metadata, fact)
    if cluster.knows(metadata.uid, version):
        stats.duplicates += 1
        return None
    pod = cluster.seen.owned_pod(metadata.uid) or PodSeen(
        metadata.uid,
        metadata.namespace,
        metadata.name,
        root_of_pod(metadata, cluster.seen),
        version=metadata.resource_version,
    )
    pod = msgspec.structs.replace(pod, deleted=True)
    cluster.remember(metadata.uid, version)
    cluster.seen.saw_pod(pod, fact.at)
    cluster.recent.forget(metadata.uid)
    return _as_seen(fact, pod)


def _as_seen(
    fact: AnyFact, pod: PodSeen, log_tail: str = "", events: tuple[RecentEvent, ...] = ()
) -> PodRecord:
    return PodRecord(
        fact.cluster,
        fact.at,
        pod.namespace,
        pod.name,
        pod.uid,
        pod.version,
        pod.workload,
        pod.node,
        pod.phase,
        pod.created_at,
        pod.containers,
        pod.deleted,
        log_tail=log_tail,
        events=events,
    )


def _pod(cluster: Memory, fact: AnyFact, stats: Stats) -> AnyInput | None:
    if (lost := _bare(fact)) is not None:
        return _lost_pod(cluster, fact, lost, stats)
    pod = _read(_read_pod, fact)
    metadata = pod.metadata
    version = _version(metadata, fact)
    if cluster.knows(metadata.uid, version):
        stats.duplicates += 1
        return None
    deleted = fact.type == "DELETED"
    known = cluster.seen.owned_pod(metadata.uid)
    workload = known.workload if known is not None else root_of_pod(metadata, cluster.seen)
    record = pod_record(fact.cluster, fact.at, pod, workload, deleted=deleted)
    if deleted:
        cluster.recent.forget(record.uid)
    elif cluster.recent and known is not None and _restarts(record) > _restarts(known):
        events = cluster.recent.of(record.uid, record.at)
        record = msgspec.structs.replace(record, events=events)
    cluster.remember(metadata.uid, version)
    cluster.seen.saw_pod(
        PodSeen(
            record.uid,
            record.namespace,
            record.pod,
            workload,
            record.node,
            record.containers,
            deleted,
            record.resource_version,
            record.phase,
            record.created_at,
        ),
        fact.at,
    )
    return record


def _restarts(pod: PodRecord | PodSeen) -> int:
    return sum(each.restarts for each in pod.containers)


def _event(cluster: Memory, fact: AnyFact, stats: Stats) -> AnyInput | None:
    event = _read(_read_event, fact)
    metadata = event.metadata
    if fact.type == "DELETED" and event.involved_object is None and event.regarding is None:
        return None  # found gone by comparison: whose it was is not known, and it says nothing
    version = _version(metadata, fact)
    if cluster.knows(metadata.uid, version):
        stats.duplicates += 1
        return None
    node = event.source.host if event.source is not None else ""
    reference = reference_of(event)
    workload = root_of_reference(reference, cluster.seen, node)
    deleted = fact.type == "DELETED"
    record = event_record(fact.cluster, fact.at, event, workload, deleted=deleted)
    if reference.kind == "Pod":
        cluster.recent.note(reference.uid, record)
    cluster.remember(metadata.uid, version)
    return record


def _node(cluster: Memory, fact: AnyFact, stats: Stats) -> AnyInput | None:
    node = _read(_read_node, fact)
    metadata = node.metadata
    version = _version(metadata, fact)
    if cluster.knows(metadata.uid, version):
        stats.duplicates += 1
        return None
    deleted = fact.type == "DELETED"
    record = node_record(fact.cluster, fact.at, node, deleted=deleted)
    cluster.remember(metadata.uid, version)
    cluster.seen.saw_node(record.node, record.allocatable, record.capacity, deleted=deleted)
    return record


def _workload(kind: str) -> _Reader:
    def read(cluster: Memory, fact: AnyFact, stats: Stats) -> _Found:
        lost = _bare(fact)
        told = lost if lost is not None else _read(_read_workload, fact)
        metadata = told.metadata if isinstance(told, Workload) else told
        version = _version(metadata, fact)
        if cluster.knows(metadata.uid, version):
            stats.duplicates += 1
            return None
        workloads = cluster.workloads
        try:
            if isinstance(told, Workload):
                record = workloads.change(fact.cluster, fact.at, kind, fact.type, told)
            else:
                record = workloads.lose(fact.cluster, fact.at, kind, told)
        except READ_ERRORS as error:  # its spec is read in there
            raise Rejected(f"not an object of {fact.resource}: {error}") from error
        cluster.remember(metadata.uid, version)
        return None if record is None else cluster.authors.sign(record)

    return read


def _dependency(kind: str) -> _Reader:
    def read(cluster: Memory, fact: AnyFact, stats: Stats) -> _Found:
        item = _read(_read_dependency, fact)
        version = _version(item.metadata, fact)
        if cluster.knows(item.metadata.uid, version):
            stats.duplicates += 1
            return None
        try:
            found = cluster.dependencies.change(fact.cluster, fact.at, kind, fact.type, item)
        except READ_ERRORS as error:  # its spec is read in there
            raise Rejected(f"not an object of {fact.resource}: {error}") from error
        cluster.remember(item.metadata.uid, version)
        return found

    return read


def _written(cluster: Memory, fact: AnyFact, stats: Stats) -> AnyInput | None:
    said = _read(_read_written, fact)
    kind = AUDITED.get(said.resource)
    at = seconds(said.time)
    if kind is None or at is None:
        raise Rejected(f"not an audit event of a workload: {said.resource} at {said.time!r}")
    workload = ObjectRef(kind, said.namespace, said.name)
    return cluster.authors.note(workload, said.user, at, fact.at)


def _replicaset(cluster: Memory, fact: AnyFact, stats: Stats) -> AnyInput | None:
    metadata = _read(_read_replicaset, fact).metadata
    identify(metadata)
    version = _version(metadata, fact)
    if cluster.knows(metadata.uid, version):
        stats.duplicates += 1
        return None
    root = root_of_replicaset(metadata)
    cluster.seen.saw_replicaset(metadata.uid, root, fact.at, deleted=fact.type == "DELETED")
    cluster.remember(metadata.uid, version)
    return None


def _summary(cluster: Memory, fact: AnyFact, stats: Stats) -> AnyInput | None:
    summary = _read(_read_summary, fact)
    record = summary_record(fact.cluster, fact.at, summary, fact.node, cluster.seen)
    return _unless_repeated(cluster, record, f"summary {record.node}", stats)


def _metrics(cluster: Memory, fact: AnyFact, stats: Stats) -> AnyInput | None:
    metrics = _read(_read_metrics, fact)
    record = metrics_record(fact.cluster, fact.at, metrics, fact.node, cluster.seen)
    what = f"metrics {metrics.metadata.namespace}/{metrics.metadata.name}"
    return _unless_repeated(cluster, record, what, stats)


def _log(cluster: Memory, fact: AnyFact, stats: Stats) -> AnyInput | None:
    tail = _read(_read_log, fact)
    pod = cluster.seen.owned_pod(tail.uid)
    if pod is None:
        return None  # gone meanwhile, and with it whom the log would explain
    return _as_seen(fact, pod, redact(tail.text), cluster.recent.of(pod.uid, fact.at))


def _unless_repeated(
    cluster: Memory, record: NodeMetricsRecord, what: str, stats: Stats
) -> NodeMetricsRecord | None:
    version = repr(record.at)  # a sample has no version but its time
    if cluster.knows(what, version):
        stats.duplicates += 1
        return None
    cluster.remember(what, version)
    return record


def _gap(cluster: Memory, fact: AnyFact) -> Gap:
    status = Status()  # that something was missed is known, whatever can be read of it
    if isinstance(fact, Fact):
        with suppress(Rejected):
            status = _read(_read_status, fact)
    reason = "expired" if status.code == _GONE else (status.reason or "error").lower()
    said = number(status.details.get("since")) if isinstance(status.details, dict) else None
    since = cluster.heard.get(fact.resource, fact.at) if said is None else said
    return Gap(fact.cluster, fact.at, fact.resource, min(since, fact.at), reason)


_Found: TypeAlias = AnyInput | list[AnyInput] | None
_Reader: TypeAlias = Callable[[Memory, AnyFact, Stats], _Found]
_READERS: Final[dict[str, _Reader]] = {
    "pods": _pod,
    "events": _event,
    "nodes": _node,
    "deployments": _workload("Deployment"),
    "statefulsets": _workload("StatefulSet"),
    "daemonsets": _workload("DaemonSet"),
    "replicasets": _replicaset,
    **{resource: _dependency(kind) for resource, kind in DEPENDENCIES.items()},
    "summary": _summary,
    "metrics": _metrics,
    "logs": _log,
    "audit": _written,
}

_read_bare: Final = msgspec.json.Decoder(_Bare).decode
_read_pod: Final = msgspec.json.Decoder(Pod).decode
_read_event: Final = msgspec.json.Decoder(Event).decode
_read_node: Final = msgspec.json.Decoder(Node).decode
_read_workload: Final = msgspec.json.Decoder(Workload).decode
_read_dependency: Final = msgspec.json.Decoder(Dependency).decode
_read_replicaset: Final = msgspec.json.Decoder(ReplicaSet).decode
_read_summary: Final = msgspec.json.Decoder(Summary).decode
_read_metrics: Final = msgspec.json.Decoder(Metrics).decode
_read_log: Final = msgspec.json.Decoder(LogTail).decode
_read_written: Final = msgspec.json.Decoder(Written).decode
_read_status: Final = msgspec.json.Decoder(Status).decode

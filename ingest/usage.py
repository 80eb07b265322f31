"""Kubelet summaries and metrics.k8s.io items → `NodeMetricsRecord`.

Joined with what was seen of the cluster: allocatable and capacity of the node, limits and root
owner of each container. Event time is the newest ``time`` of the node's own samples (a pod's
``timestamp``), for a kubelet may answer with a sample that is a minute old; where there is none, or
it is more than `ingest.times.CLOCK_SKEW` ahead, when it was heard.

Guaranteed: NaN, infinite, negative, null, missing and mistyped numbers are None, each by itself,
and never an error. Left to others: resampling and forecasting (operators).
"""

from __future__ import annotations

import math
from typing import Any, Final

from ingest.objects import Reference
from ingest.owners import root_of_reference
from ingest.quantity import quantity
from ingest.samples import (
    ContainerStats,
    CpuStats,
    FsStats,
    MemoryStats,
    Metrics,
    PodReference,
    PodStats,
    RlimitStats,
    Summary,
    Usage,
)
from ingest.seen import PodSeen, Seen
from ingest.times import CLOCK_SKEW, seconds_or_none
from stream.errors import Rejected
from stream.records import (
    Allocatable,
    ContainerUsage,
    Filesystem,
    NodeMetricsRecord,
    ObjectRef,
    VolumeUsage,
)

_NO_CPU: Final = CpuStats()
_NO_MEMORY: Final = MemoryStats()
_NO_FS: Final = FsStats()
_NO_RLIMIT: Final = RlimitStats()
_UNKNOWN: Final = (Allocatable(), Allocatable())
_NANO: Final = 1e9  # a divisor: 250_000_000 / 1e9 is the float that people write as 0.25


def summary_record(
    cluster: str, received: float, summary: Summary, node: str, seen: Seen
) -> NodeMetricsRecord:
    """Return the record of one summary. About 2 µs for each container.

    Parameters
    ----------
    node
        Where it was scraped; the document's own word counts where it is "".

    Raises
    ------
    Rejected
        Neither names the node.
    """
    stats = summary.node
    node = node or stats.node_name
    if not node:
        raise Rejected("the summary names no node: set `node` beside the object")
    cpu = stats.cpu or _NO_CPU
    memory = stats.memory or _NO_MEMORY
    fs = stats.fs or _NO_FS
    rlimit = stats.rlimit or _NO_RLIMIT
    image_fs = stats.runtime.image_fs if stats.runtime is not None else None
    containers: list[ContainerUsage] = []
    volumes: list[VolumeUsage] = []
    for pod in summary.pods or ():
        known = seen.pod(pod.pod_ref.uid, pod.pod_ref.namespace, pod.pod_ref.name)
        workload = _workload(known, pod.pod_ref, node, seen)
        containers.extend(_container(pod, each, known, workload) for each in pod.containers or ())
        volumes.extend(_volumes(pod, workload))
    allocatable, capacity = seen.node(node) or _UNKNOWN
    return NodeMetricsRecord(
        cluster=cluster,
        at=_sampled_at(received, memory.time, cpu.time, fs.time),
        node=node,
        cpu=_scaled(cpu.usage_nano_cores),
        memory=number(memory.working_set_bytes),
        memory_available=number(memory.available_bytes),
        filesystem=_filesystem(stats.fs),
        image_filesystem=_filesystem(image_fs),
        pids=number(rlimit.curproc),
        pids_max=number(rlimit.maxpid),
        pods=None if summary.pods is None else float(len(summary.pods)),
        allocatable=allocatable,
        capacity=capacity,
        volumes=tuple(volumes),
        containers=tuple(containers),
    )


def metrics_record(
    cluster: str, received: float, metrics: Metrics, node: str, seen: Seen
) -> NodeMetricsRecord:
    """Return the record of one NodeMetrics or PodMetrics: cpu and memory only, no disk.

    Raises
    ------
    Rejected
        It is of a pod whose node neither the fact nor the pod seen names.
    """
    name, namespace = metrics.metadata.name, metrics.metadata.namespace
    usage = Usage()
    containers: tuple[ContainerUsage, ...] = ()
    if metrics.containers is None:
        node = name
        usage = metrics.usage or usage
    else:
        known = seen.pod("", namespace, name)
        node = node or (known.node if known is not None else "")
        workload = _workload(known, PodReference(name, namespace), node, seen)
        containers = tuple(
            _usage(
                namespace,
                name,
                each.name,
                workload,
                known,
                amount_or_none(each.usage.memory),
                amount_or_none(each.usage.cpu),
                None,
            )
            for each in metrics.containers
        )
    if not node:
        raise Rejected(
            f"the sample of pod {namespace}/{name} names no node and the pod was not seen: "
            "set `node` beside the object, or record pods too"
        )
    allocatable, capacity = seen.node(node) or _UNKNOWN
    return NodeMetricsRecord(
        cluster=cluster,
        at=_sampled_at(received, metrics.timestamp),
        node=node,
        cpu=amount_or_none(usage.cpu),
        memory=amount_or_none(usage.memory),
        allocatable=allocatable,
        capacity=capacity,
        containers=containers,
        source="metrics",
    )


def number(value: Any) -> float | None:
    """Return a sample's number, or None for whatever cannot be one."""
    if type(value) not in (int, float):  # bool is an int, and no measurement
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if 0 <= value < math.inf else None


def amount_or_none(value: Any) -> float | None:
    """Return a sample's quantity, or None for whatever cannot be one."""
    if not isinstance(value, str):
        return number(value)
    try:
        return number(quantity(value))
    except Rejected:
        return None


def _scaled(nano_cores: Any) -> float | None:
    value = number(nano_cores)
    return None if value is None else value / _NANO


def _sampled_at(received: float, *times: Any) -> float:
    newest = max((at for at in map(seconds_or_none, times) if at is not None), default=received)
    return received if newest > received + CLOCK_SKEW else newest


def _workload(known: PodSeen | None, pod: PodReference, node: str, seen: Seen) -> ObjectRef:
    if known is not None:
        return known.workload
    return root_of_reference(Reference("Pod", pod.namespace, pod.name), seen, node)


def _container(
    pod: PodStats, stats: ContainerStats, known: PodSeen | None, workload: ObjectRef
) -> ContainerUsage:
    memory = stats.memory.working_set_bytes if stats.memory is not None else None
    cpu = stats.cpu.usage_nano_cores if stats.cpu is not None else None
    return _usage(
        pod.pod_ref.namespace,
        pod.pod_ref.name,
        stats.name,
        workload,
        known,
        number(memory),
        _scaled(cpu),
        seconds_or_none(stats.start_time),
    )


def _usage(
    namespace: str,
    pod: str,
    container: str,
    workload: ObjectRef,
    known: PodSeen | None,
    memory: float | None,  # bytes
    cpu: float | None,  # cores
    started_at: float | None,
) -> ContainerUsage:
    spec = known.container(container) if known is not None else None
    memory_limit, cpu_limit = (spec.memory_limit, spec.cpu_limit) if spec else (None, None)
    return ContainerUsage(
        namespace, pod, container, workload, memory, memory_limit, cpu, cpu_limit, started_at
    )


def _volumes(pod: PodStats, workload: ObjectRef) -> list[VolumeUsage]:
    return [
        VolumeUsage(
            volume.pvc_ref.namespace or pod.pod_ref.namespace,
            volume.pvc_ref.name,
            workload,
            _filesystem(volume) or Filesystem(None, None),
        )
        for volume in pod.volume or ()
        if volume.pvc_ref is not None and volume.pvc_ref.name
    ]


def _filesystem(fs: FsStats | None) -> Filesystem | None:
    if fs is None:
        return None
    used, free = number(fs.inodes_used), number(fs.inodes_free)
    inodes = number(fs.inodes)
    if used is None and inodes is not None and free is not None:
        used = max(0.0, inodes - free)  # some file systems are told by what is free only
    return Filesystem(
        number(fs.used_bytes), number(fs.capacity_bytes), number(fs.available_bytes), used, inodes
    )

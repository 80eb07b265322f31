"""The fields of kubelet summaries and metrics.k8s.io items that are needed, as msgspec Structs.

A number of a sample is `Any`: null, a string or a huge integer in one place must not cost the
document, so `ingest.usage` judges each number by itself. Unknown fields are skipped.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.objects import Raw

Number = Any  # a number as it should be; anything as it may come
When = Any  # an RFC 3339 string as it should be


class CpuStats(Raw):
    """cpu of a node, pod or container."""

    time: When = None
    usage_nano_cores: Number = None


class MemoryStats(Raw):
    """memory of a node, pod or container."""

    time: When = None
    available_bytes: Number = None
    working_set_bytes: Number = None


class FsStats(Raw):
    """fs of a node, imageFs, volume."""

    time: When = None
    available_bytes: Number = None
    capacity_bytes: Number = None
    used_bytes: Number = None
    inodes: Number = None
    inodes_free: Number = None
    inodes_used: Number = None


class ClaimReference(Raw):
    """pvcRef of a volume."""

    name: str = ""
    namespace: str = ""


class VolumeStats(FsStats):
    """volume[] of a pod."""

    pvc_ref: ClaimReference | None = None


class ContainerStats(Raw):
    """containers[] of a pod."""

    name: str
    start_time: When = None
    cpu: CpuStats | None = None
    memory: MemoryStats | None = None


class PodReference(Raw):
    """podRef."""

    name: str
    namespace: str = ""
    uid: str = ""


class PodStats(Raw):
    """pods[] of a summary."""

    pod_ref: PodReference
    containers: list[ContainerStats] | None = None
    volume: list[VolumeStats] | None = None


class RuntimeStats(Raw):
    """node.runtime."""

    image_fs: FsStats | None = None


class RlimitStats(Raw):
    """node.rlimit: process ids."""

    maxpid: Number = None
    curproc: Number = None


class NodeStats(Raw):
    """node of a summary."""

    node_name: str = ""
    cpu: CpuStats | None = None
    memory: MemoryStats | None = None
    fs: FsStats | None = None
    runtime: RuntimeStats | None = None
    rlimit: RlimitStats | None = None


class Summary(Raw):
    """A kubelet's /stats/summary."""

    node: NodeStats
    pods: list[PodStats] | None = None


class Usage(Raw):
    """usage of metrics.k8s.io, as quantities."""

    cpu: Number = None
    memory: Number = None


class ContainerMetrics(Raw):
    """containers[] of PodMetrics."""

    name: str
    usage: Usage = msgspec.field(default_factory=Usage)


class MetricsMetadata(Raw):
    """metadata of NodeMetrics and PodMetrics; they have no uid."""

    name: str
    namespace: str = ""


class Metrics(Raw):
    """NodeMetrics, or PodMetrics where there are containers."""

    metadata: MetricsMetadata
    timestamp: When = None
    usage: Usage | None = None
    containers: list[ContainerMetrics] | None = None

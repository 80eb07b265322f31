"""From one scrape of a node to the series that can run full, each with the limit that binds.

A series is a number, the size that it is a share of, and the share at which trouble starts:

- node memory against the kubelet's eviction threshold (``memory.available`` below 100 MiB);
- node and image disk against ``nodefs.available`` < 10 % and ``imagefs.available`` < 15 %, counted
  by what is *available*, as the kubelet counts; image collection promises to hold images at 85 %,
  so nothing is foreseen there while it does; inodes against 5 % free;
- PIDs, pod slots and cpu against what the node has;
- volumes' bytes and inodes against all of it; a container's memory against its own limit.

Capacity is read with every sample, so a resize changes the share and never looks like growth. A
number without its limit makes no series. Nothing here keeps state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from stream.operators.bounds import Odds, Percent, Quantity, Seconds
from stream.records import ContainerUsage, Filesystem, NodeMetricsRecord, ObjectRef

MIB: Final = 2.0**20
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class GrowthSettings:
    """Where limits bind and when it is worth a word."""

    memory_eviction: Quantity = 100 * MIB
    """Bytes of node memory that must stay available (kubelet ``evictionHard``)."""
    disk_limit: Percent = 90.0
    """Percent of the node's file system at which the kubelet evicts."""
    image_disk_limit: Percent = 85.0
    """Percent of the image file system at which the kubelet evicts."""
    image_gc: Percent | None = 85.0
    """Percent at which image collection sets in (``imageGCHighThresholdPercent``); None: never."""
    image_gc_share: Percent = 30.0
    """Percent of a disk shared with the node that images must hold for the promise to count."""
    inode_limit: Percent = 95.0
    """Percent of a node's inodes at which the kubelet evicts."""
    cpu_warning: Percent | None = 70.0
    """`node-cpu-high` from so many percent of the allocatable; None: no such rule."""
    cpu_critical: Percent = 90.0
    memory_warning: Percent | None = 70.0
    """`node-memory-high`, percent of the allocatable."""
    memory_critical: Percent = 90.0
    disk_warning: Percent | None = 70.0
    """`node-disk-high`, percent of the capacity."""
    disk_critical: Percent = 90.0
    pods_warning: Percent | None = 80.0
    """`node-pods-high`, percent of the pod slots."""
    high_after: Seconds = 5 * _MINUTE
    """Seconds that a value must stay above a fixed threshold before it is said."""
    high_margin: Percent = 5.0
    """Percentage points below the threshold at which it is taken back."""
    critical_hours: Quantity = 4.0
    """A predicted exhaustion becomes critical when the median time left is shorter."""
    critical_odds: Odds = 0.9
    """… and the odds of a crossing within a day are at least this."""
    repeat: Seconds = 6 * _HOUR
    """Seconds after which a finding that goes on is said again, with the new forecast."""
    quiet: Seconds = 6 * _HOUR
    """Seconds between forecasts of a series that heads nowhere."""
    point_every: Seconds = _MINUTE
    """Seconds between two points of one series in the time-series store."""
    gone_after: Seconds = 30 * _MINUTE
    """Seconds without a sample after which a firing finding is resolved."""

    def __post_init__(self) -> None:
        for name in ("cpu", "memory", "disk"):
            warning, critical = getattr(self, f"{name}_warning"), getattr(self, f"{name}_critical")
            if warning is not None and critical < warning:
                raise ValueError(f"{name}_critical ({critical:g}) is below {name}_warning")


class Kind(NamedTuple):
    """What all series of one resource have in common."""

    resource: str
    rule: str  # of the predicted exhaustion
    unit: str
    noun: str  # for sentences
    why: str  # why this limit binds
    minor: bool = False  # saturation degrades, it does not break


MEMORY: Final = Kind(
    "memory",
    "node-memory-exhaustion",
    "bytes",
    "memory",
    "the kubelet evicts pods when less memory is available",
)
DISK: Final = Kind(
    "disk",
    "node-disk-exhaustion",
    "bytes",
    "disk",
    "the kubelet evicts pods when less of its file system is available",
)
IMAGE_DISK: Final = Kind(
    "image-disk",
    "node-image-disk-exhaustion",
    "bytes",
    "image disk",
    "above it image collection has failed and the kubelet evicts pods",
)
INODES: Final = Kind(
    "inodes",
    "node-inode-exhaustion",
    "inodes",
    "inodes",
    "the kubelet evicts pods when fewer inodes are free",
)
PIDS: Final = Kind(
    "pids", "node-pid-exhaustion", "pids", "process ids", "no process can start without one"
)
PODS: Final = Kind(
    "pods", "node-pod-slots-exhaustion", "pods", "pod slots", "the scheduler places no more pods"
)
CPU: Final = Kind(
    "cpu",
    "node-cpu-saturation",
    "cores",
    "cpu",
    "beyond the allocatable cores pods are throttled",
    minor=True,
)
VOLUME: Final = Kind(
    "volume", "volume-exhaustion", "bytes", "volume", "writes fail when it is full"
)
VOLUME_INODES: Final = Kind(
    "volume-inodes",
    "volume-inode-exhaustion",
    "inodes",
    "volume inodes",
    "no file can be created without one",
)
CONTAINER: Final = Kind(
    "container-memory",
    "container-memory-exhaustion",
    "bytes",
    "memory",
    "the kernel kills the container at its memory limit",
)


class High(NamedTuple):
    """A fixed threshold beside the prediction."""

    rule: str
    percent: float  # what it looks at
    warning: float
    critical: float


class Sample(NamedTuple):
    """One value of one series."""

    key: str
    kind: Kind
    object: ObjectRef
    labels: dict[str, str]
    value: float  # in the kind's unit
    size: float  # what 100 % is
    limit: float  # percent of `size` that binds
    declared: float = math.nan  # percent of `size` at which something promises to free space
    started: float = math.nan  # start of this generation
    high: High | None = None


def samples(record: NodeMetricsRecord, settings: GrowthSettings) -> Iterator[Sample]:
    """Yield every series that the record has a value and a limit for."""
    yield from _node(record, settings)
    for volume in record.volumes:
        claim = ObjectRef("PersistentVolumeClaim", volume.namespace, volume.claim)
        key = f"{record.cluster}/{claim.kind}/{claim.namespace}/{claim.name}"
        where = {"node": record.node, "workload": str(volume.workload)}
        if (taken := taken_of(volume.filesystem)) is not None:
            yield Sample(f"{key}/volume", VOLUME, claim, where, *taken, 100.0)
        used, size = volume.filesystem.inodes_used, volume.filesystem.inodes
        if used is not None and size:
            yield Sample(f"{key}/inodes", VOLUME_INODES, claim, where, used, size, 100.0)
    for container in record.containers:
        if container.memory is not None and container.memory_limit:
            yield _container(record, container)


def _node(record: NodeMetricsRecord, settings: GrowthSettings) -> Iterator[Sample]:
    ref, labels = ObjectRef("Node", "", record.node), {"node": record.node}
    allocatable, capacity = record.allocatable, record.capacity

    def of(
        kind: Kind,
        value: float,
        size: float,
        limit: float = 100.0,
        declared: float = math.nan,
        high: High | None = None,
    ) -> Sample:
        key = f"{record.cluster}/Node//{record.node}/{kind.resource}"
        return Sample(key, kind, ref, labels, value, size, limit, declared, high=high)

    if record.memory is not None and (limit := _memory_limit(record, settings)) > 0:
        share = 100 * record.memory / (allocatable.memory or limit)
        high = _high("memory", share, settings.memory_warning, settings.memory_critical)
        yield of(MEMORY, record.memory, limit, high=high)
    cores = allocatable.cpu or capacity.cpu
    if record.cpu is not None and cores:
        share = 100 * record.cpu / cores
        high = _high("cpu", share, settings.cpu_warning, settings.cpu_critical)
        yield of(CPU, record.cpu, cores, high=high)
    yield from _disks(record, settings, of)
    if record.pids is not None and record.pids_max:
        yield of(PIDS, record.pids, record.pids_max)
    slots = allocatable.pods or capacity.pods
    if record.pods is not None and slots:
        share = 100 * record.pods / slots
        yield of(PODS, record.pods, slots, high=_high("pods", share, settings.pods_warning))


def _disks(
    record: NodeMetricsRecord, settings: GrowthSettings, of: Callable[..., Sample]
) -> Iterator[Sample]:
    """Yield the node's file systems.

    On one device both say the same, and image collection promises to hold it only where images are
    enough of it to make room.
    """
    disk, image = record.filesystem, record.image_filesystem
    promise = math.nan if settings.image_gc is None else settings.image_gc
    shared = image is not None and _same(disk, image)
    if disk is not None and (taken := taken_of(disk)) is not None:
        images = 100 * ((image and image.used) or 0.0) / taken[1]
        declared = promise if shared and images >= settings.image_gc_share else math.nan
        share = 100 * taken[0] / taken[1]
        high = _high("disk", share, settings.disk_warning, settings.disk_critical)
        yield of(DISK, *taken, settings.disk_limit, declared, high)
    if disk is not None and disk.inodes_used is not None and disk.inodes:
        yield of(INODES, disk.inodes_used, disk.inodes, settings.inode_limit)
    if image is not None and not shared and (taken := taken_of(image)) is not None:
        yield of(IMAGE_DISK, *taken, settings.image_disk_limit, promise)


def _memory_limit(record: NodeMetricsRecord, settings: GrowthSettings) -> float:
    """Return the working set at which the kubelet evicts, bytes; 0 where nothing is known."""
    if record.capacity.memory:
        return record.capacity.memory - settings.memory_eviction
    if record.memory is not None and record.memory_available is not None:
        return record.memory + record.memory_available - settings.memory_eviction
    return record.allocatable.memory or 0.0


def _container(record: NodeMetricsRecord, container: ContainerUsage) -> Sample:
    assert container.memory is not None  # the caller has looked
    assert container.memory_limit
    return Sample(
        f"{record.cluster}/Pod/{container.namespace}/{container.pod}/{container.container}/memory",
        CONTAINER,
        container.workload,
        {"pod": container.pod, "container": container.container, "node": record.node},
        container.memory,
        container.memory_limit,
        100.0,
        started=math.nan if container.started_at is None else container.started_at,
    )


def _high(
    what: str, percent: float, warning: float | None, critical: float = math.inf
) -> High | None:
    return None if warning is None else High(f"node-{what}-high", percent, warning, critical)


def taken_of(filesystem: Filesystem) -> tuple[float, float] | None:
    """Return what is not available, and the capacity, in bytes; None where one is not known."""
    if not filesystem.capacity:
        return None
    if filesystem.available is not None:
        return max(0.0, filesystem.capacity - filesystem.available), filesystem.capacity
    if filesystem.used is None:
        return None
    return filesystem.used, filesystem.capacity


def _same(disk: Filesystem | None, image: Filesystem) -> bool:
    """Return whether both are one device, as far as numbers tell."""
    return (
        disk is not None
        and disk.available is not None
        and (disk.capacity, disk.available) == (image.capacity, image.available)
    )


def place_of(sample: Sample) -> str:
    """Return what a person calls the series: ``Node a: disk``, or pod and container."""
    if sample.kind is CONTAINER:
        return f"{sample.object}: memory of container {sample.labels['container']}"
    if sample.kind in (VOLUME, VOLUME_INODES):
        inodes = " inodes" if sample.kind is VOLUME_INODES else ""
        return f"Volume {sample.object.namespace}/{sample.object.name}{inodes}"
    return f"{sample.object}: {sample.kind.noun}"

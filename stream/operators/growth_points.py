"""Points of nodes, volumes and containers for the time-series store, at most one a minute each.

Tags name what stays (workload and container, never a pod), so the store's index does not grow with
every release; pods of one workload on one node become one point, their highest value. A late record
makes no point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Final

import numpy as np

from stream.columns import Columns
from stream.operators.growth_series import taken_of
from stream.records import ContainerUsage, Filesystem, NodeMetricsRecord, Point, VolumeUsage

Tags = tuple[tuple[str, str], ...]
_Series = tuple[str, Tags, Callable[[], dict[str, float]]]  # measurement, tags, what makes fields
_NOTHING: Final = Filesystem(used=None, capacity=None)


class Points:
    """What remembers when each series had its newest point.

    Parameters
    ----------
    every
        Seconds between two points of one series.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._told = Columns("points")

    def of(self, record: NodeMetricsRecord) -> list[Point]:
        """Return the points of a record that are due; fields are made for these alone."""
        series = [_node(record), *_volumes(record), *_containers(record)]
        rows = self._told.rows_of([f"{name}|{tags}" for name, tags, _ in series])
        due = np.flatnonzero(record.at - self._told.seen(rows) >= self._every).tolist()
        points: list[Point] = []
        made: list[int] = []
        for i in due:
            name, tags, fields_of = series[i]
            if fields := fields_of():
                points.append(Point(name, tags, fields, record.at))
                made.append(i)
        self._told.see(rows[made], np.full(len(made), record.at))
        return points

    def evict(self, before: float) -> None:
        """Forget series without a point since `before`."""
        self._told.evict(before)

    def snapshot(self) -> dict[str, bytes]:
        """Return the pages that changed."""
        return self._told.snapshot()

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Become what the pages say."""
        self._told.restore(pages)


def _node(record: NodeMetricsRecord) -> _Series:
    tags = (("cluster", record.cluster), ("node", record.node))
    return "node", tags, partial(_node_fields, record)


def _node_fields(record: NodeMetricsRecord) -> dict[str, float]:
    allocatable, capacity = record.allocatable, record.capacity
    disk = record.filesystem or _NOTHING
    image = record.image_filesystem or _NOTHING
    return _known(
        cpu_cores=record.cpu,
        memory_working_set_bytes=record.memory,
        memory_available_bytes=record.memory_available,
        disk_used_bytes=disk.used,
        disk_available_bytes=disk.available,
        image_disk_used_bytes=image.used,
        inodes_used=disk.inodes_used,
        pids=record.pids,
        pods=record.pods,
        cpu_percent=_percent(record.cpu, allocatable.cpu or capacity.cpu),
        memory_percent=_percent(record.memory, allocatable.memory or capacity.memory),
        disk_percent=_full(disk),
        image_disk_percent=_full(image),
        inodes_percent=_percent(disk.inodes_used, disk.inodes),
        pids_percent=_percent(record.pids, record.pids_max),
        pods_percent=_percent(record.pods, allocatable.pods or capacity.pods),
    )


def _volumes(record: NodeMetricsRecord) -> Iterator[_Series]:
    for volume in record.volumes:
        tags = (
            ("claim", volume.claim),
            ("cluster", record.cluster),
            ("namespace", volume.namespace),
        )
        yield "volume", tags, partial(_volume_fields, volume)


def _volume_fields(volume: VolumeUsage) -> dict[str, float]:
    disk = volume.filesystem
    return _known(
        used_bytes=disk.used,
        capacity_bytes=disk.capacity,
        used_percent=_full(disk),
        inodes_used=disk.inodes_used,
        inodes_percent=_percent(disk.inodes_used, disk.inodes),
    )


def _containers(record: NodeMetricsRecord) -> Iterator[_Series]:
    """Yield a workload's containers of one name as one series: on this node, the highest."""
    alike: dict[Tags, list[ContainerUsage]] = {}
    for container in record.containers:
        workload = container.workload
        tags: Tags = (
            ("cluster", record.cluster),
            ("container", container.container),
            ("namespace", container.namespace),
            ("workload", workload.name),
            ("workload_kind", workload.kind),
        )
        alike.setdefault(tags, []).append(container)
    for tags, containers in alike.items():
        yield "container", tags, partial(_container_fields, containers)


def _container_fields(containers: Sequence[ContainerUsage]) -> dict[str, float]:
    highest: dict[str, float] = {}
    for container in containers:
        for name, value in _known(
            memory_bytes=container.memory,
            memory_percent=_percent(container.memory, container.memory_limit),
            cpu_cores=container.cpu,
            cpu_percent=_percent(container.cpu, container.cpu_limit),
        ).items():
            highest[name] = max(value, highest.get(name, value))
    return highest


def _full(filesystem: Filesystem) -> float | None:
    taken = taken_of(filesystem)
    return None if taken is None else 100 * taken[0] / taken[1]


def _percent(value: float | None, whole: float | None) -> float | None:
    return 100 * value / whole if value is not None and whole else None


def _known(**fields: float | None) -> dict[str, float]:
    return {n: value for n, value in fields.items() if value is not None and isfinite(value)}

"""What was measured, by series: the points of the time-series store that a forecast goes with.

A forecast is made often where something is near its limit and rarely elsewhere, so a history made
of forecasts alone would begin where it gets interesting. Points come every minute from the start.

Guaranteed: bounded, by number of streams and by points of each. Left to others: which measurements
there are (`stream.operators.growth_points`); what is not named in `FIELDS` is passed over.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from forewarn.console.series import History
from stream.records import Forecast, Point

_STREAMS: Final = 20_000  # tag sets; the least recently told goes first
_POINTS: Final = 240

# (measurement, resource of the forecast) → field of the point
FIELDS: Final = {
    ("node", "cpu"): "cpu_cores",
    ("node", "memory"): "memory_working_set_bytes",
    ("node", "disk"): "disk_used_bytes",
    ("node", "image-disk"): "image_disk_used_bytes",
    ("node", "inodes"): "inodes_used",
    ("node", "pids"): "pids",
    ("node", "pods"): "pods",
    ("volume", "volume"): "used_bytes",
    ("volume", "volume-inodes"): "inodes_used",
    ("container", "container-memory"): "memory_bytes",
}
_WANTED: Final = {
    measurement: frozenset(field for (name, _), field in FIELDS.items() if name == measurement)
    for measurement, _ in FIELDS
}
Key = tuple[str, tuple[tuple[str, str], ...]]


class Measured:
    """Histories of points, by measurement and tags."""

    def __init__(self) -> None:
        self._streams: OrderedDict[Key, dict[str, History]] = OrderedDict()

    def add(self, point: Point) -> None:
        """Take one point."""
        wanted = _WANTED.get(point.measurement)
        if wanted is None:
            return
        key = (point.measurement, point.tags)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = {}
            while len(self._streams) > _STREAMS:
                self._streams.popitem(last=False)
        else:
            self._streams.move_to_end(key)
        for field, value in point.fields.items():
            if field in wanted:
                if field not in stream:
                    stream[field] = History(_POINTS)
                stream[field].add(point.at, value)

    def of(self, forecast: Forecast) -> History | None:
        """Return what was measured of the forecast's series; None where nothing was."""
        key = _key(forecast)
        field = FIELDS.get((key[0], forecast.resource))
        return self._streams.get(key, {}).get(field) if field else None


def _key(forecast: Forecast) -> Key:
    ref, cluster = forecast.object, ("cluster", forecast.cluster)
    if ref.kind == "Node":
        return "node", (cluster, ("node", ref.name))
    if ref.kind == "PersistentVolumeClaim":
        return "volume", (("claim", ref.name), cluster, ("namespace", ref.namespace))
    return "container", (
        cluster,
        ("container", forecast.labels.get("container", "")),
        ("namespace", ref.namespace),
        ("workload", ref.name),
        ("workload_kind", ref.kind),
    )

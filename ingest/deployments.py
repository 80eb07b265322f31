"""Counts of what happened to workloads, for Prometheus: changes by field, replicas as of now.

The numbers behind ``deployment_events_total`` and ``deployment_replicas_*``. A change counts once
per field that it touched, under a short name ("replicas", "image", "resources", "env"); beginning
and end of a workload count under the field "deployment".

Guaranteed: bounded. Beyond `capacity` workloads new ones are counted together, under the name
`OTHERS`, without replicas; what was deleted gives its replicas back and keeps its counts. Left to
others: exposition (`forewarn.metrics`).
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from stream.records import AnyInput, DeploymentChange

OTHERS: Final = "__other__"
_WHOLE: Final = "deployment"  # the field of a beginning and an end
_TYPES: Final = {"added": "ADDED", "modified": "MODIFIED", "deleted": "DELETED"}
# The last part of a path is the field's name, unless one of these stands above it.
_GROUPS: Final = ("env", "envFrom", "resources", "volumes", "volumeMounts", "labels", "annotations")


class Workload(NamedTuple):
    """Whose numbers they are."""

    cluster: str
    namespace: str
    kind: str
    name: str


class Replicas(NamedTuple):
    """As of the last change; None where the workload does not say."""

    desired: int | None
    actual: int | None
    most: int | None  # desired and surge


class DeploymentCounts:
    """Counts that only rise, and replicas.

    Attributes
    ----------
    changes
        By workload, type ("ADDED", "MODIFIED", "DELETED") and field.
    replicas
        By workload.
    """

    def __init__(self, capacity: int = 2_000) -> None:
        self.changes: Counter[tuple[Workload, str, str]] = Counter()
        self.replicas: dict[Workload, Replicas] = {}
        self._known: set[Workload] = set()
        self._capacity = capacity

    def observe(self, record: AnyInput) -> None:
        """Take a record; only changes of workloads count."""
        if not isinstance(record, DeploymentChange):
            return
        ref = record.workload
        workload = Workload(record.cluster, ref.namespace, ref.kind, ref.name)
        if workload not in self._known and len(self._known) >= self._capacity:
            workload = Workload(record.cluster, OTHERS, ref.kind, OTHERS)
        else:
            self._known.add(workload)
        if word := _TYPES.get(record.type):
            for field in _fields(record):
                self.changes[workload, word, field] += 1
        if workload.name == OTHERS:
            return
        if record.type == "deleted":
            self.replicas.pop(workload, None)
        else:
            self.replicas[workload] = Replicas(
                record.replicas_desired, record.replicas_actual, record.replicas_max
            )


def _fields(record: DeploymentChange) -> set[str]:
    if record.type != "modified":
        return {_WHOLE}
    return {field_of(operation.path) for operation in record.operations}


def field_of(path: str) -> str:
    """Return the short name of what a path leads to.

    Examples
    --------
    >>> field_of("/spec/template/spec/containers/web/image")
    'image'
    >>> field_of("/spec/template/spec/containers/web/resources/limits/memory")
    'resources'
    """
    parts = path.split("/")
    return next((part for part in parts if part in _GROUPS), parts[-1])

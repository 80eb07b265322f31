"""Joins a change of a workload with the audit event that names its author, whichever comes first.

A watch event comes within milliseconds, an audit event in a batch up to half a minute later, or,
where the webhook blocks, before. So both wait for the other for `PATIENCE` seconds of event time:
an audit event that finds its change has the change said again, with the user; one that came before
gives the user to the change at once. They belong together if they are of one workload and the time
of the write in managedFields, which has whole seconds, is that of the audit event's end.

Guaranteed: each audit event names one change at most, and a change has one author; bounded memory.
Left to others: what a change is (`ingest.workloads`).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

import msgspec

from stream.records import DeploymentChange, ObjectRef

PATIENCE: Final = 120.0  # seconds; the API server sends batches after 30 s, and tries again
_APART: Final = 2.0  # seconds between managedFields' whole second and the end of the request
_CAPACITY: Final = 10_000  # of each


class _Write(NamedTuple):
    at: float  # end of the request
    user: str


class Authors:
    """What waits for its counterpart, in one cluster."""

    def __init__(self) -> None:
        self._writes: OrderedDict[ObjectRef, list[_Write]] = OrderedDict()
        self._changes: OrderedDict[ObjectRef, list[DeploymentChange]] = OrderedDict()

    def sign(self, change: DeploymentChange) -> DeploymentChange:
        """Return the change with its user, where the audit event came first."""
        if not _is_written(change):
            return change
        written = _written_at(change)
        waiting = self._writes.get(change.workload, [])
        found = _nearest([each.at for each in waiting], written)
        if found is None:
            self._wait(change)
            return change
        write = waiting.pop(found)
        return msgspec.structs.replace(change, user=write.user)

    def note(
        self, workload: ObjectRef, user: str, at: float, heard: float
    ) -> DeploymentChange | None:
        """Take an audit event; return the change that it signs, where that came first.

        Parameters
        ----------
        at
            End of the request, Unix seconds.
        heard
            When the audit event came: event time of what is returned.
        """
        waiting = self._changes.get(workload, [])
        found = _nearest([_written_at(each) for each in waiting], at)
        if found is not None:
            change = waiting.pop(found)
            return msgspec.structs.replace(change, user=user, at=heard)
        writes = self._writes.setdefault(workload, [])
        writes[:] = [each for each in writes if at - each.at < PATIENCE]
        writes.append(_Write(at, user))
        self._writes.move_to_end(workload)
        if len(self._writes) > _CAPACITY:
            self._writes.popitem(last=False)
        return None

    def _wait(self, change: DeploymentChange) -> None:
        changes = self._changes.setdefault(change.workload, [])
        changes[:] = [each for each in changes if change.at - each.at < PATIENCE]
        changes.append(change)
        self._changes.move_to_end(change.workload)
        if len(self._changes) > _CAPACITY:
            self._changes.popitem(last=False)


def _is_written(change: DeploymentChange) -> bool:
    """Return whether somebody wrote it: neither known from a list nor a rollout's progress."""
    return change.type in ("added", "deleted") or bool(change.operations)


def _written_at(change: DeploymentChange) -> float:
    known = change.managed_at
    return change.at if known is None or change.type == "deleted" else known


def _nearest(times: list[float], at: float) -> int | None:
    """Return which time is nearest to `at`, None where none is near enough."""
    near = [(abs(time - at), which) for which, time in enumerate(times) if abs(time - at) <= _APART]
    return min(near)[1] if near else None

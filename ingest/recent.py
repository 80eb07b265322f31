"""Recent Events of each pod, so that a restart can carry what led to it.

Opt-in. Kept are Warnings, and Killing, which is Normal and says why the kubelet ended a container;
one line per Event object, at its newest count. The messages are those of records: redacted.

Guaranteed: bounded: `most` lines a pod, `CAPACITY` pods, the longest unheard go first. Left to
others: when a restart is one (`ingest.normalise`), the words (`stream.operators.restart_state`).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from stream.records import EventRecord, RecentEvent

CAPACITY: Final = 5_000  # pods; some 10 MB with five lines each
AGE: Final = 3600.0  # seconds; the API server itself keeps Events for an hour
_LONGEST: Final = 500  # characters of one message
_KILLING: Final = "Killing"


class Recent:
    """The newest Events of one cluster's pods.

    Parameters
    ----------
    most
        Lines kept of one pod; 0 keeps nothing.
    """

    def __init__(self, most: int, *, capacity: int = CAPACITY) -> None:
        self._most = most
        self._capacity = capacity
        self._pods: OrderedDict[str, OrderedDict[str, RecentEvent]] = OrderedDict()

    def __bool__(self) -> bool:
        return self._most > 0

    def note(self, pod: str, event: EventRecord) -> None:
        """Keep an Event of the pod with this uid, where it is worth it."""
        if not self._most or event.deleted:
            return
        if event.type != "Warning" and event.reason != _KILLING:
            return
        lines = self._pods.setdefault(pod, OrderedDict())
        lines[event.uid] = RecentEvent(
            event.at, event.reason, event.count, event.message[:_LONGEST]
        )
        lines.move_to_end(event.uid)
        self._pods.move_to_end(pod)
        if len(lines) > self._most:
            lines.popitem(last=False)
        if len(self._pods) > self._capacity:
            self._pods.popitem(last=False)

    def of(self, pod: str, at: float) -> tuple[RecentEvent, ...]:
        """Return the pod's Events of the hour before `at`, the newest first."""
        lines = self._pods.get(pod)
        return (
            () if lines is None else tuple(e for e in reversed(lines.values()) if e.at > at - AGE)
        )

    def forget(self, pod: str) -> None:
        """Forget a pod that is gone. Harmless where it is not known."""
        self._pods.pop(pod, None)

"""An incident with what the page remembers beside it: the messages that were sent.

Left to others: wording (`forewarn.console.incident`), bounds (`forewarn.console.feed`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from alerting.alert import Incident, Notification
from stream.records import ObjectRef, Severity

_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Known(msgspec.Struct):
    """An incident as it stands."""

    incident: Incident
    notifications: list[Notification] = []
    called: str = ""  # what its reader has just called it, until its timeline says so


def worst(known: Iterable[Known]) -> list[Known]:
    """Return incidents, the worst first, then the newest."""
    return sorted(known, key=lambda one: (_RANK[one.incident.severity], -one.incident.opened_at))


def affected(incident: Incident) -> list[ObjectRef]:
    """Return the distinct objects of an incident's alerts."""
    return sorted({alert.object for alert in incident.alerts} | {incident.object})

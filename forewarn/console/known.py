"""An incident with what the page remembers of its life: the first promise, the messages sent.

An `Incident` on the bus says how things stand; whether a prediction came true needs the first thing
that was said, which only a reader of the whole stream has. What was found when it was already there
is no prediction and never becomes one.

Left to others: wording (`forewarn.console.incident`), bounds (`forewarn.console.feed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from alerting.alert import Incident, Notification
from stream.records import ObjectRef, Severity


class Promise(NamedTuple):
    """What an incident's first prediction said, and when it came true."""

    made_at: float
    expected_at: float
    came_at: float | None


class Known(msgspec.Struct):
    """An incident with what the feed remembers about its life."""

    incident: Incident
    promise: Promise | None = None
    notifications: list[Notification] = []


def promised(before: Promise | None, incident: Incident) -> Promise | None:
    """Return what was first predicted and whether it is here by now."""
    expected = incident.expected_at
    if expected is None:
        return before
    here = expected <= incident.updated_at
    if before is None:
        # Found when it was already there: nothing was foreseen, so nothing is claimed.
        return None if here else Promise(incident.updated_at, expected, None)
    if here and before.came_at is None:
        return before._replace(came_at=expected)
    return before


def worst(known: Mapping[str, Known]) -> list[Known]:
    """Return open incidents, the worst first, then the newest."""
    rank = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
    return sorted(
        known.values(), key=lambda one: (rank[one.incident.severity], -one.incident.opened_at)
    )


def affected(incident: Incident) -> list[ObjectRef]:
    """Return the distinct objects of an incident's alerts."""
    return sorted({alert.object for alert in incident.alerts} | {incident.object})

"""What alerting speaks of: alerts, incidents, notifications, and the reasons of its decisions.

A *finding* (from the stream) feeds an *alert* (one rule on one object); alerts that belong together
are one *incident*, which has one life: pending → firing → resolved. What goes to people is a
*notification*, put on the outbox topic ``notifications`` in the same transaction as the incident;
what does not go is *suppressed*, with an enumerated reason, and kept.

Every record here is decided from findings and event time alone, so a replay repeats it to the bit.
They travel as JSON on public topics: fields may be appended, with defaults, never changed.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from stream.records import ObjectRef, Part, Severity


class State(StrEnum):
    """Where an incident stands in its life."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Reason(StrEnum):
    """Why something was sent or was not: shows in the log, the metric, the report and `explain`."""

    # sent
    FIRST_NOTIFICATION = "first-notification"
    NEW_ALERTS_IN_GROUP = "new-alerts-in-group"
    SEVERITY_RAISED = "severity-raised"
    ALERTS_RESOLVED = "alerts-resolved"
    REPEAT_INTERVAL = "repeat-interval"
    DIGEST = "digest"
    # suppressed
    BELOW_PENDING = "below-pending"  # did not last as long as its rule asks
    INHIBITED = "inhibited"  # explained by another alert, named beside it
    SILENCED = "silenced"
    MUTED = "muted"  # a mute time of the route
    INACTIVE = "inactive"  # outside of the route's active times
    ALREADY_NOTIFIED = "already-notified"
    BUDGET = "budget"  # the channel's budget is used up; it goes with the digest
    FLAPPING = "flapping"
    NOT_ROUTED = "not-routed"
    RESOLVED_NOT_WANTED = "resolved-not-wanted"  # the receiver asked for no resolved notices


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One rule on one object, as long as it holds. Equal labels = the same alert."""

    fingerprint: str
    rule: str
    cluster: str
    object: ObjectRef
    severity: Severity
    labels: dict[str, str]
    summary: str
    starts_at: float
    updated_at: float
    ends_at: float | None = None  # None while it holds
    expected_at: float | None = None
    score: float = 0.0
    because: tuple[Part, ...] = ()
    flapping: bool = False  # changes too often; held as firing until it has been quiet


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What an incident is suspected to come from, with the odds and the fact behind it."""

    kind: str  # "release" | "config-change" | "node" | "oom" | "image" | … | "unknown"
    odds: float  # share among the suspected causes and "unknown", 0–1
    text: str  # "release of shop/checkout, image v41 → v42, by kubectl, 3 min before"
    at: float
    evidence: str = ""  # id of the finding


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that belong together, from the first that fires to the last that resolves."""

    id: str
    cluster: str
    rule: str  # of the leading alert
    object: ObjectRef  # of the leading alert
    severity: Severity  # the highest so far
    state: State
    opened_at: float
    updated_at: float
    summary: str
    resolved_at: float | None = None
    expected_at: float | None = None
    cause: Cause | None = None
    causes: tuple[Cause, ...] = ()  # the others, likelier first
    alerts: tuple[Alert, ...] = ()
    timeline: tuple[Part, ...] = ()  # value = event time; at most the last 50
    notifications: int = 0  # how many were put on the outbox
    first_expected_at: float | None = None  # what the first prediction said
    came_true_at: float | None = None  # when what was predicted happened
    merged_into: str = ""  # id of the incident that explains this one and has taken its alerts


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One message for one channel: what the outbox holds."""

    id: str  # idempotency key: digest of incident, channel, kind, sequence
    at: float
    channel: str  # the receiver's name in the configuration
    incident: str  # its id; "" for a digest of several
    kind: str  # "firing" | "resolved" | "update" | "repeat" | "digest"
    reason: Reason
    severity: Severity
    cluster: str
    title: str
    text: str  # plain, several lines; a channel's file turns it into its own mark-up, escaped
    incidents: tuple[Incident, ...] = ()


class Suppressed(msgspec.Struct, frozen=True, kw_only=True):
    """What was not sent, and why; kept and asked for with `explain`."""

    at: float
    rule: str
    cluster: str
    object: ObjectRef
    reason: Reason
    by: str = ""  # the inhibiting alert, the silence, the incident that has said it already
    summary: str = ""
    count: int = 1  # how many alike since the last line for this (rule, object, reason)

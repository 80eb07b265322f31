"""Which alerts are one incident: those of one object, and those that one cause explains.

An alert joins an open incident when it is about the same object (the workload that owns the pods,
or the node), when it agrees in the configured `group_by` labels, or when one explains the other: a
node that is down and what ran on it, a namespace in which many workloads restart. Where the
explaining alert comes second, incidents that nobody has been told of yet are merged into its own.

Pure functions of incidents and alerts; left to others: what is said, and when.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from alerting.alert import Alert, Cause, Incident, State
from alerting.dedup import RANK, Told
from alerting.duration import Duration
from stream.records import Finding, Part, Severity

TIMELINE: Final = 50  # entries on an incident
_LATER: Final = 600.0  # seconds between a node's alert and its effects: before it, or after its end
_RESTARTS: Final = frozenset({"restart-burst", "crash-loop", "restart-count", "oom-kill"})
# The alert that an incident is named after, before its severity and age decide.
_LEADS: Final[Mapping[str, int]] = {
    "node-not-ready": 0,
    "node-deleted": 0,
    "node-pressure": 1,
    "namespace-restart-share": 2,
    "container-memory-exhaustion": 3,
    "rollout-stuck": 3,
    "restart-burst": 4,
}


NODE_TROUBLE: Final = frozenset({"node-not-ready", "node-deleted", "node-pressure"})


def of_nodes(alert: Alert) -> bool:
    """Return whether an alert is about unusual events that nodes cause, on whichever node."""
    families = alert.labels.get("family", "").split(",")
    return alert.rule == "event-anomaly" and ("node" in families or "eviction" in families)


class GroupConfig(BaseModel):
    """When incidents are told of, and what belongs to one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group_by: tuple[str, ...] = Field(
        default=(),
        description="Alerts that agree in these labels are one incident, besides those that one "
        "cause explains. Such as [cluster, namespace]. Default: by cause alone.",
    )
    group_wait: Duration = Field(default=30.0, description="Before the first message. Default 30s.")
    group_interval: Duration = Field(default=300.0, description="Between news of an incident: 5m.")
    repeat_interval: Duration | None = Field(
        default=None,
        description="Say again what goes on. Without it: critical 8h, warning 24h, info never.",
    )
    resolve_wait: Duration = Field(
        default=120.0, description="All alerts over for this long: it is over. Default 2m."
    )


class Story(msgspec.Struct):
    """An incident as the task keeps it: what is published, and what is not."""

    incident: Incident
    fingerprints: list[str]  # of its alerts, in the order in which they came
    group: tuple[str, ...]  # values of the group_by labels
    told: dict[str, Told] = {}  # by receiver
    published: str = ""  # digest of what was last put on the topic `incidents`
    due: float = math.inf
    over_at: float | None = None  # when the last alert ended, while none fires
    waited: bool = False  # group_wait has passed
    facts: list[Finding] = []  # evidence that may be its cause
    hushed: list[str] = []  # fingerprint|reason already said to be suppressed


def group_key(config: GroupConfig, alert: Alert) -> tuple[str, ...]:
    """Return the values of the group_by labels."""
    return tuple(alert.labels.get(name, "") for name in config.group_by)


def explains(parent: Alert, child: Alert) -> bool:
    """Return whether `parent` is the larger trouble that `child` is a part of."""
    if parent.rule in NODE_TROUBLE:
        return (
            parent.object.kind == "Node"
            and child.object.kind != "Node"
            and child.updated_at >= parent.starts_at - _LATER
            and child.labels.get("node", "*" if of_nodes(child) else "")
            in (parent.object.name, "*")
        )
    if parent.rule == "namespace-restart-share":
        return (
            child.rule in _RESTARTS
            and child.object.kind != "Namespace"
            and child.object.namespace == parent.labels.get("namespace")
        )
    return False


def open_story(alert: Alert, config: GroupConfig, now: float) -> Story:
    """Return a new incident that begins with `alert`."""
    text = f"{alert.fingerprint}|{alert.starts_at!r}|{now!r}"
    incident = Incident(
        id=hashlib.blake2b(text.encode(), digest_size=10).hexdigest(),
        cluster=alert.cluster,
        rule=alert.rule,
        object=alert.object,
        severity=alert.severity,
        state=State.PENDING,
        opened_at=now,
        updated_at=alert.updated_at,
        summary=alert.summary,
    )
    return Story(incident, [], group_key(config, alert))


def choose(
    alert: Alert,
    stories: Iterable[Story],
    alerts: Mapping[str, Alert],
    config: GroupConfig,
) -> Story | None:
    """Return the open incident that `alert` joins, or None: it begins one.

    The same object counts most, then a common explanation, then the `group_by` labels; of several
    the oldest.
    """
    key = group_key(config, alert)
    best: tuple[int, float, str] | None = None
    chosen: Story | None = None
    for story in stories:
        mates = [alerts[name] for name in story.fingerprints if name in alerts]
        if any(mate.object == alert.object for mate in mates):
            rank = 0
        elif any(_lasts(mate, alert.starts_at) and explains(mate, alert) for mate in mates):
            rank = 1
        elif config.group_by and key == story.group:
            rank = 2
        else:
            continue
        order = (rank, story.incident.opened_at, story.incident.id)
        if best is None or order < best:
            best, chosen = order, story
    return chosen


def _lasts(alert: Alert, at: float) -> bool:
    """Return whether an alert goes on at `at`, or has ended so lately that its effects show."""
    return alert.ends_at is None or at <= alert.ends_at + _LATER


def explained_by(
    alert: Alert, stories: Iterable[Story], alerts: Mapping[str, Alert]
) -> list[Story]:
    """Return the incidents, told to nobody yet, that `alert` explains whole."""
    return [
        story
        for story in stories
        if not story.told
        and story.fingerprints
        and all(name in alerts and explains(alert, alerts[name]) for name in story.fingerprints)
    ]


def leading(alerts: Sequence[Alert]) -> Alert:
    """Return the alert that the incident is named after."""
    return min(
        alerts,
        key=lambda a: (
            a.ends_at is not None,
            _LEADS.get(a.rule, 5),
            -RANK[a.severity],
            a.starts_at,
            a.fingerprint,
        ),
    )


def with_entry(incident: Incident, name: str, at: float, text: str) -> Incident:
    """Return the incident with one more entry on its timeline."""
    timeline = (*incident.timeline, Part(name, at, text))[-TIMELINE:]
    return msgspec.structs.replace(incident, timeline=timeline)


def view(
    incident: Incident, alerts: Sequence[Alert], causes: tuple[Cause, ...], cause: Cause | None
) -> Incident:
    """Return the incident with what its alerts and causes say now; `alerts` is not empty."""
    lead = leading(alerts)
    active = [alert for alert in alerts if alert.ends_at is None]
    severity: Severity = max(
        (incident.severity, *(alert.severity for alert in active)), key=RANK.__getitem__
    )
    dues = [alert.expected_at for alert in active if alert.expected_at is not None]
    expected = min(dues, default=incident.expected_at)
    first = incident.first_expected_at
    return msgspec.structs.replace(
        incident,
        rule=lead.rule,
        object=lead.object,
        summary=lead.summary,
        severity=severity,
        expected_at=expected,
        first_expected_at=expected if first is None else first,
        cause=cause,
        causes=tuple(other for other in causes if other is not cause),
        alerts=tuple(alerts),
        updated_at=max(incident.updated_at, *(alert.updated_at for alert in alerts)),
    )


def is_open(story: Story) -> bool:
    """Return whether the incident may still take alerts."""
    return story.incident.state is not State.RESOLVED

"""Finding → alert: how long it must last, when it is over, when it flaps.

Pure functions of what the operators said and event time. `feed` takes in a finding, `settle`
decides on the grid of whole seconds, `due` says when to look again. A firing alert whose finding is
repeated is the same alert with newer facts. An alert that changes too often is *flapping*: it is
held as firing until it has been quiet, so that people hear of it once.

Left to others: which alerts belong together (`alerting.group`), what is said of them.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from alerting.alert import Alert
from alerting.duration import Duration
from stream.records import Finding, Severity

RULES: Final[Mapping[str, str]] = {
    "restart-burst": "a container restarts far more often than it used to",
    "crash-loop": "a container is in CrashLoopBackOff",
    "image-pull": "an image cannot be pulled",
    "pod-pending": "a pod finds no place or does not start",
    "oom-kill": "the kernel killed a container for its memory",
    "restart-count": "a container passed a fixed number of restarts",
    "namespace-restart-share": "a growing share of a namespace's pods restarts",
    "event-anomaly": "Kubernetes events are unusual in kind or number",
    "node-not-ready": "a node is not ready",
    "node-pressure": "a node reports pressure on memory, disk or PIDs",
    "node-taint": "a node has got a taint",
    "node-deleted": "a node is gone",
    "node-ready-flapping": "a node changes between ready and not ready",
    "rollout-stuck": "a rollout does not get on",
    "node-memory-exhaustion": "a node will run out of memory",
    "node-disk-exhaustion": "a node will run out of disk",
    "node-image-disk-exhaustion": "a node will run out of disk for images",
    "node-inode-exhaustion": "a node will run out of inodes",
    "node-pid-exhaustion": "a node will run out of process ids",
    "node-pod-slots-exhaustion": "a node will run out of places for pods",
    "node-cpu-saturation": "a node's processors will be saturated",
    "volume-exhaustion": "a volume will run full",
    "volume-inode-exhaustion": "a volume will run out of inodes",
    "container-memory-exhaustion": "a container will reach its memory limit",
    "node-cpu-high": "a node's processor use is above a fixed share",
    "node-memory-high": "a node's memory use is above a fixed share",
    "node-disk-high": "a node's disk use is above a fixed share",
    "node-pods-high": "a node's pods are above a fixed share",
}


class RuleConfig(BaseModel):
    """What the operator of forewarn may change in one rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    enabled: bool = Field(
        default=True, description="False: findings of this rule are only evidence."
    )
    severity: Severity | None = Field(
        default=None, description="Instead of the severity that it finds."
    )
    pending: Duration = Field(
        default=0.0, alias="for", description="It must last this long before it counts. Default 0s."
    )
    keep_firing: Duration = Field(
        default=0.0,
        alias="keep_firing_for",
        description="It must be over this long before it is over. Default 0s.",
    )


class FlappingConfig(BaseModel):
    """When an alert changes too often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    changes: int = Field(
        default=4, ge=2, description="Changes within the window that count as flapping."
    )
    window: Duration = Field(default=3600.0, description="Default 1h.")
    quiet: Duration = Field(
        default=900.0, description="Without a change for this long, it is over: 15m."
    )


DEFAULT_RULE: Final = RuleConfig()


def check_names(rules: Mapping[str, RuleConfig]) -> Mapping[str, RuleConfig]:
    """Return `rules` if each is known.

    Raises
    ------
    ValueError
        A name is unknown; the message names the nearest known one.
    """
    for name in rules:
        if name not in RULES:
            near = difflib.get_close_matches(name, RULES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"there is no rule {name!r}{hint}")
    return rules


class Phase(StrEnum):
    """Where one alert stands."""

    PENDING = "pending"
    FIRING = "firing"
    ENDED = "ended"


class Change(StrEnum):
    """What `settle` decided."""

    NONE = "none"
    FIRED = "fired"
    ENDED = "ended"
    BELOW_PENDING = "below-pending"
    FLAPPING = "flapping"
    SETTLED = "settled"  # no longer flapping, still firing


class Track(msgspec.Struct):
    """One alert's life so far: the rules' whole memory of it."""

    alert: Alert
    holds: bool  # what the operator said last
    holds_since: float  # event time of that change
    phase: Phase = Phase.PENDING
    changes: list[float] = []  # event times of changes, within the window
    flapping: bool = False
    incident: str = ""
    predicted: float | None = None  # the last expected_at that lay ahead when it was said
    dues: dict[str, float] = {}  # by pod and container: a workload's pods each have their own
    due: float = math.inf


def fingerprint(finding: Finding) -> str:
    """Return the identity of the alert that `finding` feeds: cluster, rule and object.

    Not its labels: they tell of the newest pod or container, and an operator says that an object's
    rule is over when the last of them is.
    """
    ref = finding.object
    text = "|".join((finding.cluster, finding.rule, ref.kind, ref.namespace, ref.name))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def labels_of(finding: Finding, severity: Severity) -> dict[str, str]:
    """Return all labels that matchers see: the finding's own and its identity."""
    ref = finding.object
    labels = dict(finding.labels)
    labels |= {"rule": finding.rule, "cluster": finding.cluster, "severity": severity.value}
    labels |= {"kind": ref.kind, "name": ref.name}
    if ref.kind == "Node":
        labels["node"] = ref.name
    elif ref.kind == "Namespace":
        labels["namespace"] = ref.name
    elif ref.namespace:
        labels["namespace"] = ref.namespace
    return labels


def alert_of(finding: Finding, rule: RuleConfig, before: Alert | None) -> Alert:
    """Return the alert with the finding's facts; an alert keeps its beginning."""
    severity = rule.severity or finding.severity
    return Alert(
        fingerprint=fingerprint(finding),
        rule=finding.rule,
        cluster=finding.cluster,
        object=finding.object,
        severity=severity,
        labels=labels_of(finding, severity),
        summary=finding.summary,
        starts_at=min(finding.since, finding.at) if before is None else before.starts_at,
        updated_at=finding.at,
        expected_at=finding.expected_at,
        score=finding.score,
        because=finding.because,
        flapping=False if before is None else before.flapping,
    )


def feed(track: Track | None, finding: Finding, rule: RuleConfig, flap: FlappingConfig) -> Track:
    """Return the track after `finding`, which is firing, or resolves an existing track."""
    if track is None:
        track = Track(alert_of(finding, rule, None), holds=True, holds_since=finding.at)
        _expect(track, finding)
        return track
    holds = finding.state == "firing"
    if holds:
        over = track.phase is Phase.ENDED  # it stays over until `settle` lets it fire again
        ends_at = track.alert.ends_at
        track.alert = alert_of(finding, rule, None if over else track.alert)
        track.alert = msgspec.structs.replace(track.alert, ends_at=ends_at)
        _expect(track, finding)
    if holds != track.holds:
        track.changes = [at for at in track.changes if at > finding.at - flap.window]
        track.changes.append(finding.at)
        track.holds = holds
        track.holds_since = finding.at
        if holds and track.phase is Phase.ENDED:
            track.phase = Phase.PENDING
    return track


def _expect(track: Track, finding: Finding) -> None:
    """Let the alert expect what is due first of all its pods and containers."""
    member = "/".join((finding.labels.get("pod", ""), finding.labels.get("container", "")))
    track.dues = {name: due for name, due in track.dues.items() if due > finding.at}
    track.dues.pop(member, None)
    if finding.expected_at is not None:
        track.dues[member] = finding.expected_at
    expected_at = min(track.dues.values(), default=None)
    track.alert = msgspec.structs.replace(track.alert, expected_at=expected_at)


def settle(track: Track, now: float, rule: RuleConfig, flap: FlappingConfig) -> Change:
    """Decide where the alert stands at `now`; changes `track` and says what changed."""
    recent = sum(1 for at in track.changes if at > now - flap.window)
    started = False
    if track.flapping and now >= track.changes[-1] + flap.quiet:
        track.flapping = False
        track.changes = []
        track.alert = msgspec.structs.replace(track.alert, flapping=False)
        started = True
    elif not track.flapping and recent + 1 >= flap.changes and track.phase is Phase.FIRING:
        # The first firing is a change too; it is not in `changes`, which begin with its end.
        track.flapping = True
        track.alert = msgspec.structs.replace(track.alert, flapping=True)
        return Change.FLAPPING
    match track.phase:
        case Phase.PENDING if not track.holds:
            track.phase = Phase.ENDED
            track.alert = msgspec.structs.replace(track.alert, ends_at=track.holds_since)
            return Change.BELOW_PENDING
        case Phase.PENDING if now >= track.holds_since + rule.pending:
            track.phase = Phase.FIRING
            track.alert = msgspec.structs.replace(track.alert, ends_at=None)
            return Change.FIRED
        case Phase.FIRING if (
            not track.holds and not track.flapping and now >= track.holds_since + rule.keep_firing
        ):
            track.phase = Phase.ENDED
            track.alert = msgspec.structs.replace(track.alert, ends_at=track.holds_since)
            return Change.ENDED
    return Change.SETTLED if started else Change.NONE


def due(track: Track, rule: RuleConfig, flap: FlappingConfig) -> float:
    """Return the event time at which `settle` may decide something without a new finding."""
    if track.flapping:
        return track.changes[-1] + flap.quiet
    if track.phase is Phase.PENDING:
        return track.holds_since + rule.pending
    if track.phase is Phase.FIRING and not track.holds:
        return track.holds_since + rule.keep_firing
    return math.inf

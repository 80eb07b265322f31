"""Suspected causes of an incident, with odds from the facts around it.

Each fact near the incident's beginning gets a weight: how often such a fact is the cause where it
is seen, halved for every half-life that lies between. *Unknown* always keeps the weight 1, so one
weak fact never looks certain. Odds are shares of the sum. The weights are judgement, kept in one
table; they order causes, they are not measured frequencies, and the text says "suspected".

Constant work per incident: evidence is bounded per object (`KEPT`, `KEEP_FOR`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from alerting.alert import Alert, Cause
from alerting.duration import words
from stream.records import Finding, ObjectRef

KEEP_FOR: Final = 6 * 3600.0  # seconds that evidence is kept
KEPT: Final = 20  # findings of evidence per object
_AFTER: Final = 120.0  # seconds: a cause may be observed a little after its effect
_NODE_LATER: Final = 600.0  # seconds that a node's alert may begin after what it causes
_SHOWN: Final = 6  # causes on an incident


class Weight(NamedTuple):
    """How strongly a fact of this rule suggests itself."""

    kind: str
    weight: float
    half_life: float  # seconds
    reach: float  # seconds before the beginning within which it counts


# A release explains most of what begins right after it; a node's reboot all that was on it.
EVIDENCE: Final[Mapping[str, Weight]] = {
    "release": Weight("release", 8.0, 1800.0, 7200.0),
    "config-change": Weight("config-change", 5.0, 1800.0, 7200.0),
    "dependency-change": Weight("config-change", 5.0, 1800.0, 7200.0),
    "scale": Weight("scale", 1.5, 1800.0, 3600.0),
    "drain": Weight("drain", 5.0, 600.0, 1800.0),
    "node-not-ready": Weight("node", 8.0, 900.0, 1800.0),
    "node-pressure": Weight("node", 4.0, 900.0, 1800.0),
    "node-reboot": Weight("node", 6.0, 600.0, 1800.0),
    "node-deleted": Weight("node", 6.0, 600.0, 1800.0),
    "oom-kill": Weight("oom", 6.0, 1800.0, 3600.0),
    "pod-evicted": Weight("eviction", 3.0, 600.0, 1800.0),
    "node-odd": Weight("node-odd", 0.8, 900.0, 1800.0),
}
# Facts that only tell something when they came before, and by their own score: never a reason to
# think that a cause is known, as they stay behind *unknown*.
_ODD: Final = "node-odd"
# Alerts on the node that an affected pod runs on.
NODE_ALERTS: Final[Mapping[str, float]] = {
    "node-not-ready": 8.0,
    "node-deleted": 8.0,
    "node-pressure": 4.0,
    "node-memory-exhaustion": 2.0,
    "node-disk-exhaustion": 2.0,
}
_RESTARTS: Final = frozenset({"restart-burst", "crash-loop", "restart-count"})
_NODES: Final = frozenset({"node-pressure", "node-not-ready"})
# Alerts of the same incident that explain others of it: kind, weight, which.
OWN_ALERTS: Final[Mapping[str, tuple[str, float, frozenset[str]]]] = {
    "oom-kill": ("oom", 6.0, _RESTARTS),
    "container-memory-exhaustion": ("memory-growth", 6.0, _RESTARTS | {"oom-kill"}),
    "image-pull": ("image", 8.0, frozenset({"rollout-stuck", "pod-pending"})),
    "node-memory-exhaustion": ("memory-growth", 6.0, _NODES),
    "node-disk-exhaustion": ("disk-growth", 6.0, _NODES),
    "node-image-disk-exhaustion": ("disk-growth", 6.0, _NODES),
    "node-inode-exhaustion": ("disk-growth", 5.0, _NODES),
    "node-pid-exhaustion": ("pid-growth", 5.0, _NODES),
}
_SAME: Final = 120.0  # seconds within which a configuration belongs to its release
_REASONS: Final[Mapping[str, tuple[str, float]]] = {
    "OOMKilled": ("oom", 6.0),
    "ErrImagePull": ("image", 8.0),
    "ImagePullBackOff": ("image", 8.0),
    "InvalidImageName": ("image", 8.0),
    "CreateContainerConfigError": ("config", 6.0),
}


def place(ref: ObjectRef) -> str:
    """Return the key under which evidence about `ref` is kept."""
    return f"{ref.kind}/{ref.namespace}/{ref.name}"


def places(alerts: Iterable[Alert]) -> list[str]:
    """Return where to look for evidence: the alerts' objects and nodes, in their order."""
    found: dict[str, None] = {}
    for alert in alerts:
        found[place(alert.object)] = None
        for node in nodes_of(alert):
            found[f"Node//{node}"] = None
    return list(found)


def nodes_of(alert: Alert) -> list[str]:
    """Return the nodes that an alert names; several are divided by commas."""
    return [node for node in alert.labels.get("node", "").split(",") if node]


def keep(evidence: dict[str, list[Finding]], finding: Finding) -> None:
    """Remember a finding that may be a cause under its object, within the bounds."""
    if finding.rule not in EVIDENCE:
        return
    key = place(finding.object)
    since = finding.at - KEEP_FOR
    kept = [known for known in evidence.get(key, ()) if known.at > since]
    evidence[key] = [*kept[-(KEPT - 1) :], finding]


def forget(evidence: dict[str, list[Finding]], now: float) -> None:
    """Drop objects whose evidence is too old."""
    for key in [key for key, kept in evidence.items() if kept[-1].at <= now - KEEP_FOR]:
        del evidence[key]


def near(
    alerts: Sequence[Alert], facts: Iterable[Finding], opened: float | None = None
) -> list[Finding]:
    """Return the facts that stand near enough to the alerts' beginning to be their cause.

    An event's window reaches back for an hour, so there the time of its finding (`opened`) counts.
    """
    began = min(alert.starts_at for alert in alerts)
    latest = began + _AFTER
    if opened is not None and all(alert.rule == "event-anomaly" for alert in alerts):
        latest = max(latest, opened)
    own = {(alert.rule, alert.object) for alert in alerts}
    found = [
        fact
        for fact in facts
        if (known := EVIDENCE.get(fact.rule)) is not None
        and (fact.rule, fact.object) not in own
        and began - known.reach <= fact.at <= (began if fact.rule == _ODD else latest)
    ]
    releases = [fact for fact in found if fact.rule == "release"]
    return [
        fact
        for fact in found
        if EVIDENCE[fact.rule].kind != "config-change"
        or not any(
            fact.object == release.object and abs(fact.at - release.at) <= _SAME
            for release in releases
        )
    ]


def suspects(
    alerts: Sequence[Alert],
    facts: Iterable[Finding],
    node_alerts: Iterable[Alert],
    lead: Alert | None = None,
) -> tuple[Cause, ...]:
    """Return the suspected causes, likeliest first, *unknown* among them; odds add up to 1.

    Parameters
    ----------
    alerts
        The incident's alerts; its beginning is the earliest of theirs. Not empty.
    facts
        Evidence about the alerts' objects and nodes, as `near` returns it.
    node_alerts
        Firing alerts about nodes that the alerts name.
    lead
        The alert that the incident is named after: never its own cause.
    """
    began = min(alert.starts_at for alert in alerts)
    own_nodes = {alert.object.name: alert for alert in alerts if alert.object.kind == "Node"}
    generations = {alert.labels["generation"] for alert in alerts if "generation" in alert.labels}
    rules = {alert.rule for alert in alerts}
    found: dict[str, tuple[float, Cause]] = {}

    def suspect(kind: str, weight: float, text: str, at: float, evidence: str) -> None:
        if kind not in found or weight > found[kind][0]:
            found[kind] = (weight, Cause(kind=kind, odds=0.0, text=text, at=at, evidence=evidence))

    for fact in facts:
        weight = _weight(fact, began, generations)
        suspect(EVIDENCE[fact.rule].kind, weight, _told(fact, began), fact.at, fact.id)
    around = [
        alert
        for alert in node_alerts
        if alert.object.name not in own_nodes and began - alert.starts_at > -_NODE_LATER
    ]
    if lead is not None and lead.object.kind != "Node":
        around += own_nodes.values()  # the node is well again, and this is what it has left behind
    for alert in around:
        if weight := NODE_ALERTS.get(alert.rule, 0.0):
            suspect("node", weight, alert.summary, alert.starts_at, alert.fingerprint)
    for alert in alerts:
        kind, weight, explained = OWN_ALERTS.get(alert.rule, ("", 0.0, frozenset()))
        if rules & explained and alert is not lead:
            suspect(kind, weight, alert.summary, alert.starts_at, alert.fingerprint)
        if reason := _REASONS.get(alert.labels.get("reason", "")):
            word = alert.labels["reason"]
            if reason[0] != OWN_ALERTS.get(alert.rule, ("",))[0]:
                suspect(*reason, f"the container's reason is {word}", alert.starts_at, "")
    told = lead is not None and (
        lead.rule == "container-memory-exhaustion" or lead.labels.get("reason") == "OOMKilled"
    )
    if "memory-growth" in found or told:
        found.pop("oom", None)  # the same story, one step later; or what the title says
    total = 1.0 + sum(weight for weight, _ in found.values())
    ranked = sorted(found.values(), key=lambda pair: (-pair[0], pair[1].kind))[:_SHOWN]
    causes = [_with_odds(cause, weight / total) for weight, cause in ranked]
    unknown = Cause(
        kind="unknown", odds=1.0 - sum(c.odds for c in causes), text="unknown", at=began
    )
    return (*causes, unknown)


def likeliest(causes: Sequence[Cause]) -> Cause | None:
    """Return the cause that is likelier than *unknown*, or None."""
    unknown = next((cause.odds for cause in causes if cause.kind == "unknown"), 0.0)
    first = causes[0] if causes else None
    return first if first is not None and first.kind != "unknown" and first.odds > unknown else None


def _weight(fact: Finding, began: float, generations: Collection[str]) -> float:
    """Return how strongly a fact suggests itself for what `began` then on these generations."""
    known = EVIDENCE[fact.rule]
    weight: float = known.weight * 0.5 ** (max(0.0, began - fact.at) / known.half_life)
    if known.kind == "release" and fact.labels.get("generation") in generations:
        weight *= 2.0  # only the new generation is affected
    if fact.rule == _ODD:
        weight *= min(fact.score, 1.0)
    if fact.rule == "config-change" and _only_metadata(fact):
        weight *= 0.05  # a controller's annotation changes nothing that runs
    return weight


def _only_metadata(fact: Finding) -> bool:
    paths = [part.value for part in fact.because if part.name in ("add", "remove", "replace")]
    return bool(paths) and all(str(path).startswith("/metadata/") for path in paths)


def _with_odds(cause: Cause, odds: float) -> Cause:
    return Cause(kind=cause.kind, odds=odds, text=cause.text, at=cause.at, evidence=cause.evidence)


def _told(fact: Finding, began: float) -> str:
    who = next(
        (fact.labels[name] for name in ("user", "manager", "by") if fact.labels.get(name)), ""
    )
    by = f", by {who}" if who and who not in fact.summary else ""
    when = began - fact.at
    ago = f"{words(when)} before" if when >= 1 else "at the same time"
    return f"{fact.summary}{by}, {ago}"

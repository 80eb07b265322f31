"""The stages that stand between an incident and a message, and their order.

A stage is a pure function of an offer (what one receiver would be told of one incident) and event
time: it passes the offer on, takes alerts out of it, or closes it, always with an enumerated
reason. `PIPELINE` is the order, in one expression. What the stages look things up in is a `View`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Final, NamedTuple

from alerting import budget, dedup
from alerting.alert import Alert, Incident, Reason
from alerting.budget import Limit
from alerting.group import GroupConfig
from alerting.inhibit import InhibitRule, Sources
from alerting.mute import TimeInterval, covering
from alerting.route import Leaf, Node
from alerting.rules import FlappingConfig, RuleConfig
from alerting.silence import Silence, silenced_by


class Receiver(NamedTuple):
    """What the decisions need to know of a channel."""

    limit: Limit
    send_resolved: bool


class Policy(NamedTuple):
    """What the configuration says, resolved: everything that decisions depend on besides facts."""

    rules: Mapping[str, RuleConfig]
    flapping: FlappingConfig
    grouping: GroupConfig
    routes: Node
    inhibit: tuple[InhibitRule, ...]
    silences: tuple[Silence, ...]
    intervals: dict[str, tuple[TimeInterval, ...]]
    receivers: Mapping[str, Receiver]


class View(NamedTuple):
    """What the stages look things up in; they change only `window`, by taking from the budget."""

    sources: Sources  # firing alerts that may inhibit
    silences: Sequence[Silence]
    intervals: dict[str, tuple[TimeInterval, ...]]
    leaf: Leaf
    told: dedup.Told | None
    receiver: Receiver
    window: budget.Window


class Drop(NamedTuple):
    """An alert that is not told of, and why."""

    alert: Alert
    reason: Reason
    by: str
    covered: bool = False  # no news when its explanation ends: of the same object, or its events


class Offer(NamedTuple):
    """What one receiver would be told of one incident now."""

    incident: Incident
    firing: tuple[Alert, ...]  # what is left to tell
    over: bool  # the incident is resolved: a resolved notice
    drops: tuple[Drop, ...] = ()
    closed: bool = False  # nothing is told now
    reason: Reason = Reason.ALREADY_NOTIFIED
    again_at: float = math.inf  # look again then, if nothing happens


Stage = Callable[[Offer, View, float], Offer]
RECHECK: Final = 60.0  # seconds: silences and times of the week have whole minutes


def inhibit(offer: Offer, view: View, now: float) -> Offer:
    """Take out alerts that another one explains."""
    return _without(
        offer,
        {
            alert.fingerprint: Drop(
                alert,
                Reason.INHIBITED,
                f"{source.rule} {source.object}",
                covered=source.object == alert.object or alert.rule == "event-anomaly",
            )
            for alert in offer.firing
            if (source := view.sources.of(alert)) is not None
        },
    )


def silence(offer: Offer, view: View, now: float) -> Offer:
    """Take out alerts that somebody has silenced."""
    silenced: dict[str, Drop] = {}
    again_at = offer.again_at
    for alert in offer.firing:
        by = silenced_by(view.silences, alert.labels, now)
        if by is not None:
            silenced[alert.fingerprint] = Drop(alert, Reason.SILENCED, by.comment)
            again_at = min(again_at, by.until.timestamp())
    return _without(offer, silenced)._replace(again_at=again_at)


def mute(offer: Offer, view: View, now: float) -> Offer:
    """Close the offer in a mute time of the route; what is over is said all the same."""
    name = covering(view.leaf.mute_times, view.intervals, now)
    return offer if name is None else _close(offer, Reason.MUTED, name, now)


def active(offer: Offer, view: View, now: float) -> Offer:
    """Close the offer outside of the route's active times."""
    names = view.leaf.active_times
    if not names or covering(names, view.intervals, now) is not None:
        return offer
    return _close(offer, Reason.INACTIVE, ",".join(names), now)


def deduplicate(offer: Offer, view: View, now: float) -> Offer:
    """Close the offer if the receiver knows it all; otherwise say why it speaks."""
    if offer.over:
        if view.told is None:
            return offer._replace(closed=True)
        if not view.receiver.send_resolved:
            drops = tuple(
                Drop(a, Reason.RESOLVED_NOT_WANTED, "") for a in offer.incident.alerts[:1]
            )
            return offer._replace(closed=True, drops=offer.drops + drops)
        return offer._replace(reason=Reason.ALERTS_RESOLVED)
    if not offer.firing:
        return offer._replace(closed=True)
    decision = dedup.decide(view.told, offer.firing, view.leaf, now)
    return offer._replace(
        closed=not decision.speak,
        reason=decision.reason,
        again_at=min(offer.again_at, decision.again_at),
    )


def within_budget(offer: Offer, view: View, now: float) -> Offer:
    """Keep the offer for the digest if the channel's budget is used up."""
    if budget.admit(view.window, view.receiver.limit, now):
        return offer
    alerts = offer.firing or offer.incident.alerts[:1]
    drops = tuple(Drop(alert, Reason.BUDGET, "goes with the digest") for alert in alerts)
    return offer._replace(closed=True, reason=Reason.BUDGET, drops=offer.drops + drops)


PIPELINE: Final[tuple[Stage, ...]] = (inhibit, silence, mute, active, deduplicate, within_budget)


def decide(offer: Offer, view: View, now: float) -> Offer:
    """Return the offer after every stage; a closed offer passes no further stage."""
    return reduce(
        lambda current, stage: current if current.closed else stage(current, view, now),
        PIPELINE,
        offer,
    )


def _without(offer: Offer, dropped: Mapping[str, Drop]) -> Offer:
    if offer.over or not dropped:
        return offer
    firing = tuple(alert for alert in offer.firing if alert.fingerprint not in dropped)
    return offer._replace(firing=firing, drops=(*offer.drops, *dropped.values()))


def _close(offer: Offer, reason: Reason, by: str, now: float) -> Offer:
    if offer.over:
        return offer
    drops = tuple(Drop(alert, reason, by) for alert in offer.firing)
    again_at = min(offer.again_at, now - now % RECHECK + RECHECK)
    return offer._replace(closed=True, drops=offer.drops + drops, again_at=again_at)

"""Reviews one incident at one point of event time: what it is now, and who is told.

What is decided here leaves as records only (`Incident`, `Notification`, `Suppressed`), which the
task writes in one transaction with its state; nothing is sent from here. One line of log per
message.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping
from typing import Final

import msgspec

from alerting import budget, causes, group, suppression, text
from alerting.alert import Alert, Incident, Notification, Reason, State
from alerting.cluster import DIGEST, STORY, Index, Memory
from alerting.dedup import RANK, repeat_after, tell
from alerting.group import Story
from alerting.pipeline import Offer, Policy, View, decide
from alerting.route import Leaf, leaves
from alerting.rules import Phase
from alerting.wire import Record
from stream.records import Severity

_log = logging.getLogger(__name__)
_SHOWN: Final = 100  # alerts on a published incident
_IN_DIGEST: Final = 50  # incidents inside of a digest
_KINDS: Final[Mapping[Reason, str]] = {
    Reason.FIRST_NOTIFICATION: "firing",
    Reason.ALERTS_RESOLVED: "resolved",
    Reason.REPEAT_INTERVAL: "repeat",
}


class Outbox:
    """Collects the records that follow from the state of incidents."""

    def __init__(self, policy: Policy, memory: Memory, index: Index) -> None:
        self._policy = policy
        self._memory = memory
        self._index = index
        self._records: list[Record] = []

    def take(self) -> list[Record]:
        """Return the records since the last call."""
        records, self._records = self._records, []
        return records

    def touch(self, story: Story, at: float) -> None:
        """Review an incident at the grid point of `at`, unless it is due earlier anyway."""
        if math.ceil(at) < story.due:
            story.due = self._memory.plan(at, STORY, story.incident.id)

    def suppress(self, alert: Alert, reason: Reason, by: str, at: float) -> None:
        """Keep that `alert` was not told of, and why."""
        record = suppression.suppress(
            self._memory.hushes,
            at=at,
            rule=alert.rule,
            cluster=alert.cluster,
            object=alert.object,
            reason=reason,
            by=by,
            summary=alert.summary,
        )
        if record is not None:
            self._records.append(record)

    def review(self, story: Story, now: float) -> None:
        """Bring an open incident up to date, tell who is to be told, plan the next review."""
        story.due = math.inf
        if not group.is_open(story):
            return
        tracks = [self._memory.tracks[name] for name in story.fingerprints]
        alerts = [track.alert for track in tracks]
        firing = [track.alert for track in tracks if track.phase is Phase.FIRING]
        self._describe(story, alerts)
        if firing:
            story.over_at = None
        else:
            story.over_at = max((a.ends_at for a in alerts if a.ends_at is not None), default=now)
            over = story.over_at + self._policy.grouping.resolve_wait
            if now >= over:
                self._resolve(story, alerts, now)
                return
            self.touch(story, over)
        again_at = self._tell_all(story, firing, now) if firing else math.inf
        self.publish(story)
        if again_at < math.inf:
            self.touch(story, max(again_at, now + 1.0))

    def publish(self, story: Story) -> None:
        """Put the incident on its topic if something that matters has changed."""
        incident = story.incident
        matters = (
            incident.state,
            incident.severity,
            incident.rule,
            [(a.fingerprint, a.ends_at, a.severity, a.flapping) for a in incident.alerts],
            incident.cause and (incident.cause.kind, round(incident.cause.odds, 1)),
            incident.expected_at and incident.expected_at // 600,
            incident.timeline[-1:],
            incident.notifications,
        )
        digest = hashlib.blake2b(repr(matters).encode(), digest_size=8).hexdigest()
        if digest != story.published:
            story.published = digest
            self._records.append(incident)

    def digest(self, receiver: str, now: float) -> None:
        """Send what waited for a channel's budget in one message."""
        window = self._memory.windows[receiver]
        limit = self._policy.receivers[receiver].limit
        released = budget.release(window, limit, now)
        if released is None:
            if window.held:
                self._memory.plan(max(budget.due(window, limit), now + 1.0), DIGEST, receiver)
            return
        names, lost = released
        stories = [self._memory.stories[name] for name in names if name in self._memory.stories]
        incidents = [story.incident for story in stories]
        if not incidents:
            return
        title, lines = text.digest(incidents, lost)
        short = tuple(
            msgspec.structs.replace(i, alerts=i.alerts[:1], timeline=(), causes=())
            for i in incidents[:_IN_DIGEST]
        )
        severity = max((i.severity for i in incidents), key=RANK.__getitem__)
        first = incidents[0].id
        self._send(
            receiver,
            "",
            "digest",
            Reason.DIGEST,
            severity,
            title,
            lines,
            short,
            f"{first}|{now!r}",
            now,
        )

    # ---- one incident ----

    def _describe(self, story: Story, alerts: list[Alert]) -> None:
        keys = causes.places(alerts)
        seen = {fact.id: fact for fact in story.facts}
        seen |= {fact.id: fact for key in keys for fact in self._memory.evidence.get(key, ())}
        facts = causes.near(alerts, seen.values(), story.incident.opened_at)
        story.facts = facts[-causes.KEPT :]  # they stay with it, however long it lasts
        nodes = dict.fromkeys(node for alert in alerts for node in causes.nodes_of(alert))
        found = causes.suspects(alerts, facts, self._index.firing_on(nodes), group.leading(alerts))
        before = story.incident.cause
        cause = causes.likeliest(found)
        story.incident = group.view(story.incident, alerts[:_SHOWN], found, cause)
        if cause is not None and (before is None or before.kind != cause.kind):
            story.incident = group.with_entry(
                story.incident,
                "cause",
                story.incident.updated_at,
                f"suspected cause: {cause.text} ({cause.odds:.0%})",
            )

    def _tell_all(self, story: Story, firing: list[Alert], now: float) -> float:
        """Offer the incident to each receiver; return when to look again."""
        targets: dict[str, tuple[Leaf, list[Alert]]] = {}
        for alert in firing:
            for leaf in leaves(self._policy.routes, alert.labels):
                if not leaf.receivers:
                    self._say_once(story, alert, Reason.NOT_ROUTED, "", now)
                for receiver in leaf.receivers:
                    targets.setdefault(receiver, (leaf, []))[1].append(alert)
        again_at = math.inf
        for receiver, (leaf, alerts) in targets.items():
            if receiver not in story.told and now < story.incident.opened_at + leaf.group_wait:
                again_at = min(again_at, story.incident.opened_at + leaf.group_wait)
                continue
            if story.incident.state is State.PENDING:
                story.incident = msgspec.structs.replace(story.incident, state=State.FIRING)
            again_at = min(again_at, self._tell(story, receiver, leaf, alerts, False, now))
        if not targets and story.incident.state is State.PENDING:
            story.incident = msgspec.structs.replace(story.incident, state=State.FIRING)
        return again_at

    def _tell(
        self, story: Story, receiver: str, leaf: Leaf, alerts: list[Alert], over: bool, now: float
    ) -> float:
        window = self._memory.windows.setdefault(receiver, budget.Window())
        view = View(
            self._index.sources,
            self._policy.silences,
            self._policy.intervals,
            leaf,
            story.told.get(receiver),
            self._policy.receivers[receiver],
            window,
        )
        offer = decide(Offer(story.incident, tuple(alerts), over), view, now)
        for drop in offer.drops:
            self._say_once(story, drop.alert, drop.reason, drop.by, now)
        covered = [drop.alert for drop in offer.drops if drop.covered]
        if offer.closed and offer.reason is not Reason.BUDGET:
            if view.told is not None and covered:
                story.told[receiver] = tell(view.told, covered, view.told.at, ())
            return offer.again_at
        if not over:
            story.told[receiver] = tell(
                story.told.get(receiver), (*offer.firing, *covered), now, offer.firing
            )
        if offer.closed:
            if not window.held:
                self._memory.plan(budget.due(window, view.receiver.limit), DIGEST, receiver)
            budget.hold(window, story.incident.id)
            return now + repeat_after(leaf, story.incident.severity)
        kind = _KINDS.get(offer.reason, "update")
        incident = story.incident = msgspec.structs.replace(
            group.with_entry(story.incident, "notified", now, f"{receiver}: {offer.reason.value}"),
            notifications=story.incident.notifications + 1,
        )
        lines = text.body(incident, offer.firing, kind, now)
        key = f"{kind}|{incident.notifications}"
        title = text.title(incident, kind, now)
        self._send(
            receiver,
            incident.id,
            kind,
            offer.reason,
            incident.severity,
            title,
            lines,
            (incident,),
            key,
            now,
        )
        return min(offer.again_at, now + repeat_after(leaf, incident.severity))

    def _resolve(self, story: Story, alerts: list[Alert], now: float) -> None:
        over_at = now if story.over_at is None else story.over_at
        story.incident = msgspec.structs.replace(
            group.with_entry(story.incident, "resolved", over_at, "all alerts are over"),
            state=State.RESOLVED,
            resolved_at=over_at,
            updated_at=now,
        )
        if not story.told and not story.hushed:
            self.suppress(alerts[0], Reason.BELOW_PENDING, "over before group_wait had passed", now)
        for receiver in list(story.told):
            if receiver in self._policy.receivers:
                self._tell(story, receiver, self._policy.routes.leaf, [], True, now)
        self.publish(story)
        self._index.drop_story(story, alerts)
        # From here on only a digest may want it: the rest is on the topic.
        story.incident = msgspec.structs.replace(
            story.incident, alerts=story.incident.alerts[:1], timeline=()
        )
        story.fingerprints, story.hushed, story.facts = [], [], []

    def _say_once(self, story: Story, alert: Alert, reason: Reason, by: str, now: float) -> None:
        """Suppress, but say it once per incident and reason, however often it is reviewed."""
        key = f"{alert.fingerprint}|{reason.value}"
        if key not in story.hushed:
            story.hushed.append(key)
            self.suppress(alert, reason, by, now)

    def _send(
        self,
        receiver: str,
        incident: str,
        kind: str,
        reason: Reason,
        severity: Severity,
        title: str,
        lines: str,
        incidents: tuple[Incident, ...],
        key: str,
        now: float,
    ) -> None:
        name = hashlib.blake2b(
            f"{self._memory.cluster}|{incident}|{receiver}|{key}".encode(), digest_size=12
        ).hexdigest()
        self._records.append(
            Notification(
                id=name,
                at=now,
                channel=receiver,
                incident=incident,
                kind=kind,
                reason=reason,
                severity=severity,
                cluster=self._memory.cluster,
                title=title,
                text=lines,
                incidents=incidents,
            )
        )
        _log.debug(
            "notification=%s incident=%s receiver=%s kind=%s reason=%s",
            name,
            incident,
            receiver,
            kind,
            reason.value,
        )

"""The incidents of one cluster: findings and event time in, records for people out.

`advance` takes findings in order and an event time that nothing older will follow. Alerts and
incidents are decided on the grid of whole seconds of event time, only where something is due, so
the size of the steps changes nothing: the same findings give the same records, to the bit, in one
call or in a thousand. No clock, no I/O.

The parts are elsewhere: `alerting.rules` (alerts), `alerting.group` (what is one incident),
`alerting.causes`, `alerting.pipeline` (what is said to whom); this file moves alerts through them
and keeps the agenda. Memory: an incident is forgotten an hour after it is over, evidence after six
hours.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from alerting import causes, group, rules, suppression, text
from alerting.alert import Alert, Reason, State
from alerting.cluster import ALERT, DIGEST, PRUNE, STORY, Index, Memory
from alerting.group import Story
from alerting.inhibit import BUILT_IN
from alerting.outbox import Outbox
from alerting.pipeline import Policy
from alerting.rules import Change, Phase, RuleConfig, Track
from alerting.wire import Record
from stream.records import Finding

_HOUR: Final = 3600.0
_KEEP_RESOLVED: Final = _HOUR  # a digest may still name it; the topic keeps it for a year
FEEDBACK: Final = "event-feedback"  # what people think of a finding about Events
_STALE: Final = 7 * 24 * _HOUR  # an alert that nobody speaks of any more is over

# What comes true when this happens to the same object.
REALISED: Final[Mapping[str, frozenset[str]]] = {
    "oom-kill": frozenset({"container-memory-exhaustion"}),
    "MemoryPressure": frozenset({"node-memory-exhaustion"}),
    "DiskPressure": frozenset({"node-disk-exhaustion", "node-inode-exhaustion"}),
    "PIDPressure": frozenset({"node-pid-exhaustion"}),
}


class Incidents:
    """Turns findings of one cluster into incidents and notifications.

    Parameters
    ----------
    policy
        What the configuration says.
    memory
        State; changed in place. A new `Memory` begins anew.
    """

    def __init__(self, policy: Policy, memory: Memory) -> None:
        self._policy = policy
        self._memory = memory
        self._index = Index(memory, policy.inhibit)
        self._outbox = Outbox(policy, memory, self._index)
        self._own_inhibition = any(rule not in BUILT_IN for rule in policy.inhibit)

    def advance(self, findings: Sequence[Finding], until: float) -> list[Record]:
        """Return what follows from `findings` and from event time having come to `until`.

        Parameters
        ----------
        findings
            In the order of their event time; none is older than the last `until`.
        until
            Nothing older than this will follow.
        """
        agenda = self._memory.agenda
        for finding in findings:
            while agenda and agenda[0][0] < finding.at:
                self._look()
            self._take(finding)
        while agenda and agenda[0][0] < until:
            self._look()
        self._memory.reached = max(self._memory.reached, until)
        return self._outbox.take()

    # ---- findings in ----

    def _take(self, finding: Finding) -> None:
        memory = self._memory
        if memory.prune_at == math.inf:
            memory.prune_at = memory.plan(finding.at // _HOUR * _HOUR + _HOUR, PRUNE, "")
        rule = self._rule(finding.rule)
        if finding.state == "evidence" or not rule.enabled:
            if finding.state != "resolved":
                causes.keep(memory.evidence, finding)
                near = self._index.about([causes.place(finding.object)])
                if finding.rule == FEEDBACK:
                    self._note_feedback(near, finding)
                for story in [*near, *self._index.inside(finding.object)]:
                    self._outbox.touch(story, finding.at)
        elif finding.state == "firing":
            self._fire(finding, rule)
        else:
            name = rules.fingerprint(finding)
            track = memory.tracks.get(name)
            if track is not None:
                rules.feed(track, finding, rule, self._policy.flapping)
                self._plan(name, track, finding.at)
        if finding.state != "resolved":
            self._realise(finding)

    def _fire(self, finding: Finding, rule: RuleConfig) -> None:
        memory = self._memory
        name = rules.fingerprint(finding)
        track = memory.tracks.get(name)
        if track is None:
            track = rules.feed(None, finding, rule, self._policy.flapping)
            memory.tracks[name] = track
            self._index.add_track(name, track)
        else:
            labels, repeated = track.alert.labels, track.holds and track.phase is Phase.FIRING
            rules.feed(track, finding, rule, self._policy.flapping)
            story = memory.stories.get(track.incident)
            if repeated and story is not None and group.is_open(story):
                if story.told:
                    self._outbox.suppress(
                        track.alert, Reason.ALREADY_NOTIFIED, story.incident.id, finding.at
                    )
                if labels != track.alert.labels:
                    self._index.add_alert(story, track.alert)
                    self._index.sources.add(track.alert)
                self._outbox.touch(story, finding.at)
        causes.keep(memory.evidence, finding)  # a node's alert explains others after its end, too
        if finding.expected_at is not None:
            if finding.expected_at > finding.at:
                track.predicted = finding.expected_at
            elif track.predicted is not None:
                self._came_true(track, finding.at)
        self._plan(name, track, finding.at)

    def _note_feedback(self, stories: Sequence[Story], finding: Finding) -> None:
        for story in stories:
            story.incident = group.with_entry(
                story.incident, "feedback", finding.at, finding.summary
            )

    def _realise(self, finding: Finding) -> None:
        for word in (finding.rule, finding.labels.get("reason", "")):
            for track in self._index.tracks_of(finding.object) if word in REALISED else ():
                if track.predicted is not None and track.alert.rule in REALISED[word]:
                    self._came_true(track, finding.at)

    def _came_true(self, track: Track, at: float) -> None:
        predicted, track.predicted = track.predicted, None
        story = self._memory.stories.get(track.incident)
        if story is None or predicted is None or not group.is_open(story):
            return
        if story.incident.came_true_at is None:
            first = story.incident.first_expected_at
            said = text.difference(at, predicted if first is None else first)
            story.incident = msgspec.structs.replace(
                group.with_entry(story.incident, "came-true", at, f"came true {said}"),
                came_true_at=at,
            )
        self._outbox.touch(story, at)

    # ---- the agenda ----

    def _plan(self, name: str, track: Track, at: float) -> None:
        if math.ceil(at) < track.due:
            track.due = self._memory.plan(at, ALERT, name)

    def _look(self) -> None:
        now, kind, name = heapq.heappop(self._memory.agenda)
        if kind == ALERT:
            track = self._memory.tracks.get(name)
            if track is not None and track.due == now:
                self._settle(name, track, now)
        elif kind == STORY:
            story = self._memory.stories.get(name)
            if story is not None and story.due == now:
                self._outbox.review(story, now)
        elif kind == DIGEST:
            self._outbox.digest(name, now)
        else:
            self._prune(now)

    # ---- alerts ----

    def _rule(self, name: str) -> RuleConfig:
        return self._policy.rules.get(name, rules.DEFAULT_RULE)

    def _settle(self, name: str, track: Track, now: float) -> None:
        track.due = math.inf
        rule, flap = self._rule(track.alert.rule), self._policy.flapping
        while (change := rules.settle(track, now, rule, flap)) is not Change.NONE:
            self._changed(track, change, now)
        following = rules.due(track, rule, flap)
        if following < math.inf:
            self._plan(name, track, following)

    def _changed(self, track: Track, change: Change, now: float) -> None:
        alert, story = track.alert, self._memory.stories.get(track.incident)
        match change:
            case Change.FIRED:
                story = self._join(track, now)
            case Change.BELOW_PENDING:
                self._outbox.suppress(alert, Reason.BELOW_PENDING, "", now)
            case Change.FLAPPING:
                self._outbox.suppress(alert, Reason.FLAPPING, "", now)
        if story is None or not group.is_open(story):
            return
        said = {
            Change.FIRED: f"{alert.rule} of {alert.object} fires",
            Change.ENDED: f"{alert.rule} of {alert.object} is over",
            Change.FLAPPING: f"{alert.rule} of {alert.object} comes and goes",
            Change.SETTLED: f"{alert.rule} of {alert.object} has settled",
        }
        if change in said:
            story.incident = group.with_entry(story.incident, change.value, now, said[change])
            self._outbox.touch(story, now)
        if change is Change.ENDED and self._index.sources.remove(alert.fingerprint):
            self._touch_explained(alert, now)

    def _touch_explained(self, source: Alert, now: float) -> None:
        if self._own_inhibition:
            explained = [s for s in self._memory.stories.values() if group.is_open(s)]
        else:
            explained = [*self._index.inside(source.object), *self._index.near(source)]
        for story in explained:
            self._outbox.touch(story, now)

    def _join(self, track: Track, now: float) -> Story:
        """Put a firing alert into its incident, a new one where there is none."""
        memory, alert = self._memory, track.alert
        alerts = {alert.fingerprint: alert}
        story = memory.stories.get(track.incident)
        if story is None or not group.is_open(story):
            near = self._index.near(alert)
            if self._policy.grouping.group_by:
                near = [s for s in memory.stories.values() if group.is_open(s)]
            alerts |= {
                name: memory.tracks[name].alert
                for other in near
                for name in other.fingerprints
                if name in memory.tracks
            }
            story = group.choose(alert, near, alerts, self._policy.grouping)
        if story is None:
            story = group.open_story(alert, self._policy.grouping, now)
            memory.stories[story.incident.id] = story
        if alert.fingerprint not in story.fingerprints:
            story.fingerprints.append(alert.fingerprint)
        track.incident = story.incident.id
        self._index.add_alert(story, alert)
        inside = [other for other in self._index.inside(alert.object) if other is not story]
        alerts |= {
            name: memory.tracks[name].alert
            for other in inside
            for name in other.fingerprints
            if name in memory.tracks
        }
        for other in sorted(
            group.explained_by(alert, inside, alerts), key=lambda one: one.incident.id
        ):
            self._merge(other, story, now)
        if self._index.sources.add(alert):
            self._touch_explained(alert, now)
        return story

    def _merge(self, part: Story, whole: Story, now: float) -> None:
        """Give the alerts of an incident that nobody knows of to the one that explains it."""
        for name in part.fingerprints:
            track = self._memory.tracks[name]
            track.incident = whole.incident.id
            whole.fingerprints.append(name)
            self._index.add_alert(whole, track.alert)
        said = f"merged into the incident of {whole.incident.object}"
        part.incident = msgspec.structs.replace(
            group.with_entry(part.incident, "merged", now, said),
            state=State.RESOLVED,
            resolved_at=now,
            updated_at=now,
            merged_into=whole.incident.id,
        )
        self._outbox.publish(part)
        self._index.drop_story(part, [self._memory.tracks[n].alert for n in part.fingerprints])

    # ---- forgetting ----

    def _prune(self, now: float) -> None:
        memory = self._memory
        causes.forget(memory.evidence, now)
        suppression.forget(memory.hushes, now)
        for name, story in list(memory.stories.items()):
            over = story.incident.resolved_at
            if over is not None and over <= now - _KEEP_RESOLVED:
                del memory.stories[name]
        for name, track in list(memory.tracks.items()):
            mine = memory.stories.get(track.incident)
            if track.phase is Phase.ENDED:
                if track.holds_since <= now - _HOUR and (mine is None or not group.is_open(mine)):
                    del memory.tracks[name]
            elif track.holds and track.alert.updated_at <= now - _STALE:
                track.holds, track.holds_since = False, now
                self._plan(name, track, now)
        self._index.rebuild()
        left = memory.tracks or memory.stories or memory.evidence or memory.hushes
        memory.prune_at = memory.plan(now + _HOUR, PRUNE, "") if left else math.inf

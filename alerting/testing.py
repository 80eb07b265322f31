"""Public test doubles: a tiny language for stories on event time, what is said and who hears.

::

    story = Story()
    story.at(2.2).firing("restart-burst", CHECKOUT)
    story.at(30).quiet()
    assert story.between(0, 5).notified("first-notification", "Deployment shop/checkout")

Times are minutes after the story's beginning. Findings go through `Ordering` and `Incidents` as in
the task; nothing is mocked.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from alerting.alert import Incident, Notification, Reason, Suppressed
from alerting.cluster import Memory
from alerting.config import AlertingConfig
from alerting.incidents import Incidents
from alerting.ordering import Ordering
from alerting.wire import Record, encode
from stream.codec import digest
from stream.records import Conclusion, Finding, ObjectRef, Part, Progress, Severity

START: Final = 1_760_000_000.0
CLUSTER: Final = "prod"
CHECKOUT: Final = ObjectRef("Deployment", "shop", "checkout")
CART: Final = ObjectRef("Deployment", "shop", "cart")
NODE: Final = ObjectRef("Node", "", "node-3")


class Moment:
    """One time of the story, at which the stream says something."""

    def __init__(self, story: Story, minutes: float, source: str) -> None:
        self._story = story
        self._at = START + minutes * 60.0
        self._source = source

    def firing(
        self,
        rule: str,
        ref: ObjectRef,
        *,
        severity: Severity = Severity.WARNING,
        expected_in: float | None = None,
        because: tuple[Part, ...] = (),
        summary: str = "",
        **labels: str,
    ) -> Moment:
        """Say that a rule fires; `expected_in` is minutes from now."""
        due = None if expected_in is None else self._at + expected_in * 60.0
        return self._say("firing", rule, ref, severity, due, because, summary, labels)

    def resolved(self, rule: str, ref: ObjectRef, **labels: str) -> Moment:
        """Say that it is over."""
        return self._say("resolved", rule, ref, Severity.INFO, None, (), "", labels)

    def evidence(
        self, rule: str, ref: ObjectRef, summary: str = "", *, score: float = 0.0, **labels: str
    ) -> Moment:
        """Say what only explains."""
        return self._say("evidence", rule, ref, Severity.INFO, None, (), summary, labels, score)

    def quiet(self) -> Moment:
        """Nothing more is said until now."""
        self._story.end = max(self._story.end, self._at)
        return self

    def _say(
        self,
        state: Any,
        rule: str,
        ref: ObjectRef,
        severity: Severity,
        due: float | None,
        because: tuple[Part, ...],
        summary: str,
        labels: dict[str, str],
        score: float = 0.0,
    ) -> Moment:
        number = len(self._story.findings)
        self._story.findings.append(
            Finding(
                id=f"f{number}",
                rule=rule,
                state=state,
                at=self._at,
                cluster=CLUSTER,
                object=ref,
                severity=severity,
                summary=summary or f"{rule} of {ref.name}",
                since=self._at,
                expected_at=due,
                score=score,
                because=because,
                labels=labels,
                source=self._source,
            )
        )
        self._story.end = max(self._story.end, self._at)
        return self


class Span(NamedTuple):
    """What people heard in a span of the story."""

    notifications: list[Notification]
    suppressions: list[Suppressed]

    def notified(self, reason: str = "", about: str = "") -> list[Notification]:
        """Return the notifications with this reason that speak of `about`."""
        return [
            n
            for n in self.notifications
            if (not reason or n.reason == Reason(reason)) and about in n.title + n.text
        ]

    def suppressed(self, reason: str, about: str = "") -> list[Suppressed]:
        """Return the suppressions with this reason of an object that `about` names."""
        return [
            s for s in self.suppressions if s.reason == Reason(reason) and about in str(s.object)
        ]


class Story:
    """What the stream said, and the telling of it."""

    def __init__(self, **config: Any) -> None:
        self.config = AlertingConfig.model_validate(config)
        self.findings: list[Finding] = []
        self.end = START
        self._records: list[Record] | None = None

    def at(self, minutes: float, source: str = "pods/0") -> Moment:
        """Return a moment; its findings come from `source`."""
        self._records = None
        return Moment(self, minutes, source)

    def until(self, minutes: float) -> Story:
        """Let the story go on until then."""
        self.end = START + minutes * 60.0
        self._records = None
        return self

    @property
    def records(self) -> list[Record]:
        """Everything that follows, in the natural order of the log."""
        if self._records is None:
            self._records = self.told(self.logged())
        return self._records

    def logged(self) -> list[Conclusion]:
        """Return the findings by time, each source saying how far it is: one natural log."""
        ordered = sorted(self.findings, key=lambda finding: finding.at)
        names = sorted({finding.source for finding in ordered})
        log: list[Conclusion] = []
        for at, group in itertools.groupby(ordered, key=lambda finding: finding.at):
            log += group
            log += [Progress(source=name, cluster=CLUSTER, at=at) for name in names]
        log += [Progress(source=name, cluster=CLUSTER, at=self.end + 1.0) for name in names]
        return log

    def told(self, log: Sequence[Conclusion], step: int = 0) -> list[Record]:
        """Everything that follows from the log, offered `step` conclusions at a time (0: one)."""
        ordering = Ordering()
        ordering.expect(sorted({finding.source for finding in self.findings}))
        incidents = Incidents(self.config.policy(), Memory(CLUSTER))
        records: list[Record] = []
        size = step or 1
        for start in range(0, len(log), size):
            for conclusion in log[start : start + size]:
                ordering.offer(conclusion)
            findings, reached = ordering.release()
            records += incidents.advance(findings, reached)
        return records

    def between(self, start: float, end: float) -> Span:
        """Return what people heard between two times, in minutes."""
        low, high = START + start * 60.0, START + end * 60.0
        return Span(
            [r for r in self.records if isinstance(r, Notification) and low <= r.at < high],
            [r for r in self.records if isinstance(r, Suppressed) and low <= r.at < high],
        )

    def incidents(self) -> list[Incident]:
        """Return the last word on every incident."""
        last: dict[str, Incident] = {}
        for record in self.records:
            if isinstance(record, Incident):
                last[record.id] = record
        return list(last.values())


def digest_of(records: Sequence[Record]) -> str:
    """Return one digest of all that was said."""
    return digest(encode(record) for record in records)

"""Backtest of events: what would have become of every line, and why.

Each line becomes an event record and goes through the live operator (`stream.operators.events`),
whose witness hears every decision; a line of type ``Fact`` says that a container restarted and goes
through `stream.operators.restarts`. Every line is answered once, in the order of the decisions:

    notify     a message was sent at `at`; the line is the one that made the trouble strangest
    group      the line belongs to an incident that was told of, before or after the line
    suppress   nobody was told; `because` says why not

`at` is the time of the decision: the line's own, or later where a timer decided. When the lines
end, time runs on until every line is answered, as if nothing more had come. A workload's burst of
restarts and its events are one incident.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

import msgspec

from forewarn.backtest.reading import Row, moment
from ingest.reasons import category_of
from models.templates import template_of
from stream.operators.event_groups import Group
from stream.operators.event_witness import Dismissal
from stream.operators.events import GRID, Events, EventSettings
from stream.operators.restarts import Restarts, RestartSettings
from stream.records import Container, EventRecord, Finding, ObjectRef, PodRecord, Tick

_CLUSTER: Final = "backtest"
_LAST: Final = 26 * 3600.0  # seconds after the last line in which everything is surely decided
_WHY: Final[dict[Dismissal, str]] = {
    "normal": "a Normal line of ordinary life",
    "duplicate": "known already, or older than what is known",
    "usual": "it does what it usually does",
    "learning": "learning: too little of the cluster was seen to call anything unusual",
}

Line = dict[str, Any]


class EventLine(msgspec.Struct):
    """One observation of an Event, or a restart seen in a pod's status (type Fact)."""

    at: float | str
    kind: str
    name: str
    type: Literal["Normal", "Warning", "Fact"]
    reason: str
    namespace: str | None = ""
    workload: str | None = ""  # None: the object is its own
    node: str | None = ""
    message: str | None = ""
    count: int | None = 1

    def __post_init__(self) -> None:
        self.at = moment(self.at)

    @property
    def ref(self) -> ObjectRef:
        """The workload that the line is about, or the object itself."""
        if self.kind == "Node":
            return ObjectRef("Node", "", self.name)
        if not self.workload:
            return ObjectRef(self.kind, self.namespace or "", self.name)
        return ObjectRef("Workload", self.namespace or "", self.workload)


def run(rows: Iterable[Row], emit: Callable[[Line], None]) -> None:
    """Answer every line; about 50 µs a line."""
    book = _Book(emit)
    now: float | None = None
    for row in rows:
        if row.given is None:
            book.answer(row.index, now, "suppress", f"unreadable: {row.error}")
            continue
        line: EventLine = row.given
        at = float(line.at)
        now = at if now is None else now
        book.pass_time(now, at)
        now = max(now, at)
        book.take(row.index, line, now)
    if now is not None:
        book.finish(now)


class _Book:
    """Lines that wait for a decision, and the incidents that were told of; the witness."""

    def __init__(self, emit: Callable[[Line], None]) -> None:
        self._emit = emit
        self._events = Events(EventSettings(), self)
        self._restarts = Restarts(RestartSettings())
        self._current = (-1, 0.0)  # index and time of the line that the operator is given
        self._counted: dict[str, list[int]] = {}  # key → lines
        self._grouped: dict[int, list[int]] = {}  # group → lines
        self._strangest: dict[int, int] = {}  # group → line
        self._told: dict[int, str] = {}  # group → incident
        self._facts: dict[ObjectRef, list[int]] = {}  # workload → restarts not yet judged
        self._bursts: dict[ObjectRef, str] = {}  # workload → incident
        self._groups_of: dict[ObjectRef, dict[int, None]] = {}  # workload → groups told of it
        self._incidents = 0
        self._known: dict[str, tuple[int, int, float]] = {}  # Event → its life, count, time
        self._pods: dict[str, int] = {}  # pod → its restarts
        self._ticks = 0.0

    def take(self, index: int, line: EventLine, now: float) -> None:
        """Give a line to the operator that it belongs to."""
        self._current = (index, now)
        if line.type == "Fact":
            self._facts.setdefault(line.ref, []).append(index)
            for record in self._pod_records(line):
                self._burst(self._restarts.on_records([record]))
        else:
            self._events.on_records([self._event_record(index, line)])

    def pass_time(self, since: float, until: float) -> None:
        """Let both operators' timers go on."""
        at = (since // GRID + 1) * GRID
        while at < until:
            tick = Tick(_CLUSTER, at)
            self._current = (-1, at)
            self._events.on_records([tick])
            self._burst(self._restarts.on_records([tick]))
            self._judge_facts(at)
            at += GRID

    def finish(self, now: float) -> None:
        """Let time run on until every line is answered."""
        end = now
        while end < now + _LAST and (self._counted or self._grouped or self._facts):
            self.pass_time(end, end + 600.0)
            end += 600.0

    def answer(
        self, index: int, at: float | None, action: str, because: str, incident: str | None = None
    ) -> None:
        """Answer one line."""
        self._emit(
            {"index": index, "at": at, "action": action, "because": because, "incident": incident}
        )

    # restarts

    def _pod_records(self, line: EventLine) -> list[PodRecord]:
        """Return the pod at its count; at first sight, also as it was one restart before."""
        count, at = max(line.count or 1, 1), float(line.at)
        name = f"{line.ref}/{line.name}"
        known = self._pods.get(name)
        if known is not None:
            count = max(count, known + 1)  # every fact is a restart, whatever it counts
        self._pods[name] = count
        counts = [count] if known is not None else [count - 1, count]
        oom = "OOM" in line.reason or "OOM" in (line.message or "")
        return [
            PodRecord(
                *(_CLUSTER, at, line.namespace or "", line.name, name, "", line.ref),
                *(line.node or "", "Running", at - 86_400.0),
                (
                    Container(
                        *("app", "", restarts, True, "running"),
                        last_reason="OOMKilled" if oom else "Error",
                        last_finished_at=at,
                    ),
                ),
            )
            for restarts in counts
        ]

    def _burst(self, outputs: Iterable[object]) -> None:
        """Tell of a workload's burst, or end it."""
        for finding in outputs:
            if not isinstance(finding, Finding) or finding.rule != "restart-burst":
                continue
            ref = finding.object
            if finding.state == "resolved":
                self._bursts.pop(ref, None)
            elif ref not in self._bursts:
                waiting = self._facts.get(ref, [])
                because = "; ".join(part.text for part in finding.because)
                known = next(iter(self._groups_of.get(ref, ())), None)
                if known is not None:
                    self._bursts[ref] = self._told[known]
                    continue
                self._bursts[ref] = incident = self._next_incident()
                if waiting:
                    index = waiting.pop()
                    self.answer(index, finding.at, "notify", because, incident)

    def _judge_facts(self, at: float) -> None:
        for ref, indices in self._facts.items():
            incident = self._bursts.get(ref)
            for index in indices:
                if incident is None:
                    why = "a restart, and no more of them than chance brings"
                    self.answer(index, at, "suppress", why)
                else:
                    self.answer(index, at, "group", "part of the burst of restarts", incident)
        self._facts.clear()

    def _next_incident(self) -> str:
        self._incidents += 1
        return f"incident-{self._incidents}"

    # events

    def _event_record(self, index: int, line: EventLine) -> EventRecord:
        count, at = max(line.count or 1, 1), float(line.at)
        message = line.message or ""
        words = f"{line.namespace}/{line.kind}/{line.name}/{line.reason}/{message}"
        name = f"{words[:80]}{zlib.crc32(words.encode()):08x}"
        life, before, seen = self._known.get(name, (0, 0, at))
        if count < before and at >= seen:
            life += 1  # the Event had expired, and begins anew
        self._known[name] = (life, count, max(seen, at))
        namespace = line.namespace or ""
        obj = ObjectRef(line.kind, "" if line.kind == "Node" else namespace, line.name)
        return EventRecord(
            *(_CLUSTER, at, namespace, f"{name}#{life}", f"{at}/{count}", obj, line.ref),
            *(line.type, line.reason, category_of(line.reason, message), message),
            *(template_of(message), count, at, line.node or ""),
        )

    # what the operator decides

    def dismissed(self, why: Dismissal) -> None:
        """Suppress the line just given."""
        index, at = self._current
        self.answer(index, at, "suppress", _WHY[why])

    def counted(self, key: str) -> None:
        """Let the line just given wait."""
        self._counted.setdefault(key, []).append(self._current[0])

    def usual(self, key: str, why: Dismissal, at: float) -> None:
        """Suppress what waits under the key."""
        for index in self._counted.pop(key, ()):
            self.answer(index, at, "suppress", _WHY[why])

    def placed(self, key: str, group: Group, at: float, *, stranger: bool) -> None:
        """Let what waits under the key share the fate of its group."""
        lines = self._counted.pop(key, [])
        incident = self._told.get(group.number)
        if incident is not None:
            self._tell_subjects(group)
            for index in lines:
                self.answer(index, at, "group", "part of an incident told before", incident)
            return
        self._grouped.setdefault(group.number, []).extend(lines)
        if lines and (stranger or group.number not in self._strangest):
            self._strangest[group.number] = lines[-1]

    def said(self, group: Group, finding: Finding, at: float) -> None:
        """Notify, naming the line that made the group strangest; its other lines are grouped."""
        lines = self._grouped.pop(group.number, [])
        burst = self._bursts.get(group.ref)
        incident = burst if burst is not None else self._next_incident()
        self._told[group.number] = incident
        self._tell_subjects(group)
        named = self._strangest.pop(group.number, lines[-1] if lines else None)
        because = "; ".join(part.text for part in finding.because)
        for index in lines:
            if index == named and burst is None:
                self.answer(index, at, "notify", f"{finding.summary}: {because}", incident)
            else:
                self.answer(index, at, "group", "part of the incident", incident)

    def folded(self, group: Group, into: int, at: float) -> None:
        """Group the lines with an incident that was told of."""
        incident = self._told[group.number] = self._told[into]
        self._tell_subjects(group)
        self._strangest.pop(group.number, None)
        for index in self._grouped.pop(group.number, ()):
            self.answer(index, at, "group", "part of an incident told before", incident)

    def ended(self, group: Group, at: float) -> None:
        """Suppress what never weighed enough."""
        why = f"its evidence weighed {group.score:.1f}, too little to tell of"
        if group.score >= (EventSettings().threshold or 0.0):
            why = "rare, but over within a minute or recovered"
        for index in self._grouped.pop(group.number, ()):
            self.answer(index, at, "suppress", why)
        self._strangest.pop(group.number, None)
        if self._told.pop(group.number, None) is not None:
            for known in self._groups_of.values():
                known.pop(group.number, None)

    def _tell_subjects(self, group: Group) -> None:
        refs = [_ref_of(subject) for subject in group.subjects]
        for ref in (group.ref, *refs):
            self._groups_of.setdefault(ref, {})[group.number] = None


def _ref_of(subject: str) -> ObjectRef:
    """Return the object of a subject of the operator: ``cluster/kind/namespace/name``."""
    _, kind, namespace, name = subject.split("/", 3)
    return ObjectRef(kind, namespace, name)

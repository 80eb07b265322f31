"""Kubernetes Events: from a flood of lines to the few that are new, lasting and grave.

Normal lines end at one lookup, unless they say that something goes on. What is left is counted by
key (a workload or node, and a reason); a count that jumps reveals what the client's own rate limit
has hidden. Every 30 seconds of event time the touched keys are judged in one call of
`models.events`: how rarely does this workload do that, this namespace, cluster, node, message? What
is rare opens or joins a group (`stream.operators.event_groups`), and a group that has settled and
weighs enough (`models.evidence`) is said: `event-anomaly`, once, until two hours without a line
have passed.

Guarantees: nothing is dropped unaccounted. Every 30 minutes `event-noise` says how many lines came,
how many events they stood for, and for what reason which were not said. Keys that were silent for
two weeks are forgotten. Cost: about 1 µs a Normal line, 10 µs another.

Left to others: restarts (pod records say it better), joining with releases (`alerting`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from models.base import Rows
from models.events import EventBank
from models.evidence import Evidence, Term, score
from models.reasons import family_of
from stream.checkpoint import PagedBank, PagedValue
from stream.columns import Columns
from stream.operators.agenda import Agenda
from stream.operators.base import Output
from stream.operators.bounds import Score, Seconds
from stream.operators.event_feedback import Verdicts, say_held, subject_of
from stream.operators.event_groups import SETTLE, Group, Line
from stream.operators.event_keys import Classes, places
from stream.operators.event_witness import Nobody, Witness
from stream.operators.event_words import ENTRIES, say, say_account
from stream.operators.shelf import Shelf
from stream.records import EventInput, EventRecord, Feedback
from stream.topics import EVENTS

_MINUTE = 60.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class EventSettings:
    """When a group of events is worth a word."""

    threshold: Score | None = 7.2
    """`event-anomaly` from this evidence score; None turns the rule off."""
    critical: Score = 8.0
    """Severity critical from this score."""
    warm_up: Seconds = 12 * _HOUR
    """Seconds of a cluster in which nothing can be called unusual."""
    hold: Seconds = 2 * _HOUR
    """Seconds without a line after which a group is over."""
    fold: Seconds = 15 * _MINUTE
    """Seconds after a group was said in which a second of its family and place is part of it."""
    noise_every: Seconds = 30 * _MINUTE
    """Seconds of event time between two `event-noise` accounts; divides a day."""
    idle: Seconds = 14 * 24 * _HOUR
    """Seconds after which a silent key is forgotten."""


GRID: Final = 30.0  # seconds between two times at which keys are judged
_JUMP: Final = 60.0  # events that one line stands for at most
_LIVES: Final = 2 * _HOUR  # seconds that an Event's count is remembered; its own life is one hour
_TOLD: Final = 0.2  # weight with which a subject that is spoken of is learned
_OBJECTS: Final = 20  # objects of one key between two looks
# A key is a candidate from these; loose on purpose, the weighing is strict.
_OWN, _NAMESPACE, _FLEET, _NODE, _EXCESS = 1.2, 1.2, 1.0, 1.5, 3.5
_BROAD: Final = 0.45  # return period of the cluster's breadth from which families join
_PENDING, _GROUP, _ACCOUNT = "pending", "group/", "account"


class _Seen(msgspec.Struct, gc=False, array_like=True):
    """An Event object's newest count."""

    count: int
    version: str
    at: float


class Events:
    """The operator `events`."""

    name: Final = "events"
    topic: Final = EVENTS

    def __init__(self, settings: EventSettings, witness: Witness | None = None) -> None:
        self._settings = settings
        self._witness: Witness = witness or Nobody()
        self._seen: Shelf[_Seen] = Shelf("seen", _Seen)
        self._lines: Shelf[Line] = Shelf("lines", Line, pages=1)
        self._groups: Shelf[Group] = Shelf("groups", Group, pages=16)
        self._of_subject: dict[str, dict[int, None]] = {}  # subject → groups; made from groups
        self._keys = Columns("keys")
        self._bank = EventBank()
        self._flows = PagedBank("flows", self._bank)
        self._agenda = Agenda(GRID)
        self._progress_or_none = Classes()
        self._now = -math.inf
        self._next = 0  # number of the next group
        self._began: dict[str, float] = {}
        self._verdicts = Verdicts()
        self._account: dict[str, dict[str, int]] = {}  # cluster → what happened to its lines
        self._due: dict[str, float] = {}  # of "pending" and "account"
        self._time = PagedValue("time", _Time, self._get_time, self._set_time)

    def on_records(self, records: Sequence[EventInput]) -> Sequence[Output]:
        """Learn from events and ticks."""
        out: list[Output] = []
        classes = self._progress_or_none
        for record in records:
            if record.at > self._now:
                self._advance(record.at, out)
            if type(record) is Feedback:
                out.append(self._verdicts.take(record, self._now))
            if type(record) is not EventRecord:
                continue
            account = self._account.get(record.cluster)
            if account is None:
                account = self._open_account(record)
            account["lines"] += 1
            if record.type == "Normal" and (kind := classes[record.reason]) is not None:
                account["normal"] += 1
                self._witness.dismissed("normal")
                if kind and self._of_subject:
                    self._clear(record, kind)
                continue
            self._observe(record, account)
        return out

    def _advance(self, to: float, out: list[Output]) -> None:
        self._now = to
        while (due := self._agenda.take(to)) is not None:
            at, keys = due
            for key in keys:
                self._due.pop(key, None)
                if key == _PENDING:
                    self._judge(at)
                elif key == _ACCOUNT:
                    self._tell_account(at, out)
                else:
                    self._look(key, at, out)

    def _open_account(self, record: EventRecord) -> dict[str, int]:
        self._began.setdefault(record.cluster, record.at)
        self._wake(_ACCOUNT, _ceil(self._now, self._settings.noise_every))
        account = dict.fromkeys(ENTRIES, 0)
        self._account[record.cluster] = account
        return account

    def _wake(self, key: str, at: float) -> None:
        self._due[key] = self._agenda.put(key, at, now=self._now)

    # stage A: what a line says

    def _observe(self, record: EventRecord, account: dict[str, int]) -> None:
        seen = self._seen.get(record.uid)
        hidden = 1
        if seen is not None:
            if (
                record.deleted
                or record.resource_version == seen.version
                or (record.count < seen.count)
            ):
                self._dismiss_duplicate(account)
                return
            hidden = min(max(record.count - seen.count, 1), int(_JUMP))
        elif record.deleted or record.at < self._began[record.cluster] - _LIVES:
            self._dismiss_duplicate(account)
            return
        self._seen.put(record.uid, _Seen(record.count, record.resource_version, self._now))
        account["events"] += hidden
        pulling = record.reason == "BackOff" and "pulling" in record.message
        reason = "ImagePullBackOff" if pulling else record.reason
        ref = record.object if record.object.kind == "Node" else record.workload
        subject = subject_of(record.cluster, ref)
        key = f"{subject}|{reason}"
        line = self._lines.get(key)
        if line is None:
            node = ref.name if ref.kind == "Node" else record.node
            line = Line(
                record.cluster,
                subject,
                ref,
                reason,
                record.category,
                family_of(record.category, reason),
                record.namespace if ref.kind != "Node" else "",
                node,
                record.template,
            )
        line.count += hidden
        name = str(record.object)
        if name not in line.objects and len(line.objects) < _OBJECTS:
            line.objects.append(name)
        self._lines.put(key, line)
        self._witness.counted(key)
        if _PENDING not in self._due:
            self._wake(_PENDING, self._now)

    def _dismiss_duplicate(self, account: dict[str, int]) -> None:
        account["duplicate"] += 1
        self._witness.dismissed("duplicate")

    def _clear(self, record: EventRecord, families: frozenset[str]) -> None:
        """Note progress of an object that a group may call failing."""
        ref = record.object if record.object.kind == "Node" else record.workload
        subject = subject_of(record.cluster, ref)
        name = str(record.object)
        for number in self._of_subject.get(subject, ()):
            key = f"{_GROUP}{number:012d}"
            group = self._groups.get(key)
            if group is not None and group.clear(name, families):
                self._groups.put(key, group)

    # stage B: what is rare

    def _judge(self, at: float) -> None:
        """Judge the keys that spoke since the last time, all at once."""
        lines = list(self._lines)
        for key, _ in lines:
            self._lines.drop(key)
        if not lines:
            return
        rows = self._rows([key for key, _ in lines], [line for _, line in lines], at)
        told = [self._is_told(line.subject) for _, line in lines]
        self._learn(
            rows, [line.count for _, line in lines], [_TOLD if t else 1.0 for t in told], at
        )
        fresh = self._bank.arrays()["began"][rows] == at
        own = self._bank.return_many(rows)
        excess = self._bank.excess_many(rows).max(axis=1)
        around = self._around([line for _, line in lines], fresh.tolist(), at)
        for i, (_, line) in enumerate(lines):
            namespace, fleet, node, template = around[i]
            found = Evidence(float(own[i]), namespace, fleet, node, template, float(excess[i]))
            self._place(line, found, at)

    def _rows(self, keys: Sequence[str], lines: Sequence[Line], at: float) -> Rows:
        """Return the keys' rows; a new one is told how long it was silent."""
        known = self._keys.find(keys)
        rows = self._keys.rows_of(keys)
        self._flows.reserve(self._keys.size)
        fresh = np.flatnonzero(known < 0)
        if fresh.size:
            new, where = np.unique(rows[fresh], return_index=True)
            days = np.array(
                [(at - self._began[lines[fresh[i]].cluster]) / 86_400.0 for i in where.tolist()]
            )
            self._bank.credit_many(new, np.maximum(days, 0.0), np.full(new.size, at))
        self._keys.see(rows, np.full(rows.size, at))
        return rows

    def _learn(
        self, rows: Rows, counts: Sequence[float], weights: Sequence[float], at: float
    ) -> None:
        self._bank.learn_many(rows, np.array(counts), np.full(rows.size, at), np.array(weights))
        self._flows.touch(rows)

    def _around(
        self, lines: Sequence[Line], fresh: Sequence[bool], at: float
    ) -> list[tuple[float, ...]]:
        """Count the keys that began now in wider places; return how rare that many are there.

        The places are namespace, cluster, node and message; a line that names none gets 0.
        """
        named = [places(line) for line in lines]
        counts: dict[str, float] = {}
        example: list[Line] = []
        for names, line, new in zip(named, lines, fresh, strict=True):
            for name in names:
                if name and name not in counts:
                    counts[name] = 0.0
                    example.append(line)
                if name and new:
                    counts[name] += 1.0
        rows = self._rows(list(counts), example, at)
        self._learn(rows, list(counts.values()), [1.0] * len(counts), at)
        rare = dict(zip(counts, self._bank.return_many(rows).tolist(), strict=True))
        return [tuple(rare.get(name, 0.0) for name in names) for names in named]

    def _is_told(self, subject: str) -> bool:
        for number in self._of_subject.get(subject, ()):
            group = self._groups.get(f"{_GROUP}{number:012d}")
            if group is not None and group.firing:
                return True
        return False

    # stage C: groups

    def _place(self, line: Line, found: Evidence, at: float) -> None:
        """Give one key's lines to the group that they belong to, or open one."""
        account = self._account[line.cluster]
        watched = at - self._began[line.cluster]
        candidate = watched >= self._settings.warm_up and (
            found.own >= _OWN
            or found.namespace >= _NAMESPACE
            or found.fleet >= _FLEET
            or found.node >= _NODE
            or found.excess >= _EXCESS
        )
        group: Group | None = None
        grown = False
        if not candidate:
            for number in self._of_subject.get(line.subject, ()):
                group = self._groups.get(f"{_GROUP}{number:012d}")
                if group is not None and line.family in group.families:
                    break
                group = None
            if group is None:
                account["usual"] += 1
                learning = watched < self._settings.warm_up
                key = f"{line.subject}|{line.reason}"
                self._witness.usual(key, "learning" if learning else "usual", at)
                return
        else:
            account["candidates"] += 1
            for _, each in self._groups:
                if each.takes(line, at, self._settings.hold, broad=found.fleet >= _BROAD):
                    group = each
                    break
            if group is None:
                account["groups"] += 1
                group = Group(self._next, line.cluster, line.ref, at, at, at)
                self._next += 1
            grown = group.weigh(line, found, at)
        group.take(line, at)
        self._witness.placed(f"{line.subject}|{line.reason}", group, at, stranger=grown)
        self._of_subject.setdefault(line.subject, {})[group.number] = None
        key = f"{_GROUP}{group.number:012d}"
        settled = at >= group.opened_at + SETTLE[0]
        group.due = self._agenda.put(key, at if grown and settled else group.next_look(at), now=at)
        self._groups.put(key, group)

    def _look(self, key: str, at: float, out: list[Output]) -> None:
        """Weigh one group that has settled, or end one that has fallen silent."""
        group = self._groups.get(key)
        if group is None:
            return
        settings = self._settings
        account = self._account[group.cluster]
        if at - group.last_at >= settings.hold:
            if group.firing:
                out.append(say(group, "resolved", self._now, [], settings.critical))
            elif not group.folded:
                account["below"] += 1
            self._witness.ended(group, at)
            self._close(key, group)
            return
        evidence = group.evidence(self._verdicts.of(group, at))
        group.score, terms = score(evidence)
        group.looks += 1
        least = settings.threshold if settings.threshold is not None else math.inf
        high = group.score >= least and evidence.lasting
        if high and not group.firing and not group.folded:
            into = self._told_like(group)
            if into is not None:
                group.folded = True
                account["folded"] += 1
                self._witness.folded(group, into, at)
            else:
                group.tell()
                account["sent"] += 1
                finding = say(group, "firing", self._now, terms, settings.critical)
                out.append(finding)
                self._witness.said(group, finding, at)
        elif self._is_held(group, evidence, terms, least):
            group.held = True
            out.append(say_held(group, self._now))
        elif group.escalates():
            out.append(say(group, "firing", self._now, terms, settings.critical))
        group.due = self._agenda.put(
            key, min(group.next_look(at), group.last_at + settings.hold), now=at
        )
        self._groups.put(key, group)

    def _is_held(
        self, group: Group, evidence: Evidence, terms: Sequence[Term], least: float
    ) -> bool:
        """Say whether nothing but people's verdict keeps a group silent, which is new."""
        if group.held or group.firing or group.folded or not evidence.lasting:
            return False
        taken = sum(term.points for term in terms if term.name == "feedback")
        return group.score < least <= group.score - taken

    def _told_like(self, group: Group) -> int | None:
        """Return the number of a group that was said lately and is the same trouble."""
        for _, each in self._groups:
            if not each.firing or each.cluster != group.cluster or each.number == group.number:
                continue
            if abs(each.opened_at - group.opened_at) > self._settings.fold:
                continue
            family = bool(each.families.keys() & group.families.keys())
            place = bool(each.namespaces.keys() & group.namespaces.keys())
            if (family and (place or group.fleet >= _BROAD)) or (
                each.nodes.keys() & group.nodes.keys() and len(group.nodes) == 1
            ):
                return each.number
        return None

    def _close(self, key: str, group: Group) -> None:
        self._groups.drop(key)
        for subject in group.subjects:
            numbers = self._of_subject.get(subject)
            if numbers is not None:
                numbers.pop(group.number, None)
                if not numbers:
                    del self._of_subject[subject]

    def _tell_account(self, at: float, out: list[Output]) -> None:
        """Say what became of the lines, and forget what is old."""
        for cluster in sorted(self._account):
            account = self._account[cluster]
            if any(account.values()):
                since = at - self._settings.noise_every
                out.append(say_account(cluster, account, since, self._now))
            self._account[cluster] = dict.fromkeys(ENTRIES, 0)
        for key, seen in list(self._seen):
            if at - seen.at > _LIVES:
                self._seen.drop(key)
        self._verdicts.forget(at)
        gone = self._keys.evict(at - self._settings.idle)
        if gone.size:
            self._bank.forget(gone)
            self._flows.touch(gone)
        self._wake(_ACCOUNT, _ceil(self._now, self._settings.noise_every))

    def snapshot(self) -> Mapping[str, bytes]:
        """Return the changed pages."""
        return {
            **self._time.snapshot(),
            **self._seen.snapshot(),
            **self._lines.snapshot(),
            **self._verdicts.snapshot(),
            **self._groups.snapshot(),
            **self._keys.snapshot(),
            **self._flows.snapshot(),
        }

    def restore(self, pages: Mapping[str, bytes]) -> None:
        """Become what the pages say.

        Raises
        ------
        Corrupt
            A page cannot be read.
        """
        self._agenda.clear()
        self._of_subject.clear()
        self._time.restore(pages)
        for part in (
            self._seen, self._lines, self._groups, self._keys, self._flows, self._verdicts
        ):  # fmt: skip
            part.restore(pages)
        for key, group in self._groups:
            for subject in group.subjects:
                self._of_subject.setdefault(subject, {})[group.number] = None
            if group.due is not None:
                self._agenda.put(key, group.due)
        for key, due in self._due.items():
            self._agenda.put(key, due)

    def _get_time(self) -> _Time:
        return _Time(self._now, self._next, self._began, self._account, self._due)

    def _set_time(self, time: _Time | None) -> None:
        time = time or _Time(-math.inf, 0, {}, {}, {})
        self._now, self._next, self._began = time.now, time.next, time.began
        self._account, self._due = time.account, time.due


class _Time(msgspec.Struct, array_like=True):
    now: float
    next: int
    began: dict[str, float]
    account: dict[str, dict[str, int]]
    due: dict[str, float]


def _ceil(at: float, every: float) -> float:
    return (math.floor(at / every) + 1) * every

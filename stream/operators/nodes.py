"""Node objects: readiness, pressure, taints, drains, reboots and deletions.

A node that is not ready for a minute is said; one that an autoscaler cordons, drains and removes is
ordinary life and only becomes evidence for others. Rules wait in event time (`stream.operators.
episode`), so a hiccup of a kubelet is silent, and a node that says nothing more is found by ticks.

Guarantees: one episode per node and rule; a record that is older than what is known, or known
already, changes nothing. State is a few hundred bytes a node, gone half an hour after its deletion.

Left to others: how full a node is (`stream.operators.growth`), and that a node's trouble explains
its pods' (`alerting`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from stream.operators import episode
from stream.operators.base import Output
from stream.operators.bounds import Count, Seconds
from stream.operators.conclude import conclude, span
from stream.operators.episode import Episode
from stream.operators.timed import TimedShelf
from stream.records import NodeInput, NodeRecord, ObjectRef, Part, Severity
from stream.topics import NODE_METRICS

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """When a node's state is worth a word; every rule can be turned off by None."""

    not_ready_after: Seconds | None = 60.0
    """`node-not-ready` after so many seconds of Ready False or Unknown."""
    ready_for: Seconds = 60.0
    """Seconds of Ready after which it is over; below the kubelet's own 10 s it would flicker."""
    pressure_after: Seconds | None = 0.0
    """`node-pressure` after so many seconds of memory, disk or PID pressure."""
    pressure_gone_for: Seconds = 5 * _MINUTE
    """Seconds; the kubelet itself holds a pressure condition for 5 minutes."""
    taint_after: Seconds | None = 5 * _MINUTE
    """`node-taint` after so many seconds; a cordon's and Kubernetes' own taints do not count."""
    flapping_transitions: Count | None = 3
    """`node-ready-flapping` from so many changes of Ready within `flapping_window`."""
    flapping_window: Seconds = 15 * _MINUTE
    """Seconds."""
    deleted_hold: Seconds | None = 30 * _MINUTE
    """Seconds that `node-deleted` fires for a node deleted without a drain; None: evidence only."""


PRESSURES: Final = ("MemoryPressure", "DiskPressure", "PIDPressure")
# Kubernetes' own taints repeat what conditions and cordons say already.
_OWN_TAINTS: Final = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
# An autoscaler says by these that it is about to remove the node.
_LEAVING_TAINTS: Final = (
    "ToBeDeletedByClusterAutoscaler",
    "DeletionCandidateOfClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
)
_GRID: Final = 5.0  # seconds between two times at which timers are looked at
_TRANSITIONS_KEPT: Final = 32
_YOUNG: Final = 10 * _MINUTE  # seconds; taints of a node's first minutes are its pool's design


class _Node(msgspec.Struct, gc=False, array_like=True):
    """What is known of one node."""

    cluster: str
    name: str
    uid: str
    version: str
    at: float
    ready: str = "True"
    unschedulable: bool = False
    leaving: bool = False
    deleted: bool = False
    boot_id: str = ""
    known_taints: tuple[str, ...] = ()  # of its design: not news
    taints: tuple[str, ...] = ()  # that are news
    pressures: tuple[str, ...] = ()
    reason: str = ""  # of Ready
    message: str = ""
    transitions: list[float] = []
    episodes: dict[str, Episode] = {}
    due: float | None = None

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef("Node", "", self.name)


def newer(version: str, at: float, known_version: str, known_at: float) -> bool:
    """Say whether an observation is news beside the known one.

    Resource versions of one API server grow, and are numbers in practice; where one is not, event
    time decides.
    """
    if version == known_version and version:
        return False
    if version.isdecimal() and known_version.isdecimal():
        return int(version) > int(known_version)
    return at >= known_at


class Nodes:
    """The operator `nodes`; reads node objects out of the topic of node metrics."""

    name: Final = "nodes"
    topic: Final = NODE_METRICS

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._nodes = TimedShelf("nodes", _Node, _GRID)
        self.snapshot: Final = self._nodes.snapshot  # all state is there
        self.restore: Final = self._nodes.restore
        self._rules: Final = {
            "node-not-ready": (settings.not_ready_after, settings.ready_for),
            "node-pressure": (settings.pressure_after, settings.pressure_gone_for),
            "node-taint": (settings.taint_after, 0.0),
            "node-ready-flapping": (
                None if settings.flapping_transitions is None else 0.0,
                settings.flapping_window,
            ),
            "node-deleted": (
                None if settings.deleted_hold is None else 0.0,
                settings.deleted_hold or 0.0,
            ),
        }

    def on_records(self, records: Sequence[NodeInput]) -> Sequence[Output]:
        """Learn from node objects and ticks; measurements only move event time."""
        out: list[Output] = []
        for record in records:
            for at, key, node in self._nodes.advance(record.at):
                self._look(key, node, at, out)
            if isinstance(record, NodeRecord):
                self._observe(record, out)
        return out

    def _observe(self, record: NodeRecord, out: list[Output]) -> None:
        key = f"{record.cluster}/{record.node}"
        node = self._nodes.get(key)
        if node is not None and node.uid == record.uid:
            news = newer(record.resource_version, record.at, node.version, node.at)
            if node.deleted or not (news or record.deleted):
                return  # a relist finds a deletion without a version of its own
            self._compare(node, record, out)
        else:
            if record.deleted:
                return  # a node that was never known
            if node is not None:
                self._end_all(node, "replaced by a node of the same name", out)
                out.append(self._evidence("node-replaced", node, f"Node {node.name} is a new node"))
            node = _Node(
                record.cluster,
                record.node,
                record.uid,
                record.resource_version,
                record.at,
                ready=record.ready,
                unschedulable=record.unschedulable,
                leaving=_leaving(record.taints),
                boot_id=record.boot_id,
                known_taints=_foreign(record.taints),
            )
        self._take_over(node, record)
        if record.deleted:
            self._delete(node, out)
        self._nodes.put(key, node, self._due(node), now=self._nodes.now)

    def _compare(self, node: _Node, record: NodeRecord, out: list[Output]) -> None:
        """Say what is ordinary but explains other things, before the old facts are forgotten."""
        if record.ready != node.ready:
            node.transitions = [*node.transitions, record.at][-_TRANSITIONS_KEPT:]
        leaving = _leaving(record.taints)
        if (record.unschedulable, leaving) != (node.unschedulable, node.leaving):
            if (record.unschedulable and not node.unschedulable) or (leaving and not node.leaving):
                how = "marked for removal by an autoscaler" if leaving else "cordoned"
                out.append(self._evidence("drain", node, f"Node {node.name} {how}", action=how))
            elif not record.unschedulable and not leaving and not record.deleted:
                text = f"Node {node.name} takes pods again"
                out.append(self._evidence("drain", node, text, action="uncordoned"))
        if record.boot_id and node.boot_id and record.boot_id != node.boot_id:
            text = f"Node {node.name} has rebooted"
            out.append(self._evidence("node-reboot", node, text, boot_id=record.boot_id))

    def _take_over(self, node: _Node, record: NodeRecord) -> None:
        node.version, node.at = record.resource_version, record.at
        node.ready, node.unschedulable = record.ready, record.unschedulable
        node.leaving = _leaving(record.taints)
        node.boot_id = record.boot_id or node.boot_id
        if record.at - record.created_at < _YOUNG:
            node.known_taints = _foreign(record.taints)
        node.taints = tuple(t for t in _foreign(record.taints) if t not in node.known_taints)
        node.pressures = tuple(
            c.type for c in record.conditions if c.type in PRESSURES and c.status == "True"
        )
        since = record.at
        for condition in record.conditions:
            if condition.type == "Ready":
                node.reason, node.message = condition.reason, condition.message
                since = min(since, condition.since or since)
        unready = record.ready != "True"
        if unready and "node-not-ready" not in node.episodes:
            node.episodes["node-not-ready"] = Episode(since)
        episode.observe(node.episodes, "node-not-ready", unready, record.at)
        episode.observe(node.episodes, "node-pressure", bool(node.pressures), record.at)
        episode.observe(node.episodes, "node-taint", bool(node.taints), record.at)
        self._observe_flapping(node, record.at)

    def _observe_flapping(self, node: _Node, at: float) -> None:
        least = self._settings.flapping_transitions
        if least is None:
            return
        recent = [t for t in node.transitions if t > at - self._settings.flapping_window]
        if len(recent) >= least:
            episode.happened(node.episodes, "node-ready-flapping", at)

    def _delete(self, node: _Node, out: list[Output]) -> None:
        expected = node.unschedulable or node.leaving or node.ready != "True"
        self._end_all(node, "deleted", out)
        node.deleted = True
        if expected or self._settings.deleted_hold is None:
            text = f"Node {node.name} deleted"
            out.append(self._evidence("node-deleted", node, text, drained=str(expected).lower()))
            return
        episode.happened(node.episodes, "node-deleted", node.at)

    def _look(self, key: str, node: _Node, at: float, out: list[Output]) -> None:
        """Let the timers of one node go on to the grid time `at`."""
        for rule, (after, keep) in self._rules.items():
            if after is None:
                continue
            match episode.step(node.episodes, rule, at, after, keep):
                case "firing":
                    out.append(self._fire(node, rule))
                case "resolved":
                    out.append(self._resolve(node, rule, "over"))
        if node.deleted and not node.episodes and at >= node.at + _YOUNG:
            self._nodes.drop(key)
            return
        self._nodes.put(key, node, self._due(node), now=at)

    def _due(self, node: _Node) -> float:
        """Return when the node is to be looked at again."""
        times = [
            due
            for rule, (after, keep) in self._rules.items()
            if after is not None
            and (due := episode.due(node.episodes, rule, after, keep)) is not None
        ]
        if node.deleted:
            times.append(node.at + _YOUNG)
        return min(times, default=math.inf)

    def _end_all(self, node: _Node, why: str, out: list[Output]) -> None:
        firing = [rule for rule in sorted(node.episodes) if node.episodes[rule].firing]
        out.extend(self._resolve(node, rule, why) for rule in firing)
        node.episodes = {}

    def _fire(self, node: _Node, rule: str) -> Output:
        since = node.episodes[rule].since
        severity, summary, because, labels = _words(node, rule, since, self._nodes.now)
        return conclude(
            rule,
            "firing",
            node.cluster,
            node.ref,
            at=self._nodes.now,
            since=since,
            summary=summary,
            severity=severity,
            because=because,
            labels={"node": node.name, **labels},
        )

    def _resolve(self, node: _Node, rule: str, why: str) -> Output:
        return conclude(
            rule,
            "resolved",
            node.cluster,
            node.ref,
            at=self._nodes.now,
            since=self._nodes.now,
            summary=f"{rule} of node {node.name}: {why}",
            labels={"node": node.name},
        )

    def _evidence(self, rule: str, node: _Node, summary: str, **labels: str) -> Output:
        return conclude(
            rule,
            "evidence",
            node.cluster,
            node.ref,
            at=self._nodes.now,
            since=self._nodes.now,
            summary=summary,
            labels={"node": node.name, **labels},
        )


def _foreign(taints: Iterable[str]) -> tuple[str, ...]:
    """Return the taints that keep pods away and are neither Kubernetes' own nor a removal's."""
    return tuple(
        taint
        for taint in taints
        if taint.endswith((":NoSchedule", ":NoExecute"))
        and not taint.startswith(_OWN_TAINTS)
        and not taint.startswith(_LEAVING_TAINTS)
    )


def _leaving(taints: Iterable[str]) -> bool:
    return any(taint.startswith(_LEAVING_TAINTS) for taint in taints)


_Words = tuple[Severity, str, tuple[Part, ...], dict[str, str]]


def _words(node: _Node, rule: str, since: float, now: float) -> _Words:
    """Return severity, summary, reasons and labels of a firing rule."""
    lasted = Part("lasted", now - since, f"for {span(now - since)}")
    match rule:
        case "node-not-ready":
            severity = Severity.WARNING if node.unschedulable else Severity.CRITICAL
            because = (
                Part("ready", node.ready, f"Ready is {node.ready} for {span(now - since)}"),
                Part("reason", node.reason, f"{node.reason}: {node.message}".strip(": ")),
            )
            labels = {"alertname": "KubeNodeNotReady", "reason": node.reason}
            if node.unschedulable:
                labels["cordoned"] = "true"
            return severity, f"Node {node.name} is not ready", because, labels
        case "node-pressure":
            which = ", ".join(node.pressures)
            labels = {"alertname": "KubeNodePressure", "reason": which}
            part = Part("pressure", which, f"{which} is True")
            return Severity.WARNING, f"Node {node.name} has {which}", (part, lasted), labels
        case "node-taint":
            which = ", ".join(node.taints)
            part = Part("taints", which, f"newly tainted {which}")
            text = f"Node {node.name} keeps pods away: {which}"
            return Severity.INFO, text, (part, lasted), {"reason": "Tainted"}
        case "node-ready-flapping":
            count = len(node.transitions)
            part = Part("transitions", float(count), f"Ready changed {count} times lately")
            labels = {"alertname": "KubeNodeReadinessFlapping"}
            return Severity.WARNING, f"Node {node.name} comes and goes", (part,), labels
        case _:
            part = Part("drained", "false", "it was ready and took pods until it was deleted")
            text = f"Node {node.name} deleted without a drain"
            return Severity.WARNING, text, (part,), {"drained": "false"}

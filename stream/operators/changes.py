"""Changes of workloads: releases, scalings, configuration, and rollouts that do not finish.

Most incidents follow a change, so every change becomes evidence: what, from which value to which,
by whom, in which revision, and whether it goes back to images that ran before (a rollback); so does
a change of an autoscaler, a volume claim or a ConfigMap that the workload uses. One rule fires by
itself: a rollout that Kubernetes calls stuck, or that makes no progress for ten minutes. Replica
counts go to the time-series store whenever they change.

Guarantees: a record known already, or older than what is known, changes nothing. Values of
environment variables are never repeated, only their paths. A deleted workload is forgotten.

Left to others: which incident a change explains (`alerting`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from stream.operators import episode
from stream.operators.base import Output
from stream.operators.bounds import Count, Seconds
from stream.operators.conclude import conclude, span
from stream.operators.episode import Episode
from stream.operators.nodes import newer
from stream.operators.timed import TimedShelf
from stream.records import (
    DependencyChange,
    DeploymentChange,
    DeploymentInput,
    Finding,
    Gap,
    ObjectRef,
    Operation,
    Part,
    Point,
    Severity,
)
from stream.topics import DEPLOYMENTS

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """When a change is worth a word."""

    stuck_after: Seconds | None = 10 * _MINUTE
    """`rollout-stuck` after so many seconds without progress, Kubernetes' default; None: off."""
    images_kept: Count = 10
    """Revisions whose images are remembered, to recognise a rollback."""


_RULE: Final = "rollout-stuck"
_GRID: Final = 15.0  # seconds between two times at which timers are looked at
_TEMPLATE: Final = "/spec/template"
_REPLICAS: Final = "/spec/replicas"
_HABIT: Final = 600.0  # seconds; what changes again within them is told once, for it always does
_RESTARTED: Final = "/kubectl.kubernetes.io~1restartedAt"
_PARTS: Final = 12  # operations that one finding spells out
_LONGEST: Final = 160  # characters of one value


class _Workload(msgspec.Struct, gc=False, array_like=True):
    """What is known of one workload."""

    cluster: str
    ref: ObjectRef
    uid: str
    version: str
    at: float
    images: tuple[str, ...] = ()
    earlier: list[tuple[str, ...]] = []  # images of former revisions, the oldest first
    revision: str = ""
    generation: int = 0
    rollout: str = ""
    desired: int | None = None
    actual: int | None = None
    updated: int | None = None
    ready: int | None = None
    never_done: bool = False  # its rollout was unfinished at first sight, and still is
    episodes: dict[str, Episode] = {}
    due: float | None = None
    signed: str = ""  # version of the newest change whose author is known
    most: int | None = None
    habits: dict[str, float] = {}  # dependency → when it changed last


class Changes:
    """The operator `changes`."""

    name: Final = "changes"
    topic: Final = DEPLOYMENTS

    def __init__(self, settings: ChangeSettings) -> None:
        self._settings = settings
        self._workloads = TimedShelf("workloads", _Workload, _GRID)
        self.snapshot: Final = self._workloads.snapshot  # all state is there
        self.restore: Final = self._workloads.restore

    def on_records(self, records: Sequence[DeploymentInput]) -> Sequence[Output]:
        """Learn from changes, gaps and ticks."""
        out: list[Output] = []
        for record in records:
            for at, key, workload in self._workloads.advance(record.at):
                self._look(key, workload, at, out)
            if isinstance(record, DeploymentChange):
                self._observe(record, out)
            elif isinstance(record, DependencyChange):
                self._depend(record, out)
            elif isinstance(record, Gap):
                out.append(self._gap(record))
        return out

    def _observe(self, record: DeploymentChange, out: list[Output]) -> None:
        ref = record.workload
        key = f"{record.cluster}/{ref.namespace}/{ref.kind}/{ref.name}"
        known = self._workloads.get(key)
        if known is not None and known.uid == record.uid:
            news = newer(record.resource_version, record.at, known.version, known.at)
            if not (news or record.type == "deleted"):
                if record.user and record.resource_version != known.signed:
                    known.signed = record.resource_version
                    self._workloads.put(key, known)
                    out.append(self._author(record))
                same = record.resource_version == known.version
                if same and record.replicas_max != known.most:  # its autoscaler has changed
                    known.most = record.replicas_max
                    self._workloads.put(key, known)
                    out.extend(self._point(record))
                return
        elif record.type == "deleted":  # one that was never known, or that has a successor
            if record.user:
                out.append(self._author(record))
            return
        else:
            if known is not None:
                self._end(known, "replaced", out)
            known = None
        workload = known or _Workload(
            record.cluster, ref, record.uid, record.resource_version, record.at
        )
        if known is None and record.type == "known":
            workload.never_done = record.rollout in {"progressing", "stuck"}
        if record.type == "deleted":
            self._end(workload, "deleted", out)
            text = f"{ref} deleted{_by(record)}"
            out.append(self._evidence("workload-deleted", record, text))
            self._workloads.drop(key)
            return
        if record.type != "known":
            out.extend(self._changes(workload, record))
        if record.user:
            workload.signed = record.resource_version
        self._take_over(workload, record, out)
        self._put(key, workload, self._workloads.now)

    def _changes(self, workload: _Workload, record: DeploymentChange) -> list[Finding]:
        """Return the evidence in one record: at most a release, a scaling and a configuration."""
        ref, who = record.workload, _by(record)
        if record.type == "added":
            images = ", ".join(record.images)
            text = f"{ref} created with {images}{who}" if images else f"{ref} created{who}"
            return [self._evidence("release", record, text, action="created", image=images)]
        out = []
        template = [op for op in record.operations if op.path.startswith(_TEMPLATE)]
        if template:
            out.append(self._release(workload, record, template))
        scale = [op for op in record.operations if op.path == _REPLICAS]
        if scale:
            by = _scaled_by(record)
            text = f"{ref} scaled {_value(scale[0].old)} → {_value(scale[0].new)}{who}"
            if by == "hpa" and record.autoscaler:
                at_most = record.replicas_desired == record.replicas_max
                limit = f", at its maximum of {record.replicas_max}" if at_most else ""
                text = text.removesuffix(who) + f" by autoscaler {record.autoscaler}{limit}"
            out.append(self._evidence("scale", record, text, _spell(scale), by=by))
        rest = [op for op in record.operations if op not in template and op not in scale]
        if rest:
            what = ", ".join(sorted({op.path for op in rest})[:3])
            text = f"{ref} configured: {what}{who}"
            out.append(self._evidence("config-change", record, text, _spell(rest)))
        return out

    def _depend(self, record: DependencyChange, out: list[Output]) -> None:
        ref, what = record.workload, f"{record.object.kind} {record.object.name}"
        key = f"{record.cluster}/{ref.namespace}/{ref.kind}/{ref.name}"
        workload = self._workloads.get(key)
        if workload is not None:
            before = workload.habits.get(what, -math.inf)
            recent = {it: at for it, at in workload.habits.items() if at > record.at - _HABIT}
            workload.habits = recent | {what: max(record.at, before)}
            self._workloads.put(key, workload)
            if record.at - before < _HABIT:
                return
        done = {"added": "created", "modified": "changed", "deleted": "deleted"}[record.type]
        by = f" by {record.manager}" if record.manager else ""
        out.append(
            conclude(
                "dependency-change",
                "evidence",
                record.cluster,
                ref,
                at=self._workloads.now,
                since=record.at,
                summary=f"{ref}: {what} {done}{by}",
                because=_spell(record.operations),
                labels={"manager": record.manager, "dependency": what},
            )
        )

    def _release(
        self, workload: _Workload, record: DeploymentChange, template: list[Operation]
    ) -> Finding:
        back = record.images != workload.images and record.images in workload.earlier
        moved = [op for op in template if op.path.endswith("/image")]
        if moved:
            what = ", ".join(f"{_value(op.old)} → {_value(op.new)}" for op in moved[:3])
        elif record.images != workload.images and workload.images:
            what = f"{', '.join(workload.images)} → {', '.join(record.images)}"
        else:
            paths = sorted({op.path.removeprefix(_TEMPLATE).replace("~1", "/") for op in template})
            what = ", ".join(paths[:3])
        again = bool(template) and all(op.path.endswith(_RESTARTED) for op in template)
        if again:  # kubectl rollout restart: the same release, new pods
            text = f"{record.workload} restarted{_by(record)}"
        else:
            text = f"{record.workload} {'rolled back' if back else 'released'}: {what}{_by(record)}"
        labels = {
            "image": ", ".join(record.images),
            "action": "restart" if again else "rollback" if back else "release",
            "limits": "changed" if any("/resources/" in op.path for op in template) else "",
            "env": "changed" if any("/env" in op.path for op in template) else "",
        }
        return self._evidence("release", record, text, _spell(template), **labels)

    def _take_over(self, workload: _Workload, record: DeploymentChange, out: list[Output]) -> None:
        counts = (record.replicas_desired, record.replicas_actual, record.replicas_ready)
        known = (workload.desired, workload.actual, workload.ready)
        if counts != known or record.replicas_max != workload.most:
            out.extend(self._point(record))
        progress = (
            record.generation != workload.generation
            or record.rollout != workload.rollout
            or (record.replicas_updated or 0) > (workload.updated or 0)
            or (record.replicas_ready or 0) > (workload.ready or 0)
        )
        workload.version, workload.at = record.resource_version, record.at
        workload.revision = record.revision or workload.revision
        moved = bool(workload.images) and record.images != workload.images
        if moved or record.rollout == "complete":
            workload.never_done = False
        if record.images != workload.images:
            if moved:
                kept = [images for images in workload.earlier if images != workload.images]
                workload.earlier = [*kept, workload.images][-self._settings.images_kept :]
            workload.images = record.images
        workload.generation, workload.rollout = record.generation, record.rollout
        workload.desired, workload.actual = record.replicas_desired, record.replicas_actual
        workload.updated, workload.ready = record.replicas_updated, record.replicas_ready
        workload.most = record.replicas_max
        pending = workload.episodes.get(_RULE)
        stuck = record.rollout == "stuck"
        if progress and not stuck and pending is not None:
            if pending.firing:
                pending.gone = record.at  # it moves again: resolved, and waited for anew
                return
            pending.since = record.at
        episode.observe(
            workload.episodes, _RULE, stuck or record.rollout == "progressing", record.at
        )

    def _look(self, key: str, workload: _Workload, at: float, out: list[Output]) -> None:
        match episode.step(workload.episodes, _RULE, at, self._after(workload), 0.0):
            case "firing":
                out.append(self._fire(workload))
            case "resolved":
                out.append(self._resolve(workload, f"rollout {workload.rollout or 'over'}"))
                if workload.rollout in {"progressing", "stuck"}:
                    episode.observe(workload.episodes, _RULE, True, at)
        self._put(key, workload, at)

    def _after(self, workload: _Workload) -> float:
        """Return how long to wait: not at all when Kubernetes has waited its own deadline."""
        if self._settings.stuck_after is None:
            return math.inf
        return 0.0 if workload.rollout == "stuck" else self._settings.stuck_after

    def _put(self, key: str, workload: _Workload, now: float) -> None:
        due = episode.due(workload.episodes, _RULE, self._after(workload), 0.0)
        self._workloads.put(key, workload, due, now=now)

    def _fire(self, workload: _Workload) -> Finding:
        since = workload.episodes[_RULE].since
        ready, desired = workload.ready or 0, workload.desired or 0
        lasted = self._workloads.now - since
        return conclude(
            _RULE,
            "firing",
            workload.cluster,
            workload.ref,
            at=self._workloads.now,
            since=since,
            summary=f"{workload.ref} does not roll out: {ready} of {desired} pods ready",
            # Unfinished before anybody looked: a canary that never is ready is no news.
            severity=Severity.INFO if workload.never_done else Severity.WARNING,
            because=(
                Part("rollout", workload.rollout, f"Kubernetes calls it {workload.rollout}"),
                Part("lasted", lasted, f"no progress for {span(lasted)}"),
                Part("updated", float(workload.updated or 0), f"{workload.updated} pods updated"),
                Part("ready", float(ready), f"{ready} of {desired} pods ready"),
            ),
            labels={
                "alertname": "KubeDeploymentRolloutStuck",
                "revision": workload.revision,
                "image": ", ".join(workload.images),
            },
        )

    def _resolve(self, workload: _Workload, why: str) -> Finding:
        return conclude(
            _RULE,
            "resolved",
            workload.cluster,
            workload.ref,
            at=self._workloads.now,
            since=self._workloads.now,
            summary=f"{workload.ref}: {why}",
        )

    def _end(self, workload: _Workload, why: str, out: list[Output]) -> None:
        if (stuck := workload.episodes.pop(_RULE, None)) is not None and stuck.firing:
            out.append(self._resolve(workload, why))

    def _evidence(
        self,
        rule: str,
        record: DeploymentChange,
        summary: str,
        because: tuple[Part, ...] = (),
        **labels: str,
    ) -> Finding:
        cause = record.change_cause
        if cause:
            because = (*because, Part("change_cause", cause, f"change-cause: {cause}"))
        who = {"manager": record.manager, "user": record.user, "revision": record.revision}
        return conclude(
            rule,
            "evidence",
            record.cluster,
            record.workload,
            at=self._workloads.now,
            since=record.at,
            summary=summary,
            because=because,
            labels={**who, **labels},
        )

    def _author(self, record: DeploymentChange) -> Finding:
        """Return who made a change that was told before, as the cluster's audit says later."""
        what = {"added": "created", "deleted": "deleted"}.get(record.type, "changed")
        paths = ", ".join(op.path for op in record.operations[:3])
        text = f"{record.workload} {what}{_by(record)}{': ' if paths else ''}{paths}"
        return self._evidence("change-author", record, text)

    def _gap(self, gap: Gap) -> Finding:
        lasted = gap.at - gap.since
        return conclude(
            "gap",
            "evidence",
            gap.cluster,
            ObjectRef("Cluster", "", gap.cluster),
            at=self._workloads.now,
            since=gap.since,
            summary=f"{gap.resource} may have been missed for {span(lasted)}: {gap.reason}",
            because=(Part("lasted", lasted, f"for {span(lasted)}"),),
            labels={"resource": gap.resource, "reason": gap.reason},
        )

    def _point(self, record: DeploymentChange) -> list[Point]:
        counts = {
            "desired": record.replicas_desired,
            "actual": record.replicas_actual,
            "ready": record.replicas_ready,
            "updated": record.replicas_updated,
            "max": record.replicas_max,
        }
        fields = {name: float(count) for name, count in counts.items() if count is not None}
        tags = (
            ("cluster", record.cluster),
            ("namespace", record.workload.namespace),
            ("workload", record.workload.name),
            ("workload_kind", record.workload.kind),
        )
        return [Point("deployment_replicas", tags, fields, self._workloads.now)] if fields else []


def _by(record: DeploymentChange) -> str:
    who = record.user or record.manager
    return f" by {who}" if who else ""


def _scaled_by(record: DeploymentChange) -> str:
    """Return who scales: an autoscaler, a person, or another controller.

    The horizontal pod autoscaler lives in kube-controller-manager and writes under that name.
    """
    who = f"{record.user} {record.manager}".lower()
    if "horizontal" in who or "keda" in who or "kube-controller-manager" in who:
        return "hpa"
    if record.manager.startswith(("kubectl", "oc", "k9s", "Mozilla")) or (
        record.user and not record.user.startswith("system:")
    ):
        return "person"
    return "controller"


def _value(text: str) -> str:
    """Return a JSON text as a person would write it, cut to a line."""
    try:
        value = json.loads(text) if text else "nothing"
    except ValueError:
        value = text
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def _spell(operations: Sequence[Operation]) -> tuple[Part, ...]:
    parts = []
    for op in operations[:_PARTS]:
        if "/env" in op.path:
            text = f"{op.path} changed"  # its value may be a secret
        else:
            text = f"{op.path}: {_value(op.old)} → {_value(op.new)}"
        parts.append(Part(op.op, op.path, text))
    if (more := len(operations) - _PARTS) > 0:
        parts.append(Part("more", float(more), f"and {more} more"))
    return tuple(parts)

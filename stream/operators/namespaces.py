"""The share of a namespace's pods that restart: evidence every five minutes, and a local verdict.

Half an hour is the window, as in the inspection that people know: pods that restarted in it, of the
pods that are there. A share is judged against the namespace's own history (`models.share`); it
takes three pods of two workloads, and not all of one node (that is the node's story).

A task sees the part of a namespace that its keys name. Its verdict is about that part; the evidence
`namespace-restart-share` carries both numbers, so that whoever sees all tasks can join them.

Left to others: that joining (`alerting`); which restarts count (`stream.operators.restarts`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from models.share import ShareBank
from stream.checkpoint import PagedBank
from stream.columns import Columns
from stream.operators.agenda import Agenda
from stream.operators.base import Output
from stream.operators.conclude import conclude
from stream.operators.restart_rules import RestartSettings
from stream.operators.restart_state import Workload
from stream.operators.shelf import Shelf
from stream.records import Finding, ObjectRef, Part, Severity

NAMESPACE: Final = "~"  # begins the keys of namespaces; no cluster's name begins so
WINDOW: Final = 1800.0  # seconds
_EVERY: Final = 300.0  # seconds between two looks at a namespace with restarts
_NAMES: Final = 20  # pods that a finding lists
_ONE_NODE: Final = 0.8  # of the pods on one node: the node's story
_MOVED: Final = 0.2  # a share of pods come or gone that is worth telling to those who join


class _Namespace(msgspec.Struct, array_like=True):
    cluster: str
    name: str
    touched_at: float = -math.inf  # newest counted restart
    firing_since: float | None = None
    told: int = -1  # pods alive at the newest evidence
    due: float | None = None


class _Count(msgspec.Struct):
    """What half an hour looks like."""

    alive: int = 0
    restarted: list[tuple[str, str, str]] = []  # pod, node, workload


class Namespaces:
    """The part of the operator `restarts` that looks at namespaces."""

    def __init__(self, settings: RestartSettings) -> None:
        self._settings = settings
        self._spaces: Shelf[_Namespace] = Shelf("namespaces", _Namespace, pages=4)
        self._rows = Columns("namespace-rows")
        self._bank = ShareBank()
        self._shares = PagedBank("shares", self._bank)
        self._members: dict[str, dict[str, None]] = {}  # namespace → workloads; made by `index`

    def index(self, key: str, cluster: str, namespace: str) -> None:
        """Note that a workload is in a namespace."""
        self._members.setdefault(_key(cluster, namespace), {})[key] = None

    def admit(self, key: str, cluster: str, namespace: str, now: float, agenda: Agenda) -> None:
        """Note a new workload."""
        self.index(key, cluster, namespace)
        space_key = _key(cluster, namespace)
        if self._spaces.get(space_key) is None:
            space = _Namespace(cluster, namespace)
            space.due = agenda.put(space_key, _next(now, WINDOW), now=now)
            self._spaces.put(space_key, space)

    def dismiss(self, key: str, cluster: str, namespace: str) -> None:
        """Note that a workload was forgotten."""
        self._members.get(_key(cluster, namespace), {}).pop(key, None)

    def touch(self, cluster: str, namespace: str, now: float, agenda: Agenda) -> None:
        """Note a restart that counts."""
        key = _key(cluster, namespace)
        if (space := self._spaces.get(key)) is not None:
            space.touched_at = now
            space.due = agenda.put(key, _next(now, _EVERY), now=now)
            self._spaces.put(key, space)

    def judge(
        self,
        at: float,
        now: float,
        keys: Sequence[str],
        workloads: Shelf[Workload],
        out: list[Output],
    ) -> None:
        """Look at namespaces at the grid time `at`; what is said carries the event time `now`."""
        due = [(key, s) for key in keys if (s := self._spaces.get(key)) is not None]
        if not due:
            return
        rows = self._rows.rows_of([key for key, _ in due])
        self._shares.reserve(self._rows.size)
        seen = [self._count(key, at, workloads) for key, _ in due]
        restarted = np.array([float(len(count.restarted)) for count in seen])
        alive = np.array([float(max(count.alive, len(count.restarted))) for count in seen])
        scores = self._bank.score_many(rows, restarted, alive)
        usual = self._bank.usual_many(rows)
        for i, (key, space) in enumerate(due):
            space.due = None
            self._decide(space, seen[i], float(scores[i]), float(usual[i]), now, out)
            if seen[i].alive == 0 and not self._members.get(key):
                self._drop(key)
            else:
                self._spaces.put(key, space)
        if at % WINDOW == 0:
            kept = [i for i, (key, _) in enumerate(due) if self._spaces.get(key) is not None]
            weights = np.array([0.1 if due[i][1].firing_since is not None else 1.0 for i in kept])
            self._bank.learn_many(rows[kept], restarted[kept], alive[kept], weights)
            self._shares.touch(rows[kept])

    def _count(self, key: str, at: float, workloads: Shelf[Workload]) -> _Count:
        count = _Count(0, [])
        for member in sorted(self._members.get(key, {})):
            workload = workloads.get(member)
            if workload is None:
                continue
            for pod in workload.pods.values():
                if pod.alive:
                    count.alive += 1
                    if pod.failed_at > at - WINDOW:
                        count.restarted.append((pod.name, pod.node, str(workload.ref)))
        return count

    def _decide(
        self,
        space: _Namespace,
        count: _Count,
        score: float,
        usual: float,
        now: float,
        out: list[Output],
    ) -> None:
        settings = self._settings
        pods = len(count.restarted)
        moved = abs(count.alive - space.told) > _MOVED * max(space.told, 0)
        if pods or moved:
            out.append(self._say(space, "evidence", count, score, usual, now))
            space.told = -1 if pods else count.alive  # after restarts, say that there are none
        nodes = [node for _, node, _ in count.restarted]
        one_node = pods > 0 and max(map(nodes.count, set(nodes))) >= _ONE_NODE * pods
        one_node = one_node and len(set(nodes)) < pods and _spread(count, nodes) > 1
        high = (
            settings.share_score is not None
            and score > settings.share_score
            and pods >= settings.share_pods
            and len({workload for _, _, workload in count.restarted}) >= settings.share_workloads
            and not one_node
        )
        if high and space.firing_since is None:
            space.firing_since = now
            out.append(self._say(space, "firing", count, score, usual, now))
        elif space.firing_since is not None and not high:
            space.firing_since = None
            out.append(self._say(space, "resolved", count, score, usual, now))

    def _say(
        self,
        space: _Namespace,
        state: str,
        count: _Count,
        score: float,
        usual: float,
        now: float,
    ) -> Finding:
        pods = sorted(count.restarted)
        owners = sorted({workload for _, _, workload in pods})
        names = ", ".join(pod for pod, _, _ in pods[:_NAMES])
        share = len(pods) / count.alive if count.alive else 0.0
        because = (
            Part("restarted", float(len(pods)), f"{len(pods)} pods restarted in half an hour"),
            Part("alive", float(count.alive), f"of {count.alive} pods"),
            Part("share", round(share, 4), f"{share:.0%}; usual is {usual:.1%}"),
            Part("score", round(score, 2), f"by chance once in 10^{score:.0f} half hours"),
            Part("pods", names, f"pods: {names or 'none'}"),
            Part("workloads", ", ".join(owners[:_NAMES]), f"{len(owners)} workloads"),
        )
        assert state in {"firing", "resolved", "evidence"}
        return conclude(
            "namespace-restart-share",
            state,  # type: ignore[arg-type]
            space.cluster,
            ObjectRef("Namespace", "", space.name),
            at=now,
            since=space.firing_since or now,
            summary=f"{len(pods)} of {count.alive} pods of namespace {space.name} restarted",
            severity=Severity.WARNING if state == "firing" else Severity.INFO,
            score=round(score, 3),
            because=because,
            labels={"namespace": space.name},
        )

    def schedule(self, key: str, at: float, agenda: Agenda) -> None:
        """Put the next look: five minutes while anything restarts, else the half hour."""
        space = self._spaces.get(key)
        if space is None:
            return
        busy = space.firing_since is not None or space.touched_at > at - WINDOW - _EVERY
        space.due = agenda.put(key, _next(at, _EVERY if busy else WINDOW), now=at)
        self._spaces.put(key, space)

    def _drop(self, key: str) -> None:
        self._spaces.drop(key)
        self._members.pop(key, None)
        rows = self._rows.release([key])
        self._bank.forget(rows)
        self._shares.touch(rows)

    def snapshot(self) -> dict[str, bytes]:
        """Return the changed pages."""
        return {**self._spaces.snapshot(), **self._rows.snapshot(), **self._shares.snapshot()}

    def restore(self, pages: Mapping[str, bytes], agenda: Agenda) -> None:
        """Become what the pages say; members are indexed by the caller."""
        self._spaces.restore(pages)
        self._rows.restore(pages)
        self._shares.restore(pages)
        self._members.clear()
        for key, space in self._spaces:
            if space.due is not None:
                agenda.put(key, space.due)


def _key(cluster: str, namespace: str) -> str:
    return f"{NAMESPACE}{cluster}/{namespace}"


def _next(at: float, every: float) -> float:
    return (math.floor(at / every) + 1) * every


def _spread(count: _Count, nodes: Sequence[str]) -> int:
    """Return over how many workloads the restarts of the most frequent node are spread."""
    top = max(sorted(set(nodes)), key=nodes.count)
    return len({workload for _, node, workload in count.restarted if node == top})

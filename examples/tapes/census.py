"""Who lived where and when: pods, containers' lives, silent nodes and disk pressure, from a tape.

The usage generator needs the future (memory has to meet its limit at the kill that was recorded),
so a tape is read once for this before it is read again to be merged. A life begins and ends at the
`at` of the line that first shows it, which is sharper than the whole seconds inside the object.
Only facts that a line states are kept; one pod has one container here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FOREVER = float("inf")


@dataclass
class Lived:
    """One run of a container; `ended` is FOREVER while nothing says otherwise."""

    container_id: str
    started: float
    ended: float = FOREVER
    killed_by_limit: bool = False

    @property
    def length(self) -> float:
        """Seconds from start to end."""
        return self.ended - self.started


@dataclass
class Resident:
    """One pod on its node."""

    namespace: str
    name: str
    uid: str
    node: str
    app: str
    container: str
    memory_limit: float  # bytes; 0 where none is set
    cpu_request: float  # cores
    claims: list[tuple[str, str]]  # volume, persistentVolumeClaim
    started: float
    lives: list[Lived] = field(default_factory=list)
    evicted: float = FOREVER

    def life_at(self, when: float) -> Lived | None:
        """Return the run that is under way at that instant."""
        for lived in reversed(self.lives):
            if lived.started <= when:
                return lived if when < lived.ended else None
        return None


@dataclass
class Census:
    """What a whole tape says about pods and nodes."""

    residents: dict[str, Resident] = field(default_factory=dict)
    nodes: dict[str, float] = field(default_factory=dict)  # name → when it was created
    silences: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    pressed: dict[str, float] = field(default_factory=dict)  # node → first DiskPressure
    first: float = FOREVER
    last: float = 0.0

    def silent(self, node: str, when: float) -> bool:
        """Whether the node does not answer at that instant."""
        return any(start <= when < end for start, end in self.silences.get(node, []))

    def leak_length(self, app: str) -> float:
        """Return the mean seconds from start to the kill by the limit; 0 where none was killed."""
        lengths = [
            lived.length
            for resident in self.residents.values()
            if resident.app == app
            for lived in resident.lives
            if lived.killed_by_limit
        ]
        return sum(lengths) / len(lengths) if lengths else 0.0


def take_census(lines: Iterable[bytes], grace: float) -> Census:
    """Read a tape; a node has been silent for `grace` seconds when it is called Unknown."""
    census = Census()
    for line in lines:
        if b'"resource":"pods"' in line[:120] or b'"resource":"nodes"' in line[:120]:
            fact = json.loads(line)
            if fact["type"] == "BOOKMARK":
                continue
            read = _read_pod if fact["resource"] == "pods" else _read_node
            read(census, fact["type"], fact["object"], fact["at"], grace)
        at = float(line[6 : line.index(b",")])
        census.first = min(census.first, at)
        census.last = max(census.last, at)
    for spans in census.silences.values():
        if spans and spans[-1][1] == FOREVER:
            spans[-1] = (spans[-1][0], census.last)
    return census


def instant(text: str) -> float:
    """Unix seconds of an RFC3339 instant."""
    return datetime.fromisoformat(text).timestamp()


def quantity(text: str) -> float:
    """Read a Kubernetes quantity of the few suffixes that the workloads use."""
    for suffix, scale in (("m", 1e-3), ("Ki", 2.0**10), ("Mi", 2.0**20), ("Gi", 2.0**30)):
        if text.endswith(suffix):
            return float(text[: -len(suffix)]) * scale
    return float(text)


def _read_pod(census: Census, kind: str, pod: dict[str, Any], at: float, grace: float) -> None:
    uid = pod["metadata"]["uid"]
    resident = census.residents.get(uid)
    if resident is None:
        if not pod["spec"].get("nodeName"):
            return
        resident = _resident(pod, at)
        census.residents[uid] = resident
    if kind == "DELETED":
        _end(resident, at)
        return
    if pod["status"].get("reason") == "Evicted":
        resident.evicted = min(resident.evicted, at)
    for status in pod["status"].get("containerStatuses", []):
        _read_container(resident, status, at, listed=kind == "LIST")


def _read_container(resident: Resident, status: dict[str, Any], at: float, *, listed: bool) -> None:
    current = resident.lives[-1] if resident.lives else None
    last = (status.get("lastState") or {}).get("terminated") or {}
    ended = (status.get("state") or {}).get("terminated") or {}
    if current is not None:
        for termination in (last, ended):
            if termination.get("containerID") == current.container_id:
                current.killed_by_limit = termination["reason"] == "OOMKilled"
                _end(resident, at)
    running = (status.get("state") or {}).get("running")
    if running and (current is None or current.container_id != status["containerID"]):
        _end(resident, at)
        started = instant(running["startedAt"]) if listed else at
        resident.lives.append(Lived(status["containerID"], started))


def _end(resident: Resident, at: float) -> None:
    if resident.lives and resident.lives[-1].ended == FOREVER:
        resident.lives[-1].ended = at


def _resident(pod: dict[str, Any], at: float) -> Resident:
    meta, container = pod["metadata"], pod["spec"]["containers"][0]
    resources = container.get("resources", {})
    claims = [
        (volume["name"], volume["persistentVolumeClaim"]["claimName"])
        for volume in pod["spec"].get("volumes", [])
        if "persistentVolumeClaim" in volume
    ]
    started = pod["status"].get("startTime")
    return Resident(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        node=pod["spec"]["nodeName"],
        app=meta.get("labels", {}).get("app.kubernetes.io/name", ""),
        container=container["name"],
        memory_limit=quantity(resources.get("limits", {}).get("memory", "0")),
        cpu_request=quantity(resources.get("requests", {}).get("cpu", "0")),
        claims=claims,
        started=instant(started) if started else at,
    )


def _read_node(census: Census, kind: str, node: dict[str, Any], at: float, grace: float) -> None:
    name = node["metadata"]["name"]
    census.nodes.setdefault(name, instant(node["metadata"]["creationTimestamp"]))
    conditions = {c["type"]: c["status"] for c in node["status"].get("conditions", [])}
    if conditions.get("DiskPressure") == "True":
        census.pressed.setdefault(name, at)
    spans = census.silences.setdefault(name, [])
    ready = conditions.get("Ready", "True")
    if ready == "True":
        if spans and spans[-1][1] == FOREVER:
            spans[-1] = (spans[-1][0], at)
    elif not spans or spans[-1][1] != FOREVER:
        spans.append((at - grace if ready == "Unknown" else at, FOREVER))

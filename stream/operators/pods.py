"""One pod as it was last seen, and what its next record says has happened since.

The only honest count of restarts is `restartCount`: a restart is a difference of two counts of one
container of one pod (by uid), never an Event. What was there at first sight is history, unless the
pod was born under watch: then its count began at 0. The facts of the newest restart are those of
`lastState`; earlier ones of the same difference are placed before it no farther apart than the
kubelet's longest back-off, so that a count that jumps by three is three restarts in a row.

Cost: O(containers) a record. Left to others: what restarts mean (`stream.operators.restarts`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from stream.records import Container, PodRecord

LADDER: Final = 300.0  # seconds; the kubelet's longest back-off (10, 20, 40, 80, 160, 300)
_MOST: Final = 50  # restarts that one difference is spelled out to; more change no verdict

CRASH_LOOP: Final = frozenset({"CrashLoopBackOff"})
IMAGE_PULL: Final = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"}
)


class Restart(NamedTuple):
    """One restart of one container."""

    at: float  # when the container had ended, as far as Kubernetes says
    container: str
    image: str
    reason: str
    exit_code: int | None
    signal: int | None
    message: str

    @property
    def oom(self) -> bool:
        """The kernel ended it for want of memory."""
        return self.reason == "OOMKilled"

    @property
    def clean(self) -> bool:
        """It ended by itself, with exit code 0."""
        return self.exit_code == 0 and not self.oom


class Pod(msgspec.Struct, gc=False, array_like=True):
    """What is remembered of one pod."""

    name: str
    version: str
    at: float
    created_at: float
    node: str = ""
    generation: str = ""
    phase: str = ""
    ready: bool = False
    waiting: str = ""  # reason of the first waiting container that is in trouble
    waiting_image: str = ""
    unscheduled: str = ""  # reason, while no node takes it
    unscheduled_why: str = ""
    restarts: dict[str, int] = {}  # by container
    oom_at: float = 0.0  # end of the newest OOM kill that was told
    startup: list[float] = []  # restarts of its first minutes that wait for a verdict
    early: int = 0  # restarts of its first minutes
    failed_at: float = 0.0  # newest restart that was not a clean exit
    deleted_at: float | None = None
    evicted: bool = False
    was_ready: bool = False
    starting: bool = False  # born under watch, and not yet seen to come through its first minutes

    @property
    def shown(self) -> tuple[object, ...]:
        """All that rules look at beside restarts: where it is equal, a record says nothing new."""
        return (
            self.phase,
            self.ready,
            self.waiting,
            self.waiting_image,
            self.unscheduled,
            self.unscheduled_why,
            self.deleted_at,
        )

    @property
    def alive(self) -> bool:
        """It is there and has not finished for good."""
        return self.deleted_at is None and self.phase not in {"Succeeded", "Failed"}


def first_sight(record: PodRecord, *, under_watch: bool) -> Pod:
    """Return the pod before `record`; its restarts are history unless it was born under watch."""
    since = record.created_at if under_watch else record.at
    pod = Pod(record.pod, "", since, record.created_at, generation=record.generation)
    pod.starting = under_watch
    if not under_watch:
        pod.restarts = {c.name: c.restarts for c in record.containers}
        ended = [c.last_finished_at or 0.0 for c in record.containers]
        ended += [c.finished_at or 0.0 for c in record.containers]
        pod.oom_at = max(ended, default=0.0)
    return pod


def observe(pod: Pod, record: PodRecord) -> tuple[list[Restart], list[Restart]]:
    """Make `pod` what `record` says; return its restarts, and the ends that were OOM kills.

    A kill shows in the container's state before its restart is counted.
    """
    restarts: list[Restart] = []
    kills: list[Restart] = []
    since = pod.at
    told = pod.oom_at
    for container in record.containers:
        known = pod.restarts.get(container.name, 0)
        pod.restarts[container.name] = container.restarts
        restarts += _since(container, known, since, record.at)
        for end in _ends(container):
            if end.oom and end.at > pod.oom_at:
                kills.append(end)
                told = max(told, end.at)
    pod.oom_at = told
    pod.version, pod.at = record.resource_version, max(since, record.at)
    pod.node = record.node or pod.node
    pod.phase = record.phase
    main = [c for c in record.containers if not c.init]
    pod.ready = bool(main) and all(c.ready for c in main)
    pod.was_ready = pod.was_ready or pod.ready
    waits = [c for c in record.containers if c.state == "waiting" and c.reason in _TROUBLE]
    pod.waiting = waits[0].reason if waits else ""
    pod.waiting_image = waits[0].image if waits else ""
    unscheduled = [c for c in record.conditions if c.type == "PodScheduled" and c.status == "False"]
    pending = record.phase == "Pending" and bool(unscheduled)
    pod.unscheduled = (unscheduled[0].reason or "Unschedulable") if pending else ""
    pod.unscheduled_why = unscheduled[0].message if pending else ""
    restarts.sort(key=lambda restart: (restart.at, restart.container))
    return restarts, kills


_TROUBLE: Final = CRASH_LOOP | IMAGE_PULL


def _ends(container: Container) -> list[Restart]:
    """Return the last end and the present one, where Kubernetes says when they were."""
    name, image, message = container.name, container.image, container.message
    ends: list[Restart] = []
    if (at := container.last_finished_at) is not None:
        code, signal = container.last_exit_code, container.last_signal
        ends.append(Restart(at, name, image, container.last_reason, code, signal, message))
    if container.state == "terminated" and (at := container.finished_at) is not None:
        ends.append(Restart(at, name, image, container.reason, container.exit_code, None, message))
    return ends


def _since(container: Container, known: int, since: float, at: float) -> list[Restart]:
    """Return the restarts between two counts, the newest at the end that Kubernetes names."""
    count = min(container.restarts - known, _MOST)
    if count <= 0:
        return []
    last = min(container.last_finished_at or at, at)
    apart = min(max(last - since, 0.0) / count, LADDER)
    return [
        Restart(
            last - apart * back,
            container.name,
            container.image,
            container.last_reason,
            container.last_exit_code,
            container.last_signal,
            container.message,
        )
        for back in reversed(range(count))
    ]

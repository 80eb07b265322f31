"""The facts that flow through forewarn: frozen, in the field's own words.

Inputs (topics ``pods``, ``events``, ``node-metrics``, ``deployments``) travel as msgpack arrays: a
field may only ever be **appended**, with a default, so that old and new read each other. Outputs
(``findings``, ``forecasts``, ``dlq``) travel as JSON, because other people's consumers read them.
The wire itself is `stream.codec`'s business; whoever builds a record has already validated it.

Times are Unix seconds UTC (event time), sizes bytes, processors cores; all float. An empty string
means "there is none"; None means "not known", for numbers only.

Records are trees and never refer back, so none is offered to the cyclic collector (``gc=False``):
walking them took a third of a replay's time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class ObjectRef(msgspec.Struct, frozen=True, gc=False, order=True):
    """What a record is about, unique in one cluster: ``Deployment shop/checkout``.

    For a pod's records this is the *root owner* (the Deployment, not its ReplicaSet).
    """

    kind: str
    namespace: str  # "" for cluster-scoped kinds
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"


# ---- inputs -----------------------------------------------------------------------------------


class Input(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True, tag_field="record"):
    """A fact from a cluster. Subclasses inherit the form and carry their class name as tag."""

    cluster: str
    at: float  # event time: when it happened, as Kubernetes says


class Tick(Input, frozen=True, gc=False):
    """Event time of this source has reached `at`; nothing older follows from it.

    Sent to every partition of every input topic, so that whatever waits for time (a pending
    rule, a quiet period) goes on when no fact comes, and goes on alike in a replay.
    """


class Container(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One container's status, with the facts of its last termination."""

    name: str
    image: str
    restarts: int  # restartCount: the only honest count of restarts
    ready: bool
    state: str  # "running" | "waiting" | "terminated" | ""
    reason: str = ""  # of the state: "CrashLoopBackOff", "OOMKilled", "Completed" …
    exit_code: int | None = None  # of the current state, when terminated
    started_at: float | None = None  # of the current state
    finished_at: float | None = None
    last_reason: str = ""  # of lastState.terminated
    last_exit_code: int | None = None
    last_signal: int | None = None
    last_started_at: float | None = None
    last_finished_at: float | None = None
    memory_limit: float | None = None  # bytes
    cpu_limit: float | None = None  # cores
    memory_request: float | None = None
    cpu_request: float | None = None
    init: bool = False
    message: str = ""  # of the last termination, cut to 1 KiB


class Condition(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A pod's or a node's condition as Kubernetes words it."""

    type: str
    status: str  # "True" | "False" | "Unknown"
    reason: str = ""
    message: str = ""
    since: float | None = None  # lastTransitionTime


class RecentEvent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An Event of a pod shortly before its restart."""

    at: float
    reason: str
    count: int
    message: str  # redacted


class PodRecord(Input, frozen=True, gc=False):
    """One observation of one pod."""

    namespace: str
    pod: str
    uid: str
    resource_version: str
    workload: ObjectRef
    node: str
    phase: str
    created_at: float
    containers: tuple[Container, ...]
    deleted: bool = False  # the API server no longer has it
    deletion_at: float | None = None  # metadata.deletionTimestamp: it is on its way out
    generation: str = ""  # pod-template-hash or controller-revision-hash: changes with a release
    reason: str = ""  # status.reason: "Evicted", "NodeLost" …
    conditions: tuple[Condition, ...] = ()
    labels: dict[str, str] = {}
    log_tail: str = ""  # of the previous container; opt-in, redacted
    events: tuple[RecentEvent, ...] = ()  # beside a restart, the newest first; opt-in


class EventRecord(Input, frozen=True, gc=False):
    """One core/v1 Event, at this count."""

    namespace: str
    uid: str
    resource_version: str
    object: ObjectRef  # involvedObject as named
    workload: ObjectRef  # its root owner, or the object itself
    type: str  # "Normal" | "Warning"
    reason: str  # Kubernetes' own word
    category: str  # the taxonomy's word: "PodOOM", "ImagePull" …; "" where it has none
    message: str
    template: str  # the message with what varies masked
    count: int  # series.count → count → 1
    first_at: float
    node: str = ""  # source.host, where a kubelet speaks
    component: str = ""
    container: str = ""  # from fieldPath
    deleted: bool = False


class Feedback(Input, frozen=True, gc=False):
    """What a person thinks of a finding about Events; travels among them, in their order."""

    object: ObjectRef  # of the finding
    reason: str  # of the finding: with the object, the key that is judged
    verdict: Literal["useful", "noise"]
    lasts: float  # seconds of event time, from when it is read


class Filesystem(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Bytes and inodes of one file system; None where the source does not say."""

    used: float | None
    capacity: float | None
    available: float | None = None
    inodes_used: float | None = None
    inodes: float | None = None


class Allocatable(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a node gives to pods."""

    cpu: float | None = None  # cores
    memory: float | None = None  # bytes
    pods: float | None = None
    ephemeral_storage: float | None = None  # bytes


class VolumeUsage(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One PersistentVolumeClaim as a pod sees it."""

    namespace: str
    claim: str
    workload: ObjectRef
    filesystem: Filesystem


class ContainerUsage(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One container's memory and cpu beside its limits."""

    namespace: str
    pod: str
    container: str
    workload: ObjectRef
    memory: float | None  # working set, bytes
    memory_limit: float | None = None
    cpu: float | None = None  # cores
    cpu_limit: float | None = None
    started_at: float | None = None  # changes with each restart


class NodeMetricsRecord(Input, frozen=True, gc=False):
    """One scrape of one node and of the containers on it."""

    node: str
    cpu: float | None = None  # cores in use
    memory: float | None = None  # working set, bytes
    memory_available: float | None = None
    filesystem: Filesystem | None = None
    image_filesystem: Filesystem | None = None
    pids: float | None = None
    pids_max: float | None = None
    pods: float | None = None  # pods that the source names
    allocatable: Allocatable = Allocatable()
    capacity: Allocatable = Allocatable()
    volumes: tuple[VolumeUsage, ...] = ()
    containers: tuple[ContainerUsage, ...] = ()
    source: str = "summary"  # "summary" | "metrics" (metrics.k8s.io: knows no disk)


class NodeRecord(Input, frozen=True, gc=False):
    """One observation of one node object."""

    node: str
    uid: str
    resource_version: str
    ready: str  # status of the Ready condition; "Unknown" where there is none
    created_at: float
    deleted: bool = False
    unschedulable: bool = False
    taints: tuple[str, ...] = ()  # "key=value:Effect", sorted
    conditions: tuple[Condition, ...] = ()
    labels: dict[str, str] = {}
    allocatable: Allocatable = Allocatable()
    capacity: Allocatable = Allocatable()
    boot_id: str = ""  # changes with a reboot
    kubelet_version: str = ""


class Operation(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One field's change, as JSON Patch words it, with the old value beside the new."""

    op: Literal["add", "remove", "replace"]
    path: str  # JSON Pointer: "/spec/template/spec/containers/0/image"
    old: str = ""  # JSON text; "" where there was nothing
    new: str = ""


class DeploymentChange(Input, frozen=True, gc=False):
    """A Deployment, StatefulSet or DaemonSet: what changed, by whom, how far it has rolled out."""

    workload: ObjectRef
    uid: str
    resource_version: str
    type: Literal["known", "added", "modified", "deleted"]  # known: was there at the list
    operations: tuple[Operation, ...] = ()  # of spec and of kept annotations; () for status only
    generation: int = 0
    observed_generation: int = 0
    revision: str = ""  # deployment.kubernetes.io/revision
    replicas_desired: int | None = None
    replicas_actual: int | None = None  # status.replicas
    replicas_updated: int | None = None
    replicas_ready: int | None = None
    replicas_max: int | None = None  # its autoscaler's maximum; without one, desired + surge
    manager: str = ""  # who: the newest entry of managedFields outside of status
    manager_operation: str = ""  # "Apply" | "Update"
    managed_at: float | None = None
    user: str = ""  # from an audit webhook, where there is one
    change_cause: str = ""
    rollout: str = ""  # "progressing" | "complete" | "stuck" | "paused" | ""
    images: tuple[str, ...] = ()
    subresource: str = ""  # through which `manager` wrote: "scale" is how autoscalers do
    autoscaler: str = ""  # HorizontalPodAutoscaler that scales it, where those are watched


class DependencyChange(Input, frozen=True, gc=False):
    """Something that a workload's template names, or that scales it, was changed: one per workload.

    Operations of a ConfigMap tell hashes of its data, never data.
    """

    workload: ObjectRef  # whom it concerns
    object: ObjectRef  # HorizontalPodAutoscaler, PersistentVolumeClaim, ConfigMap
    uid: str
    resource_version: str
    type: Literal["added", "modified", "deleted"]
    operations: tuple[Operation, ...] = ()
    manager: str = ""  # as in DeploymentChange


class Gap(Input, frozen=True, gc=False):
    """A span in which a source may have missed something. Never silent."""

    resource: str
    since: float  # `at` is its end
    reason: str  # "expired" | "stalled" | "restart" | "overflow" | "broken-line" …


PodInput = PodRecord | Tick
EventInput = EventRecord | Feedback | Tick
NodeInput = NodeMetricsRecord | NodeRecord | Tick
DeploymentInput = DeploymentChange | DependencyChange | Gap | Tick
AnyInput = PodInput | EventInput | NodeInput | DeploymentInput


# ---- outputs ----------------------------------------------------------------------------------


class Severity(StrEnum):
    """How bad, in Alertmanager's customary three words."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Part(msgspec.Struct, frozen=True, gc=False):
    """One reason of a finding: a number or a word, and the sentence that a person reads."""

    name: str  # "score", "own_rate", "last_exit_code"
    value: float | str
    text: str  # "12 restarts in 15 min; usual is 0.1 a day"


class Finding(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="finding"):
    """What the stream concluded: the whole contract between `stream` and `alerting`.

    ``state`` says what to do with it: *firing* opens or feeds an alert, *resolved* ends it,
    *evidence* only explains others (a release, a drain, a restart count of one namespace).
    The same (cluster, rule, object) firing again is the same episode until it resolves.
    """

    id: str  # deterministic: operator, rule, object, at (see `finding_id`)
    rule: str
    state: Literal["firing", "resolved", "evidence"]
    at: float  # event time of the decision; never behind the operator's last tick
    cluster: str
    object: ObjectRef
    severity: Severity
    summary: str  # one line for a person, without markup
    since: float  # when the episode began
    expected_at: float | None = None  # when what is predicted is due; `at` or before: it is here
    score: float = 0.0
    because: tuple[Part, ...] = ()
    labels: dict[str, str] = {}  # small facts to match on: node, container, reason, image, revision
    source: str = ""  # "pods/0": topic and partition of the operator that concluded


class Progress(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="progress"):
    """All findings of `source` before `at` have been said: lets alerting put sources in order."""

    source: str
    cluster: str
    at: float


Conclusion = Finding | Progress


class Forecast(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How one series will go on, and when it meets its limit.

    Times left are seconds after `at`; None means that no crossing is foreseen, 0 that it is
    exhausted now. The path serves plots: value at ``at + horizons[i]`` with its band.
    """

    cluster: str
    object: ObjectRef
    resource: str  # "memory", "disk", "inodes", "pvc", "container-memory" …
    labels: dict[str, str] = {}
    at: float
    value: float  # now, in `unit`
    limit: float  # the limit that binds
    unit: str  # "bytes" | "cores" | "inodes" | "pids" | "pods"
    p10: float | None = None
    p50: float | None = None
    p90: float | None = None
    p_cross_24h: float = 0.0
    p_cross_72h: float = 0.0
    horizons: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    lower: tuple[float, ...] = ()  # P10
    upper: tuple[float, ...] = ()  # P90
    state: Literal["learning", "ready"] = "ready"
    model: str = ""
    because: tuple[Part, ...] = ()


class Point(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One point of the time-series store; same tags and time overwrite, so a replay is harmless."""

    measurement: str
    tags: tuple[tuple[str, str], ...]  # sorted by name
    fields: dict[str, float]
    at: float


class DeadLetter(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Something unreadable, whole, with its place: nothing is dropped silently."""

    at: float
    place: str  # "tape demo.tape.zst line 12" or "pods/0@1234"
    error: str  # what is wrong, and a hint
    key: bytes = b""
    value: bytes = b""  # the original bytes, whole (base64 in JSON)

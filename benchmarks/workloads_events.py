"""Seeded weeks of Kubernetes Events with a known truth: what noise reduction is scored on.

A cluster of workloads lives ordinary life (releases with slow starts, autoscaling, cron jobs, node
hiccups, spot reclaim, waits for the autoscaler, mount races), beside chronic noise (canaries that
are never healthy, forever-pending pods, an HPA without metrics, flaky probes in a fifth of the
workloads, a nightly batch hour) and rare harmless oddities. Into it incidents are planted, whose
lines and objects are known. An Event's count grows and lines repeat at the rates of client-go and
the kubelet; Normal lines are two thirds.

The generator knows nothing of the detector. One hand wrote both: absolute figures flatter.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.reasons import category_of
from models.templates import template_of
from stream.records import EventRecord, ObjectRef, Tick

START = 1_760_000_000.0
DAY = 86_400.0
HOUR = 3600.0

# kinds used while the detector was designed, and kinds kept aside
DESIGN = ("bad-image", "quota", "volume", "node", "dns", "starvation", "eviction")
HELD_OUT = ("registry", "webhook-certificate", "cni", "provisioner", "custom", "metrics")

DEVELOPERS = ("0", "6")  # endings of the namespaces where things are tried out
_NOT_REGISTERED = 'MountVolume.SetUp failed for volume "kube-api": object not registered'


@dataclass(frozen=True)
class Incident:
    """One planted trouble."""

    kind: str
    start: float
    end: float
    objects: frozenset[ObjectRef]


@dataclass
class World:
    """What is being generated."""

    rng: random.Random
    days: float
    refs: list[ObjectRef]
    nodes: list[str]
    lines: list[tuple[float, int, EventRecord]] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    sequence: int = 0

    def event(self, at: float, ref: ObjectRef, pod: str, type_: str, reason: str, message: str,
              uid: str, count: int, node: str = "") -> None:  # fmt: skip
        if at >= START + self.days * DAY:
            return
        self.sequence += 1
        whole = ref.kind in {"Node", "HorizontalPodAutoscaler", "Certificate", "Application"}
        obj = ref if whole else ObjectRef("Pod", ref.namespace, pod)
        record = EventRecord(
            "sim", at, ref.namespace, uid, str(self.sequence), obj, ref, type_, reason,
            category_of(reason, message), message, template_of(message), count, at, node,
        )  # fmt: skip
        self.lines.append((at, self.sequence, record))

    def normal(self, at: float, ref: ObjectRef, pod: str, *reasons: str) -> None:
        for i, reason in enumerate(reasons):
            self.sequence += 1
            self.event(at + i, ref, pod, "Normal", reason, reason, f"u{self.sequence}", 1)

    def repeat(self, start: float, end: float, every: float, ref: ObjectRef, pod: str, reason: str,
               message: str, node: str = "", slows: float = 1.0) -> None:  # fmt: skip
        """Say one Event again and again, its count growing, as kubelets and controllers do."""
        self.sequence += 1
        uid, count, at = f"u{self.sequence}", 0, start
        while at < end:
            count += 1
            self.event(at, ref, pod, "Warning", reason, message, uid, count, node)
            at += every * self.rng.uniform(0.7, 1.4)
            every = min(every * slows, 360.0)


def _times(world: World, per_day: float) -> Iterator[float]:
    at = START
    while per_day > 0:
        at += world.rng.expovariate(per_day) * DAY
        if at >= START + world.days * DAY:
            return
        yield at


def _pod(world: World, ref: ObjectRef) -> str:
    return f"{ref.name}-{world.rng.randrange(16**6):06x}"


def _ordinary(world: World) -> None:
    rng = world.rng
    for ref in world.refs:
        slow = rng.random() < 0.45
        for at in _times(world, 0.4):  # releases
            for i in range(rng.randint(1, 4)):
                pod, moment = _pod(world, ref), at + 20.0 * i
                world.normal(moment, ref, pod, "Scheduled", "Pulled", "Created", "Started")
                world.normal(moment + 30, ref, pod + "-old", "Killing")
                if slow:
                    world.repeat(moment + 10, moment + rng.uniform(20, 60), 10, ref, pod,
                                 "Unhealthy", "Readiness probe failed: connection refused",
                                 rng.choice(world.nodes))  # fmt: skip
                if rng.random() < 0.03:
                    world.repeat(moment, moment + 15, 8, ref, pod, "FailedMount", _NOT_REGISTERED)
        for at in _times(world, 3.0 if rng.random() < 0.3 else 0.0):  # autoscaling
            pod = _pod(world, ref)
            hpa = ObjectRef("HorizontalPodAutoscaler", ref.namespace, ref.name)
            world.normal(at, hpa, "", "SuccessfulRescale")
            if rng.random() < 0.1:
                world.repeat(at, at + rng.uniform(20, 180), 30, ref, pod, "FailedScheduling",
                             "0/40 nodes are available: 40 Insufficient cpu.")  # fmt: skip
            world.normal(at + 200, ref, pod, "Scheduled", "Pulled", "Created", "Started")
        for at in _times(world, 24.0 if rng.random() < 0.1 else 0.0):  # cron jobs
            pod = _pod(world, ref)
            world.normal(at, ref, pod, "SuccessfulCreate", "Scheduled", "Pulled", "Started")
    for node in world.nodes:
        ref = ObjectRef("Node", "", node)
        for at in _times(world, 0.1):  # hiccups
            world.event(at, ref, "", "Normal", "NodeNotReady", "Node status is now: NodeNotReady",
                        f"h{at}", 1, node)  # fmt: skip
            for other in rng.sample(world.refs, 4):
                world.repeat(at, at + 1, 10, other, _pod(world, other), "NodeNotReady",
                             "Node is not ready", node)  # fmt: skip
            world.normal(at + rng.uniform(40, 90), ref, "", "NodeReady")
        for at in _times(world, 0.15):  # drains, spot reclaim
            world.normal(at, ref, "", "NodeNotSchedulable", "RemovingNode")
            for other in rng.sample(world.refs, 6):
                pod = _pod(world, other)
                world.normal(at + 20, other, pod, "Scheduled", "Pulled", "Started")


def _chronic(world: World) -> None:
    rng, end = world.rng, START + world.days * DAY
    for ref in rng.sample(world.refs, len(world.refs) // 5):  # flaky probes, in clumps
        for at in _times(world, rng.lognormvariate(1.5, 1.0)):
            world.repeat(at, at + rng.expovariate(1 / 400.0), 20, ref, f"{ref.name}-0",
                         "Unhealthy", "Readiness probe failed: context deadline exceeded",
                         rng.choice(world.nodes))  # fmt: skip
    standing = (
        ("BackOff", "Back-off restarting failed container app", 300.0),
        ("FailedScheduling", "0/40 nodes are available: 40 node(s) had untolerated taint", 360.0),
        ("FailedMount", 'MountVolume.SetUp failed for volume "x": secret "y" not found', 120.0),
        ("BackOff", 'Back-off pulling image "registry/gone:1"', 300.0),
        ("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500", 60.0),
        ("DNSConfigForming", "Nameserver limits were exceeded", 120.0),
    )
    for reason, message, every in standing:
        for ref in rng.sample(world.refs, 3):
            for day in range(int(world.days) + 1):  # the pod is recreated now and then
                at = START + (day + rng.random() * 0.2) * DAY
                world.repeat(at, min(at + 0.9 * DAY, end), every, ref, f"{ref.name}-{day}", reason,
                             message, rng.choice(world.nodes))  # fmt: skip
    for ref in rng.sample(world.refs, 3):
        hpa = ObjectRef("HorizontalPodAutoscaler", ref.namespace, ref.name)
        world.repeat(START, end, 60.0, hpa, "", "FailedGetResourceMetric",
                     "unable to get metrics for resource cpu", slows=1.2)  # fmt: skip
    for day in range(int(world.days)):  # the nightly batch hour
        for ref in rng.sample(world.refs, len(world.refs) // 8):
            at = START + day * DAY + rng.uniform(0, HOUR)
            world.repeat(at, at + rng.uniform(60, 600), 15, ref, f"{ref.name}-0", "Unhealthy",
                         "Readiness probe failed: context deadline exceeded")  # fmt: skip
    developers = [ref for ref in world.refs if ref.namespace.endswith(DEVELOPERS)]
    for ref in developers:  # their breakage is nobody's incident
        for at in _times(world, 0.15):
            image = 'Back-off pulling image "registry/dev:wip"'
            world.repeat(
                at, at + rng.uniform(600, 5400), 30, ref, _pod(world, ref), "BackOff", image
            )
    odd = (
        ("FailedKillPod", "error killing pod"), ("Rebooted", "Node has been rebooted"),
        ("FreeDiskSpaceFailed", "Failed to garbage collect required amount of images"),
        ("ExceededGracePeriod", "Container runtime did not kill the pod within grace period"),
        ("TooManyMissedTimes", "Too many missed start times"), ("FailedSync", "error syncing pod"),
        ("ContainerGCFailed", "rpc error"), ("FailedPreStopHook", "PreStopHook failed"),
        ("PolicyViolation", "policy require-labels: validation error"),
        ("FailedToUpdateEndpoint", "the object has been modified"),
    )  # fmt: skip
    for reason, message in odd:
        for at in _times(world, 0.7):
            ref = rng.choice(world.refs)
            end_of_it = at + rng.expovariate(1 / 40.0) + 1
            node = rng.choice(world.nodes)
            world.repeat(at, end_of_it, 15, ref, f"{ref.name}-0", reason, message, node)


def _incident(world: World, kind: str, at: float) -> None:
    rng = world.rng
    objects: list[ObjectRef] = []
    end = at + rng.uniform(0.4, 3.0) * HOUR

    def many(count: int, reason: str, message: str, every: float, *, slows: float = 1.1,
             node: str = "", spread: float = 300.0) -> None:  # fmt: skip
        refs = world.refs
        if kind == "bad-image":  # a developer's is nobody's incident, see _chronic
            refs = [ref for ref in refs if not ref.namespace.endswith(DEVELOPERS)]
        chosen = rng.sample(refs, min(count, len(refs)))
        for ref in chosen:
            objects.append(ref)
            for _ in range(rng.randint(1, 3)):
                begin = at + rng.uniform(0, spread)
                world.repeat(begin, end, every, ref, _pod(world, ref), reason, message,
                             node or rng.choice(world.nodes), slows)  # fmt: skip

    match kind:
        case "bad-image":
            many(1, "BackOff", 'Back-off pulling image "registry/shop:v99"', 20.0)
        case "quota":
            many(1, "FailedCreate", "pods is forbidden: exceeded quota: compute", 40.0)
        case "volume":
            many(1, "FailedAttachVolume", "AttachVolume.Attach failed: volume in use", 60.0)
            world.repeat(at + 120, end, 120, objects[0], _pod(world, objects[0]), "FailedMount",
                         "Unable to attach or mount volumes: timed out")  # fmt: skip
        case "node":
            node = rng.choice(world.nodes)
            objects.append(ObjectRef("Node", "", node))
            world.event(at, objects[0], "", "Normal", "NodeNotReady",
                        "Node status is now: NodeNotReady", f"n{at}", 1, node)  # fmt: skip
            many(12, "NodeNotReady", "Node is not ready", 400.0, node=node, spread=30.0)
            world.repeat(
                at + 300, end, 200, objects[0], "", "NodeNotReady", "Node is not ready", node
            )
        case "dns":
            many(len(world.refs) // 4, "Unhealthy",
                 "Readiness probe failed: dial tcp: lookup db: i/o timeout", 15.0)  # fmt: skip
        case "starvation":
            many(8, "FailedScheduling", "0/40 nodes are available: 40 Insufficient memory.", 60.0)
        case "eviction":
            node = rng.choice(world.nodes)
            objects.append(ObjectRef("Node", "", node))
            world.repeat(at, end, 60, objects[0], "", "EvictionThresholdMet",
                         "Attempting to reclaim ephemeral-storage", node)  # fmt: skip
            many(8, "Evicted", "The node was low on resource: ephemeral-storage", 900.0, node=node)
        case "registry":
            many(10, "Failed", "Failed to pull image: unexpected status: 503", 30.0)
        case "webhook-certificate":
            many(8, "FailedCreate", "failed calling webhook: x509: certificate has expired", 30.0)
        case "cni":
            many(8, "FailedCreatePodSandBox", "failed to set up sandbox network: no IP", 12.0)
        case "provisioner":
            many(2, "ProvisioningFailed", "storageclass denied: quota of disks reached", 15.0)
        case "custom":
            ref = rng.choice(world.refs)
            objects.append(ObjectRef("Certificate", ref.namespace, ref.name))
            world.repeat(at, end, 120, objects[0], "", "IssueFailed", "acme: order is invalid")
        case _:
            for ref in rng.sample(world.refs, 12):
                objects.append(ObjectRef("HorizontalPodAutoscaler", ref.namespace, ref.name))
                begin = at + rng.uniform(0, 30)
                world.repeat(begin, end, 15, objects[-1], "", "FailedGetResourceMetric",
                             "unable to fetch metrics from the API", slows=1.2)  # fmt: skip
    world.incidents.append(Incident(kind, at, end, frozenset(objects)))


def weeks(
    seed: int, kinds: tuple[str, ...] = DESIGN, workloads: int = 300, days: float = 8.0,
    per_day: float = 4.0,
) -> World:  # fmt: skip
    """Return a whole simulation; about 5 s for the usual size."""
    rng = random.Random(seed)
    refs = [ObjectRef("Deployment", f"ns-{i % 20}", f"app-{i}") for i in range(workloads)]
    world = World(rng, days, refs, [f"node-{i}" for i in range(40)])
    _ordinary(world)
    _chronic(world)
    count = int((days - 1.2) * per_day)
    for i in range(count):  # from the second day on
        at = START + (1.0 + (days - 1.2) * (i + rng.random()) / count) * DAY
        _incident(world, kinds[i % len(kinds)], at)
    return world


def records(world: World) -> Iterator[EventRecord | Tick]:
    """Yield the lines in order, with a tick every 30 s."""
    tick = START
    for at, _, record in sorted(world.lines, key=lambda line: (line[0], line[1])):
        while tick < at:
            yield Tick("sim", tick)
            tick += 30.0
        yield record
    for _ in range(300):
        tick += 30.0
        yield Tick("sim", tick)

"""Seeded streams of every input topic: a small cluster with faults in it, ticks among the records.

Quiet objects and busy ones, restarts, crash loops, rollouts, full disks, a reboot, warnings in
bursts; some records late, some repeated, some with nothing in them. Times and values come from the
seed alone.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from math import inf, nan
from typing import Any, Final

from stream.records import (
    Allocatable,
    Condition,
    Container,
    ContainerUsage,
    DependencyChange,
    DeploymentChange,
    EventRecord,
    Feedback,
    Filesystem,
    Gap,
    Input,
    NodeMetricsRecord,
    NodeRecord,
    ObjectRef,
    Operation,
    PodRecord,
    Tick,
    VolumeUsage,
)
from stream.topics import DEPLOYMENTS, EVENTS, NODE_METRICS, PODS

START: Final = 1_760_000_000.0
CLUSTERS: Final = ("prod", "stage")
GIB: Final = 2.0**30


def _ref(i: int) -> ObjectRef:
    return ObjectRef("Deployment", f"ns-{i % 3}", f"app-{i}")


def _times(chance: random.Random, count: int, step: float) -> Iterator[tuple[str, float, bool]]:
    """Yield cluster, event time and whether a tick is due, `count` times."""
    now = START
    for i in range(count):
        now += chance.choice([0.0, 0.1, 0.5, 1.0]) * step
        late = step * 5 if chance.random() < 0.05 else 0.0
        yield CLUSTERS[chance.random() < 0.2], now - late, i % 11 == 10


def _stream(
    seed: int, count: int, step: float, one: Callable[[random.Random, str, float], Input]
) -> list[Input]:
    chance = random.Random(seed)
    newest = START
    out: list[Input] = []
    for cluster, at, tick in _times(chance, count, step):
        newest = max(newest, at)
        out.append(one(chance, cluster, at))
        if chance.random() < 0.03:
            out.append(out[-1])  # a relist sends it again
        if tick:
            out += [Tick(cluster=name, at=newest) for name in CLUSTERS]
    out.append(Tick(cluster=CLUSTERS[0], at=newest + 1_800.0))
    return out


def pods(seed: int, count: int = 400) -> list[Input]:
    """Pods that restart, now and then or in a loop, are rolled, evicted and deleted."""
    restarts: dict[str, int] = {}
    version = [0]

    def one(chance: random.Random, cluster: str, at: float) -> PodRecord:
        i = min(chance.randrange(12), chance.randrange(12))
        name = f"{cluster}-app-{i}-{chance.randrange(3)}"
        looping = i == 0 and at > START + 1_000.0
        if chance.random() < (0.7 if looping else 0.08):
            restarts[name] = restarts.get(name, 0) + 1
        version[0] += 1
        count = restarts.get(name, 0)
        oom = chance.random() < 0.3
        container = Container(
            name="main",
            image=f"registry/app-{i}:{1 + int(at > START + 3_000.0)}",
            restarts=count,
            ready=not looping,
            state="waiting" if looping else "running",
            reason="CrashLoopBackOff" if looping else "",
            started_at=at - 5.0,
            last_reason=("OOMKilled" if oom else "Error") if count else "",
            last_exit_code=(137 if oom else 1) if count else None,
            last_started_at=at - 60.0 if count else None,
            last_finished_at=at - 6.0 if count else None,
            memory_limit=GIB,
        )
        return PodRecord(
            cluster=cluster,
            at=at,
            namespace=_ref(i).namespace,
            pod=name,
            uid=f"uid-{name}",
            resource_version=str(version[0]),
            workload=_ref(i),
            node=f"node-{i % 4}",
            phase=chance.choice(["Running"] * 8 + ["Pending", "Failed"]),
            created_at=START - 86_400.0,
            containers=(container,) if chance.random() < 0.97 else (),
            deleted=chance.random() < 0.02,
            deletion_at=at if chance.random() < 0.03 else None,
            generation=f"hash-{int(at > START + 3_000.0)}",
            reason="Evicted" if chance.random() < 0.01 else "",
            conditions=(Condition("Ready", "False" if looping else "True", since=at),),
            labels={"app": f"app-{i}"},
        )

    return _stream(seed, count, 30.0, one)


def events(seed: int, count: int = 400) -> list[Input]:
    """Usual chatter, rare reasons, a burst of image pulls that fail, and verdicts on it."""
    counts: dict[str, int] = {}
    reasons = {
        "Scheduled": ("Normal", ""),
        "Pulled": ("Normal", ""),
        "BackOff": ("Warning", "CrashLoop"),
        "Unhealthy": ("Warning", "Probe"),
        "FailedScheduling": ("Warning", "Scheduling"),
        "ErrImagePull": ("Warning", "ImagePull"),
        "SystemOOM": ("Warning", "NodeOOM"),
    }

    def one(chance: random.Random, cluster: str, at: float) -> Input:
        i = chance.randrange(8)
        if chance.random() < 0.05:
            verdict = chance.choice(["useful", "noise"])
            return Feedback(cluster, at, _ref(i), "ErrImagePull", verdict, 1_000.0)
        burst = START + 2_000.0 < at < START + 2_600.0
        reason = "ErrImagePull" if burst else chance.choice(list(reasons))
        type_, category = reasons[reason]
        uid = f"{cluster}-{reason}-{i}"
        counts[uid] = counts.get(uid, 0) + 1
        return EventRecord(
            cluster=cluster,
            at=at,
            namespace=_ref(i).namespace,
            uid=uid,
            resource_version=str(counts[uid]),
            object=ObjectRef("Pod", _ref(i).namespace, f"app-{i}-x"),
            workload=_ref(i),
            type=type_,
            reason=reason,
            category=category,
            message=f"{reason} for the {counts[uid]}th time",
            template=f"{reason} for the <n>th time",
            count=counts[uid],
            first_at=START,
            node=f"node-{i % 4}",
            component="kubelet",
            deleted=chance.random() < 0.02,
        )

    return _stream(seed, count, 20.0, one)


def nodes(seed: int, count: int = 400) -> list[Input]:
    """Scrapes and node objects: growing memory, a filling disk, a reboot, NotReady, then busy."""
    allocatable = Allocatable(cpu=4.0, memory=8 * GIB, pods=110.0, ephemeral_storage=90 * GIB)

    def scrape(chance: random.Random, cluster: str, at: float, i: int) -> NodeMetricsRecord:
        hours = (at - START) / 3_600.0
        noise = chance.gauss(1.0, 0.02)
        nothing = chance.random() < 0.03
        filling = min(95.0, 40.0 + 20.0 * hours) if i == 1 else 30.0
        disk = Filesystem(filling * GIB * noise, 100 * GIB, (100 - filling) * GIB, 1e5, 6e6)
        usage = ContainerUsage(
            _ref(i).namespace,
            f"app-{i}-x",
            "main",
            _ref(i),
            (0.2 + 0.2 * hours) * GIB,
            GIB,
            0.1,
            1.0,
        )
        return NodeMetricsRecord(
            cluster=cluster,
            at=at,
            node=f"node-{i}",
            cpu=None if nothing else (6.0 if at > START + 5_800.0 else 2.0) * noise,
            memory=(4 + 0.7 * hours * (i == 0)) * GIB * noise,
            memory_available=None if nothing else 3 * GIB,
            filesystem=None if nothing else disk,
            image_filesystem=disk,
            pids=200.0 * noise,
            pids_max=32_768.0,
            pods=float(chance.randrange(20, 30)),
            allocatable=Allocatable() if nothing else allocatable,
            capacity=allocatable,
            volumes=(VolumeUsage("ns-0", "data", _ref(i), disk),),
            containers=(usage,),
            source="metrics" if chance.random() < 0.1 else "summary",
        )

    def node(chance: random.Random, cluster: str, at: float, i: int) -> NodeRecord:
        ready = "False" if i == 2 and START + 1_500.0 < at < START + 4_000.0 else "True"
        return NodeRecord(
            cluster=cluster,
            at=at,
            node=f"node-{i}",
            uid=f"uid-{cluster}-{i}",
            resource_version=str(int(at * 10)),
            ready=ready,
            created_at=START - 1e6,
            deleted=chance.random() < 0.02,
            unschedulable=chance.random() < 0.05,
            taints=("dedicated=gpu:NoSchedule",) if chance.random() < 0.1 else (),
            conditions=(
                Condition("Ready", ready, since=at),
                Condition("DiskPressure", "True" if i == 1 and at > START + 5_000.0 else "False"),
            ),
            labels={"pool": f"pool-{i % 2}"},
            allocatable=allocatable,
            capacity=allocatable,
            boot_id=f"boot-{int(at > START + 3_000.0 and i == 3)}",
            kubelet_version="v1.35.0",
        )

    def one(chance: random.Random, cluster: str, at: float) -> Input:
        make = node if chance.random() < 0.25 else scrape
        return make(chance, cluster, at, chance.randrange(4))

    return _stream(seed, count, 40.0, one)


def deployments(seed: int, count: int = 300) -> list[Input]:
    """Releases, scalings, stuck rollouts, and a gap."""
    revisions: dict[int, int] = {}

    def one(chance: random.Random, cluster: str, at: float) -> Input:
        if chance.random() < 0.02:
            return Gap(
                cluster=cluster, at=at, resource="deployments", since=at - 60.0, reason="expired"
            )
        i = chance.randrange(6)
        if chance.random() < 0.1:
            return DependencyChange(
                cluster=cluster,
                at=at,
                workload=_ref(i),
                object=ObjectRef("ConfigMap", "shop", f"config-{i % 2}"),
                uid="uid-config",
                resource_version=str(int(at * 10)),
                type=chance.choice(["added", "modified", "modified", "deleted"]),
                operations=(Operation("replace", "/data", '"aa"', '"bb"'),),
                manager="helm",
            )
        release = chance.random() < 0.3
        revisions[i] = revisions.get(i, 1) + release
        image = f"registry/app-{i}:{revisions[i]}"
        old = f"registry/app-{i}:{revisions[i] - 1}"
        path = "/spec/template/spec/containers/0/image"
        return DeploymentChange(
            cluster=cluster,
            at=at,
            workload=_ref(i),
            uid=f"uid-{cluster}-{i}",
            resource_version=str(int(at * 10)),
            type=chance.choice(["known", "added", "modified", "modified", "modified", "deleted"]),
            operations=(Operation("replace", path, f'"{old}"', f'"{image}"'),) if release else (),
            generation=revisions[i],
            observed_generation=revisions[i] - chance.randrange(2),
            revision=str(revisions[i]),
            replicas_desired=3,
            replicas_actual=chance.randrange(4),
            replicas_updated=chance.randrange(4),
            replicas_ready=chance.randrange(4),
            replicas_max=4,
            manager=chance.choice(["kubectl", "argocd", "hpa"]),
            manager_operation="Update",
            managed_at=at,
            rollout=chance.choice(["progressing", "complete", "complete", "stuck", "paused", ""]),
            images=(image,),
        )

    return _stream(seed, count, 60.0, one)


WORKLOADS: Final[Mapping[str, Callable[[int], list[Input]]]] = {
    PODS: pods,
    EVENTS: events,
    NODE_METRICS: nodes,
    DEPLOYMENTS: deployments,
}


def shuffled(records: list[Input], seed: int) -> list[Input]:
    """Return `records` with every third sent again and many far out of order."""
    chance = random.Random(seed)
    places = [*range(len(records)), *range(0, len(records), 3)]
    order = sorted((place + chance.uniform(0.0, 40.0), place) for place in places)
    return [records[place] for _, place in order]


def unmeasured(records: list[Input], seed: int) -> list[Input]:
    """Return node scrapes with NaN, infinite, negative, zero and missing values among them."""
    chance = random.Random(seed)

    def broken(value: Any) -> Any:
        return chance.choice([value, nan, None, -1.0, 0.0, inf, 1e30])

    def scrape(r: NodeMetricsRecord) -> NodeMetricsRecord:
        disk = Filesystem(*(broken(1.0) for _ in range(5)))
        limits = Allocatable(*(broken(1.0) for _ in range(4)))
        return NodeMetricsRecord(
            cluster=r.cluster,
            at=r.at,
            node=r.node,
            cpu=broken(r.cpu),
            memory=broken(r.memory),
            memory_available=broken(r.memory_available),
            filesystem=disk,
            image_filesystem=disk,
            pids=broken(r.pids),
            pids_max=broken(r.pids_max),
            pods=broken(r.pods),
            allocatable=limits,
            capacity=limits,
            volumes=(VolumeUsage("ns-0", "data", _ref(0), disk),),
            containers=(
                ContainerUsage("ns-0", "p", "main", _ref(0), broken(GIB), broken(GIB), broken(0.1)),
            ),
        )

    return [
        scrape(r) if isinstance(r, NodeMetricsRecord) and chance.random() < 0.5 else r
        for r in records
    ]

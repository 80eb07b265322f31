"""Seeded weeks of restarts with a known truth: what a restart detector is scored on.

A cluster of workloads lives ordinary life (releases with start-up restarts, node reboots, drains,
scalings, containers that end with exit code 0, workloads that always were flaky), and some have an
incident: a crash loop, a release that loops, a slow cycle of OOM kills, a storm of a flaky one, a
short burst. Records come as the watch gives them: a list first, some twice, some late, a few lost.

The generator knows nothing of the detector. Start-up restarts go up to five, with the container
ready in between; `hard` ones up to six, on the kubelet's ladder and never ready before the last,
so that a start-up looks like a bad release until it is over.
"""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from stream.records import Container, ObjectRef, PodRecord, Tick

START = 1_760_000_000.0
DAY = 86_400.0
LADDER = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)


@dataclass(frozen=True)
class Incident:
    """One planted trouble."""

    kind: str
    workload: ObjectRef
    start: float
    end: float


@dataclass
class Pod:
    name: str
    workload: ObjectRef
    node: str
    created_at: float
    generation: str
    restarts: int = 0
    gone: bool = False


@dataclass
class World:
    """The running simulation: an agenda of moments, and the records that they make."""

    rng: random.Random
    days: float
    now: float = START
    agenda: list[tuple[float, int, object]] = field(default_factory=list)
    pods: dict[ObjectRef, list[Pod]] = field(default_factory=dict)
    records: list[tuple[float, int, PodRecord]] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    busy: dict[ObjectRef, float] = field(default_factory=dict)
    sequence: int = 0

    def say(self, at: float, pod: Pod, state: str, ready: bool, reason: str, code: int, end: float,
            waits: bool = False, deleted: bool = False) -> None:  # fmt: skip
        if self.rng.random() < 0.01 and not deleted:
            return  # lost
        self.sequence += 1
        some = pod.restarts > 0
        facts = Container(
            "app", f"registry/{pod.workload.name}:{pod.generation}", pod.restarts, ready, state,
            "CrashLoopBackOff" if waits else "",
            last_reason=reason if some else "", last_exit_code=code if some else None,
            last_finished_at=end if some else None,
        )  # fmt: skip
        record = PodRecord(
            "sim", at, pod.workload.namespace, pod.name, pod.name, str(self.sequence),
            pod.workload, pod.node, "Running", pod.created_at, (facts,), deleted=deleted,
            generation=pod.generation,
        )  # fmt: skip
        late = self.rng.uniform(0.0, 120.0) if self.rng.random() < 0.05 else 0.0
        self.records.append((at + late, self.sequence, record))
        if self.rng.random() < 0.03:
            self.records.append((at + late + self.rng.random(), self.sequence, record))

    def restart(self, at: float, pod: Pod, reason: str = "Error", code: int = 1, *,
                loops: bool = False) -> None:  # fmt: skip
        pod.restarts += 1
        self.say(at + 1.0, pod, "running", False, reason, code, at)
        if loops:
            self.say(at + 4.0, pod, "waiting", False, reason, code, at, waits=True)
        else:
            self.say(at + 20.0, pod, "running", True, reason, code, at)

    def new_pod(self, at: float, workload: ObjectRef, generation: str) -> Pod:
        self.sequence += 1
        node = f"node-{self.rng.randrange(30)}"
        pod = Pod(f"{workload.name}-{self.sequence}", workload, node, at, generation)
        self.say(at, pod, "running", False, "", 0, at)
        return pod


def _poisson_times(rng: random.Random, rate: float, days: float) -> Iterator[float]:
    at = START
    while rate > 0:
        at += rng.expovariate(rate) * DAY
        if at >= START + days * DAY:
            return
        yield at


def _loop(world: World, pods: list[Pod], at: float, end: float, reason: str, code: int) -> float:
    """Crash on the kubelet's ladder until `end`; return when the last pod is well."""
    last = at
    for pod in pods:
        moment, step = at + world.rng.uniform(0.0, 20.0), 0
        while moment < end:
            world.restart(moment, pod, reason, code, loops=True)
            last = max(last, moment)
            moment += LADDER[min(step, 5)] + world.rng.uniform(2.0, 40.0)
            step += 1
        world.say(moment + 5.0, pod, "running", True, reason, code, moment)
    return last


def weeks(
    seed: int,
    workloads: int = 400,
    days: float = 14.0,
    incidents: int = 140,
    *,
    hard: bool = False,
) -> World:
    """Return a whole simulation; about 5 s for the usual size."""
    rng = random.Random(seed)
    world = World(rng, days)
    refs = [ObjectRef("Deployment", f"ns-{i % 25}", f"app-{i}") for i in range(workloads)]
    habits: dict[ObjectRef, int] = {}
    for ref in refs:
        born = START - rng.uniform(1.0, 30.0) * DAY
        world.pods[ref] = []
        for _ in range(rng.choice([1, 1, 2, 2, 3, 3, 5, 8, 12])):
            pod = Pod(
                f"{ref.name}-{len(world.pods[ref])}", ref, f"node-{rng.randrange(30)}", born, "g0"
            )
            world.pods[ref].append(pod)
        habits[ref] = rng.choice([0, 0, 0, 1, 2, 3]) if rng.random() < 0.97 else (6 if hard else 5)
    moments: list[tuple[float, int, str, ObjectRef | str]] = []

    def plan(at: float, what: str, who: ObjectRef | str) -> None:
        heapq.heappush(moments, (at, len(moments), what, who))

    flaky: dict[ObjectRef, float] = {}
    for ref in refs:
        kind = rng.random()
        rate = 0.02 if kind < 0.75 else rng.uniform(0.1, 0.6) if kind < 0.85 else 0.0
        if 0.85 <= kind < 0.95:
            flaky[ref] = rate = rng.lognormvariate(0.9, 0.7)  # median 2.5 a day
            history = int(rate * (START - world.pods[ref][0].created_at) / DAY)
            for i in range(history):
                world.pods[ref][i % len(world.pods[ref])].restarts += 1
        elif kind >= 0.95:
            for at in _poisson_times(rng, 24.0, days):
                plan(at, "clean", ref)
        for at in _poisson_times(rng, rate, days):
            plan(at, "restart", ref)
            if ref in flaky and rng.random() < 0.2:  # flaky ones fail in pairs
                plan(at + rng.uniform(60.0, 600.0), "restart", ref)
        for at in _poisson_times(rng, 0.3, days):
            plan(at, "release", ref)
    for i in range(30):
        for at in _poisson_times(rng, 0.1, days):
            plan(at, "reboot", f"node-{i}")
    kinds = ("crash-loop", "bad-release", "slow-oom", "flaky-storm", "short")
    for i in range(incidents):
        at = START + rng.uniform(1.0, days - 1.2) * DAY
        plan(at, kinds[i % 5], rng.choice(sorted(flaky) if i % 5 == 3 else refs))

    for ref in refs:
        for pod in world.pods[ref]:
            world.say(START, pod, "running", True, "Error", 1, START - 3600.0)
    generation = 0
    while moments:
        at, _, what, who = heapq.heappop(moments)
        if isinstance(who, str):
            for ref in refs:
                for pod in world.pods[ref]:
                    if pod.node == who:
                        world.restart(at + rng.uniform(0.0, 120.0), pod, "Unknown", 255)
            continue
        if world.busy.get(who, 0.0) > at:
            continue  # an incident runs: nothing else happens to this workload
        pods = world.pods[who]
        if what == "restart":
            world.restart(at, rng.choice(pods))
        elif what == "clean":
            world.restart(at, rng.choice(pods), "Completed", 0)
        elif what in {"release", "bad-release"}:
            generation += 1
            fresh = []
            for i, old in enumerate(pods):
                moment = at + 30.0 * i
                world.say(moment + 25.0, old, "running", False, "", 0, moment, deleted=True)
                fresh.append(world.new_pod(moment, who, f"g{generation}"))
            world.pods[who] = fresh
            if what == "release":
                for pod in fresh:
                    moment = pod.created_at
                    for step in range(rng.randint(0, habits[who])):
                        wait = rng.uniform(15.0, 90.0)
                        moment += LADDER[min(step, 5)] + wait / 2 if hard else wait
                        world.restart(moment, pod, loops=hard)
                    world.say(moment + 40.0, pod, "running", True, "Error", 1, moment)
                world.busy[who] = at + (3600.0 if hard else 900.0)
            else:
                end = at + rng.uniform(20.0, 180.0) * 60.0
                last = _loop(world, fresh, at + 10.0, end, "Error", 1)
                _plant(world, what, who, at, last)
        elif what == "crash-loop":
            some = rng.sample(pods, rng.randint(1, len(pods)))
            last = _loop(world, some, at, at + rng.uniform(20.0, 360.0) * 60.0, "Error", 1)
            _plant(world, what, who, at, last)
        elif what == "short":
            pod = rng.choice(pods)
            times = [at + rng.uniform(10.0, 60.0) * i for i in range(rng.randint(4, 6))]
            for moment in times:
                world.restart(moment, pod)
            _plant(world, what, who, at, times[-1])
        else:
            hours = rng.uniform(8.0, 20.0) if what == "slow-oom" else rng.uniform(2.0, 5.0)
            every = rng.uniform(50.0, 120.0) if what == "slow-oom" else rng.uniform(8.0, 20.0)
            reason, code = ("OOMKilled", 137) if what == "slow-oom" else ("Error", 1)
            pod, moment, last = rng.choice(pods), at, at
            while moment < at + hours * 3600.0:
                world.restart(moment, pod, reason, code)
                last = moment
                moment += every * 60.0 * rng.uniform(0.8, 1.2)
            _plant(world, what, who, at, last)
    return world


def _plant(world: World, kind: str, who: ObjectRef, start: float, end: float) -> None:
    world.incidents.append(Incident(kind, who, start, end))
    world.busy[who] = end + 3600.0


def records(world: World) -> Iterator[PodRecord | Tick]:
    """Yield the records in the order in which they arrive, with a tick every 30 s."""
    tick = START
    for arrival, _, record in sorted(world.records, key=lambda r: (r[0], r[1])):
        while tick < arrival:
            yield Tick("sim", tick)
            tick += 30.0
        yield record
    for _ in range(2000):
        tick += 30.0
        yield Tick("sim", tick)

"""A small real operator with columns and a bank, and a stream for it: what the loop is tried on."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from models.base import Arrays, Rows
from stream.bus import Bus, Outgoing
from stream.checkpoint import PagedBank, PagedValue
from stream.codec import encode_input, finding_id
from stream.columns import Columns, rounds
from stream.errors import Rejected
from stream.operators.base import Output
from stream.records import (
    Finding,
    ObjectRef,
    PodInput,
    PodRecord,
    Point,
    Severity,
    Tick,
)
from stream.topics import PODS, specs

IDLE: Final = 40.0
POISON: Final = "poison"  # a phase that the operators refuse


class ToyBank:
    """Count, running mean and a pair of sums per row."""

    def __init__(self, capacity: int = 0, width: int = 2) -> None:
        self._width = width
        self._arrays = {
            "count": np.zeros(capacity, np.int64),
            "mean": np.full(capacity, np.nan),
            "sums": np.zeros((capacity, width), np.float32),
        }

    @property
    def capacity(self) -> int:
        return self._arrays["count"].size

    def reserve(self, capacity: int) -> None:
        if capacity > self.capacity:
            new = ToyBank(capacity - self.capacity, self._width).arrays()
            self._arrays = {k: np.concatenate([a, new[k]]) for k, a in self._arrays.items()}

    def forget(self, rows: Rows) -> None:
        new = ToyBank(1, self._width).arrays()
        for name, array in self._arrays.items():
            array[rows] = new[name][0]

    def arrays(self) -> Arrays:
        return self._arrays

    def learn(self, rows: Rows, values: Any) -> None:
        a = self._arrays
        a["count"][rows] += 1
        a["mean"][rows] = np.where(
            np.isnan(a["mean"][rows]), values, 0.9 * a["mean"][rows] + 0.1 * values
        )
        a["sums"][rows] += np.stack([values, values * values], axis=1)


class Toy:
    """Speaks of every fifth sight of a pod, and of pods that were idle; forgets the idle ones."""

    topic = PODS

    def __init__(self, name: str = "toy", every: int = 5, bank: ToyBank | None = None) -> None:
        self.name = name
        self.every = every
        self.keys = Columns()
        self.bank = bank or ToyBank()
        self.pages = PagedBank("bank", self.bank)
        self.now = -np.inf
        self.state = PagedValue("state", float, lambda: self.now, self._put)

    def _put(self, now: float | None) -> None:
        self.now = -np.inf if now is None else now

    def on_records(self, records: Sequence[Any]) -> Sequence[Output]:
        out: list[Output] = []
        run: list[PodRecord] = []
        for record in records:
            if isinstance(record, Tick):
                out += self._learn(run)
                run = []
                out += self._tick(record)
            else:
                run.append(record)
        return out + self._learn(run)

    def _learn(self, run: Sequence[PodRecord]) -> list[Output]:
        if not run:
            return []
        good = [record for record in run if record.phase != POISON]
        at = np.maximum.accumulate([max(self.now, record.at) for record in good or run])
        rows = self.keys.rows_of([f"{r.cluster}/{r.pod}" for r in good])
        self.pages.reserve(self.keys.size)
        counts = np.zeros(rows.size, np.int64)
        for round_ in rounds(rows):
            some = rows[round_]
            self.bank.learn(some, np.array([good[i].created_at for i in round_]))
            counts[round_] = self.bank.arrays()["count"][some]
        self.pages.touch(rows)
        self.keys.see(rows, at[: rows.size])
        if len(good) < len(run):  # only now: half of the work is done, and must be undone
            raise Rejected("I do not take poison")
        self.now = float(at[-1])
        return self._conclude(good, at.tolist(), counts.tolist(), rows.tolist())

    def _conclude(
        self, good: Sequence[PodRecord], at: list[float], counts: list[int], rows: list[int]
    ) -> list[Output]:
        out: list[Output] = []
        for record, time, count, row in zip(good, at, counts, rows, strict=True):
            out.append(Point("toy", (("pod", record.pod),), {"n": float(count)}, time))
            if count % self.every == 0:
                rule = f"{self.name}-seen"
                out.append(self._finding(rule, record.cluster, record.pod, time, row))
        return out

    def _tick(self, tick: Tick) -> list[Output]:
        self.now = max(self.now, tick.at)
        idle = self.keys.idle(self.now - IDLE)
        names = [self.keys.key_of(row) for row in idle.tolist()]
        rows = self.keys.release(names)
        said: list[Output] = [
            self._finding(f"{self.name}-idle", *name.split("/"), self.now, row)
            for name, row in zip(names, rows, strict=True)
        ]
        self.bank.forget(rows)
        self.pages.touch(rows)
        return said

    def _finding(self, rule: str, cluster: str, pod: str, at: float, row: int) -> Finding:
        ref = ObjectRef("Pod", "shop", pod)
        return Finding(
            id=finding_id(rule, cluster, ref, at),
            rule=rule,
            state="firing",
            at=at,
            cluster=cluster,
            object=ref,
            severity=Severity.INFO,
            summary=f"row {row}",
            since=at,
        )

    def snapshot(self) -> Mapping[str, bytes]:
        return {**self.keys.snapshot(), **self.pages.snapshot(), **self.state.snapshot()}

    def restore(self, pages: Mapping[str, bytes]) -> None:
        self.keys.restore(pages)
        self.pages.restore(pages)
        self.state.restore(pages)


def pod(
    cluster: str, name: str, at: float, value: float = 1.0, phase: str = "Running"
) -> PodRecord:
    return PodRecord(
        cluster=cluster,
        at=at,
        namespace="shop",
        pod=name,
        uid=name,
        resource_version="1",
        workload=ObjectRef("Deployment", "shop", name),
        node="n1",
        phase=phase,
        created_at=value,
        containers=(),
    )


def stream(count: int, seed: int = 1, pods: int = 40) -> list[PodInput]:
    """Records of two clusters, some late, some at the same time, some hot; ticks among them."""
    chance = random.Random(seed)
    now = 1_000.0
    out: list[PodInput] = []
    while len(out) < count:
        now += chance.choice([0.0, 0.0, 0.1, 1.0])
        cluster = chance.choice(["a", "b"])
        if chance.random() < 0.05:
            out += [Tick(cluster=name, at=now) for name in chance.sample(["a", "b"], 2)]
            continue
        name = f"pod-{min(chance.randrange(pods), chance.randrange(pods))}"
        late = chance.choice([0.0, 0.0, 0.0, 3.0])
        out.append(pod(cluster, name, now - late, chance.random()))
    return out[:count]


def messages(records: Iterable[PodInput]) -> list[Outgoing]:
    return [Outgoing(PODS, 0, b"k", encode_input(record), record.at) for record in records]


async def fill(bus: Bus, records: Iterable[PodInput]) -> None:
    await bus.ensure(specs(1))
    await bus.publish(messages(records))

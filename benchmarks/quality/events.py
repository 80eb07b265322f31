"""Events under test: weeks of lines with a known truth, beside grouping and a list of reasons."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence

from benchmarks.quality.figures import Figure
from benchmarks.workloads_events import DAY, DESIGN, HELD_OUT, START, World, records, weeks
from stream.operators.events import Events, EventSettings
from stream.records import EventRecord, Finding, ObjectRef

AFTER = 600.0  # seconds after an incident in which to speak of it is still true
BURN_IN = START + DAY
WORKLOADS = 300
Said = list[tuple[float, ObjectRef]]


def ours(stream: Sequence[object]) -> Said:
    operator = Events(EventSettings())
    out = [o for i in range(0, len(stream), 500) for o in operator.on_records(stream[i : i + 500])]
    return [
        (f.at, f.object)
        for f in out
        if isinstance(f, Finding) and f.rule == "event-anomaly" and f.state == "firing"
    ]


def grouping(stream: Sequence[object]) -> Said:
    """Alertmanager's way: one message per namespace, reason and template, again after 4 h."""
    return _once_per(stream, 4 * 3600.0, lambda r: (r.namespace, r.reason, r.template))


def reasons(stream: Sequence[object]) -> Said:
    """One message per object and reason, again after 30 min."""
    return _once_per(stream, 1800.0, lambda r: (r.object, r.reason))


def _once_per(stream: Sequence[object], every: float, key: Callable[[EventRecord], object]) -> Said:
    told: dict[object, float] = {}
    out: Said = []
    for record in stream:
        if not isinstance(record, EventRecord) or record.type != "Warning":
            continue
        if record.at - told.get(key(record), -1e18) >= every:
            told[key(record)] = record.at
            out.append((record.at, record.workload))
    return out


def measure(seeds: Sequence[int], kinds: tuple[str, ...] = DESIGN + HELD_OUT) -> list[Figure]:
    """Score weeks of events; seeds 1 to 5 were looked at while the model was made."""
    totals = {name: _Total() for name in ("ours", "grouping, 4 h", "per object, 30 min")}
    for seed in seeds:
        world = weeks(seed, kinds, WORKLOADS)
        stream = list(records(world))
        lines = sum(isinstance(record, EventRecord) for record in stream)
        for name, method in zip(totals, (ours, grouping, reasons), strict=True):
            totals[name].add(world, method(stream), lines)
    mine = totals["ours"]

    def beside(of: Callable[[_Total], float]) -> dict[str, float]:
        return {name: of(total) for name, total in totals.items() if name != "ours"}

    def figure(name: str, of: Callable[[_Total], float], note: str = "") -> Figure:
        return Figure(name, of(mine), beside(of), note)

    return [
        figure("E1-reduction", lambda t: 100 * (1 - t.said / t.lines)),
        figure("E1-precision", lambda t: t.true / max(t.said, 1)),
        figure("E1-recall", lambda t: t.recall),
        figure("E1-worst", lambda t: t.worst[0], f"worst: {mine.worst[1]}"),
        figure("E1-delay", lambda t: t.delay),
        figure("E1-rate", lambda t: t.said / t.days * 500 / WORKLOADS),
    ]


class _Total:
    """What one method came to over all seeds."""

    def __init__(self) -> None:
        self.said = self.true = self.lines = 0
        self.days = 0.0
        self.delays: dict[str, list[float | None]] = defaultdict(list)

    def add(self, world: World, said: Said, lines: int) -> None:
        self.lines += lines
        self.days += world.days - 1.0
        found: dict[int, float] = {}
        by_object: dict[ObjectRef, list[int]] = defaultdict(list)
        for i, incident in enumerate(world.incidents):
            for ref in incident.objects:
                by_object[ref].append(i)
        for at, ref in said:
            if at < BURN_IN:
                continue
            self.said += 1
            hits = [
                i
                for i in by_object.get(ref, ())
                if world.incidents[i].start <= at <= world.incidents[i].end + AFTER
            ]
            self.true += bool(hits)
            for i in hits:
                found.setdefault(i, at - world.incidents[i].start)
        for i, incident in enumerate(world.incidents):
            self.delays[incident.kind].append(found.get(i))

    @property
    def recall(self) -> float:
        every = [d for values in self.delays.values() for d in values]
        return sum(d is not None for d in every) / len(every)

    @property
    def worst(self) -> tuple[float, str]:
        return min(
            (sum(d is not None for d in v) / len(v), kind) for kind, v in self.delays.items()
        )

    @property
    def delay(self) -> float:
        hits = [d for values in self.delays.values() for d in values if d is not None]
        return statistics.median(hits) / 60 if hits else float("nan")

"""Precision, recall, reduction and delay of the event model on streams with a known truth.

    python -m benchmarks.score_events --seeds 12 13 14 --kinds all

Seeds 1 to 3 with the design kinds were looked at while weights and threshold were chosen; score on
others, and on the kinds kept aside. A finding is true if its object belongs to an incident within
its time or ten minutes after. "groups" shows the parts of every group, for choosing weights.
"""

import argparse
import statistics
import time
from collections import defaultdict

from benchmarks.workloads_events import DAY, DESIGN, HELD_OUT, START, World, records, weeks
from stream.operators.event_groups import Group
from stream.operators.events import Events, EventSettings
from stream.records import EventRecord, Finding

AFTER = 600.0
BURN_IN = START + DAY


def truth(world: World, group: Group | Finding, at: float) -> str:
    """Return the kind of the incident that a finding tells of, or ""."""
    ref = group.ref if isinstance(group, Group) else group.object
    for incident in world.incidents:
        if ref in incident.objects and incident.start <= at <= incident.end + AFTER:
            return incident.kind
    return ""


class Watched(Events):
    """The operator, with the groups that ended kept for looking at."""

    def __init__(self, settings: EventSettings) -> None:
        super().__init__(settings)
        self.ended: list[Group] = []

    def _close(self, key: str, group: Group) -> None:
        self.ended.append(group)
        super()._close(key, group)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[12, 13, 14])
    parser.add_argument("--kinds", choices=("design", "held-out", "all"), default="all")
    parser.add_argument("--threshold", type=float, default=EventSettings().threshold)
    parser.add_argument("--groups", action="store_true")
    options = parser.parse_args()
    kinds = {"design": DESIGN, "held-out": HELD_OUT, "all": DESIGN + HELD_OUT}[options.kinds]
    said = true = lines = 0
    repeats = 0
    delays: dict[str, list[float | None]] = defaultdict(list)
    elapsed = days = 0.0
    false: dict[str, int] = defaultdict(int)
    warnings = 0
    for seed in options.seeds:
        world = weeks(seed, kinds)
        stream = list(records(world))
        lines += sum(isinstance(r, EventRecord) for r in stream)
        warnings += sum(isinstance(r, EventRecord) and r.type == "Warning" for r in stream)
        days += world.days - 1.0
        operator = Watched(EventSettings(threshold=options.threshold))
        began = time.perf_counter()
        outputs = [
            o for i in range(0, len(stream), 500) for o in operator.on_records(stream[i : i + 500])
        ]
        elapsed += time.perf_counter() - began
        fired = [
            f for f in outputs
            if isinstance(f, Finding) and f.rule == "event-anomaly" and f.state == "firing"
            and f.at >= BURN_IN
        ]  # fmt: skip
        found: dict[int, float] = {}
        for finding in fired:
            said += 1
            hit = False
            for i, incident in enumerate(world.incidents):
                if finding.object in incident.objects and (
                    incident.start <= finding.at <= incident.end + AFTER
                ):
                    hit = True
                    repeats += i in found
                    found.setdefault(i, finding.at - incident.start)
            true += hit
            if not hit:
                false[finding.labels["reason"]] += 1
        for i, incident in enumerate(world.incidents):
            delays[incident.kind].append(found.get(i))
        if options.groups:
            for group in sorted(operator.ended, key=lambda g: -g.score):
                if group.opened_at >= BURN_IN:
                    e = group.evidence(0.0)
                    parts = " ".join(f"{n}={v:.1f}" for n, v in e._asdict().items())
                    kind = truth(world, group, group.opened_at + 60) or "-"
                    print(f"{group.score:5.1f} {kind:12} {next(iter(group.reasons)):22} {parts}")
    every = [d for values in delays.values() for d in values]
    hits = [d for d in every if d is not None]
    print(
        f"{lines} lines ({warnings / lines:.0%} Warning), {len(every)} incidents, {said} said: "
        f"precision {true / max(said, 1):.3f}, recall {len(hits) / len(every):.3f}, "
        f"repeats {repeats}, reduction {1 - said / lines:.5f}, {said / days:.1f} a day, "
        f"delay median {statistics.median(hits or [0.0]) / 60:.1f} min "
        f"p90 {sorted(hits or [0.0])[int(0.9 * len(hits or [0.0])) - 1] / 60:.0f} min, "
        f"{lines / elapsed:.0f} lines/s"
    )
    for kind, values in sorted(delays.items()):
        print(f"    {kind:20} {sum(v is not None for v in values)}/{len(values)}")
    print("    false:", dict(sorted(false.items(), key=lambda item: -item[1])))


if __name__ == "__main__":
    main()

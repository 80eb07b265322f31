"""Precision, recall and delay of the restart detector, beside two rules that people use.

    python -m benchmarks.score_restarts --seeds 21 22 23

Seeds 11 to 16 were looked at while the detector was written; score on others. A finding is true if
it names a workload within its incident or ten minutes after; what the first day says is not scored.
"""

import argparse
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.workloads_restarts import DAY, START, Incident, World, records, weeks
from stream.operators.restarts import Restarts, RestartSettings
from stream.records import Finding, ObjectRef, PodRecord

BURN_IN = START + DAY
AFTER = 600.0


def counted(world: World) -> Iterator[tuple[float, ObjectRef, int]]:
    """Yield when a workload's pods restarted otherwise than with exit code 0, and how often."""
    counts: dict[str, int] = {}
    for record in records(world):
        if not isinstance(record, PodRecord):
            continue
        facts = record.containers[0]
        known = counts.setdefault(record.uid, facts.restarts)
        if facts.restarts <= known or facts.last_exit_code == 0:
            counts[record.uid] = max(known, facts.restarts)
            continue
        counts[record.uid] = facts.restarts
        yield record.at, record.workload, facts.restarts - known


def three_in_ten_minutes(world: World) -> list[tuple[float, ObjectRef]]:
    """Alert on the third restart of a workload in ten minutes; quiet for ten ends it."""
    recent: dict[ObjectRef, list[float]] = defaultdict(list)
    until: dict[ObjectRef, float] = {}
    alerts = []
    for at, who, count in counted(world):
        recent[who] = [t for t in [*recent[who], *[at] * count] if t > at - 600.0]
        if len(recent[who]) >= 3:
            if until.get(who, 0.0) < at:
                alerts.append((at, who))
            until[who] = at + 600.0
    return alerts


def kleinberg(world: World, s: float = 100.0, gamma: float = 4.0) -> list[tuple[float, ObjectRef]]:
    """Alert when Kleinberg's automaton of two states is likelier in the fast one.

    J. Kleinberg, Bursty and Hierarchical Structure in Streams (KDD 2002), 2: gaps are exponential
    with the workload's mean rate so far, or `s` times that; to become fast costs γ ln n. It goes
    back by its own costs, or after an hour without a restart.
    """
    state: dict[ObjectRef, tuple[float, int, float, bool]] = {}  # newest, n, cost of fast − slow
    alerts = []
    for at, who, count in counted(world):
        last, n, cost, fast = state.get(who, (START - DAY, 1, float("inf"), False))
        gap, n = max(at - last, 1.0), n + count
        if gap > 3600.0:
            cost, fast = float("inf"), False
        rate = n / (at - START + DAY)
        # A gap more costs each state −ln of its density; only the difference matters.
        for _ in range(count):
            enters = min(max(cost, 0.0), gamma * math.log(n))
            cost = enters - math.log(s) + (s - 1.0) * rate * gap / count
        if cost < 0 and not fast:
            alerts.append((at, who))
        state[who] = (at, n, cost, cost < 0)
    return alerts


def ours(world: World) -> tuple[dict[str, list[tuple[float, ObjectRef]]], int]:
    operator = Restarts(RestartSettings())
    alerts: dict[str, list[tuple[float, ObjectRef]]] = defaultdict(list)
    told: set[tuple[str, ObjectRef]] = set()
    restarts = 0
    for record in records(world):
        for finding in operator.on_records([record]):
            if not isinstance(finding, Finding):
                restarts += int(finding.fields["restarts_total"])  # type: ignore[union-attr]
            elif finding.state == "firing":
                if (finding.rule, finding.object) not in told:
                    alerts[finding.rule].append((finding.at, finding.object))
                told.add((finding.rule, finding.object))
            elif finding.state == "resolved":
                told.discard((finding.rule, finding.object))
    return alerts, restarts


def score(
    alerts: Iterable[tuple[float, ObjectRef]], incidents: Sequence[Incident]
) -> tuple[int, int, dict[str, list[float | None]]]:
    """Return true alerts, all alerts, and the delay of each incident by kind (None: missed)."""
    scored = [(at, who) for at, who in alerts if at >= BURN_IN]
    true = sum(
        any(i.workload == who and i.start <= at <= i.end + AFTER for i in incidents)
        for at, who in scored
    )
    delays: dict[str, list[float | None]] = defaultdict(list)
    for incident in incidents:
        found = [
            at - incident.start
            for at, who in scored
            if who == incident.workload and incident.start <= at <= incident.end + AFTER
        ]
        delays[incident.kind].append(min(found, default=None))
    return true, len(scored), delays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--false", action="store_true", help="print false alerts")
    options = parser.parse_args()
    total: dict[str, list[tuple[int, int, dict[str, list[float | None]]]]] = defaultdict(list)
    weeks_seen = 0.0
    for seed in options.seeds:
        world = weeks(seed)
        weeks_seen += 400 * world.days / 7
        mine, restarts = ours(world)
        print(f"seed {seed}: {restarts} restarts, {len(world.incidents)} incidents")
        named = {
            "restart-burst": mine["restart-burst"],
            "CrashLoopBackOff 15 min": mine["crash-loop"],
            "restart-burst or oom-kill": mine["restart-burst"] + mine["oom-kill"],
            "restart-count (3 in 1 h, info)": mine["restart-count"],
            "k=3 in 10 min": three_in_ten_minutes(world),
            "Kleinberg": kleinberg(world),
        }
        for name, alerts in named.items():
            total[name].append(score(alerts, world.incidents))
        if options.false:
            for at, who in mine["restart-burst"]:
                if at >= BURN_IN and not any(
                    i.workload == who and i.start <= at <= i.end + AFTER for i in world.incidents
                ):
                    print("  false:", round((at - START) / DAY, 3), who)
    print(f"{'method':32} {'P':>6} {'R':>6} {'F1':>6} {'delay min':>9} {'FA/100 wl-wk':>12}")
    for name, rows in total.items():
        true, said = sum(r[0] for r in rows), sum(r[1] for r in rows)
        delays: dict[str, list[float | None]] = defaultdict(list)
        for row in rows:
            for kind, values in row[2].items():
                delays[kind] += values
        every = [d for values in delays.values() for d in values]
        found = [d for d in every if d is not None]
        precision, recall = true / max(said, 1), len(found) / len(every)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        print(
            f"{name:32} {precision:6.3f} {recall:6.3f} {f1:6.3f} "
            f"{statistics.median(found) / 60:9.1f} {100 * (said - true) / weeks_seen:12.2f}"
        )
        kinds = []
        for kind, values in sorted(delays.items()):
            hit = [v for v in values if v is not None]
            middle = f"{statistics.median(hit) / 60:.1f} min" if hit else "-"
            kinds.append(f"{kind} {len(hit)}/{len(values)} {middle}")
        print("    " + "; ".join(kinds))


if __name__ == "__main__":
    main()

"""What people's feedback is worth to the event model: what is said, how much of it true, and found.

    python -m benchmarks.score_feedback --seeds 4 5 --points 0.75 1.5 3

Into the weeks of `benchmarks.workloads_events` come nuisances: workloads that fail about every
other day in a way that looks grave and that their people do not mind. A reader judges every finding
ten minutes after it was said. The honest one calls what tells of an incident useful and all else
noise, and errs in one of ten; the hostile one calls everything noise. Counted is from the second
day on.

"river" is another way to learn from the same verdicts: a logistic regression on the parts of the
evidence, which shifts every group by at most the same points, with the same floor.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence

from river.linear_model import LogisticRegression
from river.optim import SGD
from river.preprocessing import StandardScaler

import models.evidence
from benchmarks.score_events import AFTER, BURN_IN, truth
from benchmarks.workloads_events import DAY, DESIGN, HELD_OUT, HOUR, START, World, records, weeks
from models.evidence import score
from stream.operators.event_feedback import Verdicts
from stream.operators.event_groups import Group
from stream.operators.events import Events, EventSettings
from stream.records import Feedback, Finding

READS_AFTER = 600.0  # seconds
LASTS = 30 * DAY
NUISANCES = 12
Reader = Callable[[bool, random.Random], str]

READERS: dict[str, Reader] = {
    "honest, one of ten wrong": lambda true, chance: (
        "useful" if true == (chance.random() >= 0.1) else "noise"
    ),
    "hostile": lambda true, chance: "noise",
}
_TROUBLES = (
    ("BackOff", 'Back-off pulling image "registry/try:v1"', 20.0),
    ("FailedCreate", "pods is forbidden: exceeded quota: compute", 40.0),
    ("FailedMount", "Unable to attach or mount volumes: timed out", 60.0),
    ("FailedCreatePodSandBox", "failed to set up sandbox network: no IP", 12.0),
)


class Learned(Verdicts):
    """What a classifier makes of verdicts, in the place of verdicts by key."""

    def __init__(self) -> None:
        super().__init__()
        self._model = StandardScaler() | LogisticRegression(optimizer=SGD(0.05), l2=0.01)
        self._count = 0

    def learn(self, finding: Finding, useful: bool) -> None:
        parts = {p.name: p.value for p in finding.because if not isinstance(p.value, str)}
        self._model.learn_one(parts, useful)
        self._count += 1

    def of(self, group: Group, at: float) -> float:
        terms = score(group.evidence(0.0))[1]
        chance = self._model.predict_proba_one({t.name: t.value for t in terms}).get(True, 0.5)
        return (2.0 * chance - 1.0) * min(1.0, self._count / 20.0)


def disturbed(seed: int) -> World:
    world = weeks(seed, DESIGN + HELD_OUT, days=12.0)
    planted = {ref for incident in world.incidents for ref in incident.objects}
    quiet = [ref for ref in world.refs if ref not in planted]
    for i, ref in enumerate(world.rng.sample(quiet, min(NUISANCES, len(quiet)))):
        reason, message, every = _TROUBLES[i % len(_TROUBLES)]
        at = START + world.rng.uniform(1.0, 3.0) * DAY
        while at < START + world.days * DAY:
            end = at + world.rng.uniform(0.3, 1.5) * HOUR
            world.repeat(at, end, every, ref, f"{ref.name}-0", reason, message, slows=1.1)
            at += world.rng.uniform(1.0, 3.0) * DAY
    return world


def read(world: World, reader: Reader | None, seed: int, *, river: bool) -> list[Finding]:
    """Run the operator with a reader beside it; return what it said."""
    chance, operator = random.Random(seed), Events(EventSettings())
    learned = Learned()
    if river:
        operator._verdicts = learned
    waiting: list[tuple[float, Feedback, Finding]] = []
    said: list[Finding] = []
    for record in records(world):
        out = list(operator.on_records([record]))
        while waiting and waiting[0][0] <= record.at:
            _, verdict, judged = waiting.pop(0)
            if river:
                learned.learn(judged, verdict.verdict == "useful")
            else:
                out += operator.on_records([verdict])
        for one in out:
            if not isinstance(one, Finding) or one.rule != "event-anomaly" or one.state != "firing":
                continue
            said.append(one)
            if reader is not None:
                word = reader(bool(truth(world, one, one.at)), chance)
                verdict = Feedback(
                    one.cluster, one.at, one.object, one.labels["reason"], word, LASTS
                )  # type: ignore[arg-type]
                waiting.append((one.at + READS_AFTER, verdict, one))
    return said


def tally(worlds: Sequence[World], reader: Reader | None, *, river: bool = False) -> str:
    said = true = found = planted = 0
    for seed, world in enumerate(worlds):
        late = [one for one in read(world, reader, seed, river=river) if one.at >= BURN_IN]
        said += len(late)
        true += sum(bool(truth(world, one, one.at)) for one in late)
        planted += len(world.incidents)
        found += sum(
            any(
                one.object in incident.objects and incident.start <= one.at <= incident.end + AFTER
                for one in late
            )
            for incident in world.incidents
        )
    return (
        f"{said} said, precision {true / max(said, 1):.3f}, "
        f"recall {found / planted:.3f} of {planted}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[4, 5])
    parser.add_argument("--points", type=float, nargs="+", default=[models.evidence.FEEDBACK])
    options = parser.parse_args()
    worlds = [disturbed(seed) for seed in options.seeds]
    print(f"nobody: {tally(worlds, None)}", flush=True)
    for points in options.points:
        models.evidence.FEEDBACK = points  # type: ignore[misc]
        for name, reader in READERS.items():
            for river in (False, True):
                how = "river" if river else "by key"
                found = tally(worlds, reader, river=river)
                print(f"{points:g} points {how}, {name}: {found}", flush=True)


if __name__ == "__main__":
    main()

"""How strong the evidence of one group of events is: an additive score that explains itself.

Novelty, persistence and gravity must come together: something that never happened, lasts, and stops
pods from running. Each part is cut off where more of it says nothing new, and what was seen in one
minute only, or is cleared, is not `lasting` whatever its score. What people said of the like counts
as evidence, too; it never hides what is grave and new. The parts are printed as they are added.
Pure; about 5 µs.

The weights are round numbers, chosen on the design seeds of `benchmarks/score_events.py` and
scored on others.

Left to others: measuring the parts (`models.events`), grouping and timing (`stream.operators`).
"""

from __future__ import annotations

from math import log2
from typing import Final, NamedTuple


class Evidence(NamedTuple):
    """What is known of a group; return periods are −log10 of a daily rate."""

    own: float = 0.0  # of the workload's reason at this level
    namespace: float = 0.0  # of so many workloads with this reason in the namespace
    fleet: float = 0.0  # the same in the cluster
    node: float = 0.0  # of so many workloads in trouble on one node
    template: float = 0.0  # of the message
    excess: float = 0.0  # standard deviations above the own mean
    gravity: float = 0.0  # 0 to 1, of the gravest category
    minutes: float = 0.0  # distinct minutes with lines
    uncleared: float = 1.0  # share of failing objects of which nothing better was heard
    subjects: float = 1.0
    feedback: float = 0.0  # -1 to 1: share of subjects that people call noise (-) or useful (+)

    @property
    def critically_new(self) -> bool:
        """Pods cannot run, in a way that its surroundings hardly know: nobody may call it noise."""
        return self.gravity >= GRAVE and max(self.namespace, self.fleet, self.node) >= NEW

    @property
    def lasting(self) -> bool:
        """It went on for more than a minute, and something still fails."""
        return self.minutes >= 2.0 and self.uncleared > 0.0


class Term(NamedTuple):
    """One addend of a score."""

    name: str
    value: float
    points: float


GRAVE: Final = 0.7  # gravity from which pods cannot run
NEW: Final = 1.5  # a return period of about a month, for so many workloads of the place
FEEDBACK: Final = 1.5  # points of a unanimous verdict
# name → weight, the value from which it counts, the value beyond which more says nothing
_SCALE: Final[dict[str, tuple[float, float, float]]] = {
    "own": (0.8, 0.5, 2.5),
    "namespace": (1.6, 0.2, 2.0),
    "fleet": (0.4, 0.2, 2.0),
    "node": (1.5, 0.3, 1.5),
    "template": (1.2, 0.2, 2.2),
    "excess": (0.1, 3.0, 8.0),
    "gravity": (2.4, 0.3, 1.0),
    "minutes": (0.6, 0.0, 4.5),
    "subjects": (0.1, 0.0, 3.0),
}


def score(evidence: Evidence) -> tuple[float, list[Term]]:
    """Return the score and its addends, the strongest first.

    Minutes and subjects count by their binary logarithm, and minutes only by the share of objects
    that is still failing. People's feedback adds or takes points, but takes none from what is
    critically new.
    """
    values = evidence._asdict()
    values["minutes"] = log2(1.0 + evidence.minutes) * evidence.uncleared
    values["subjects"] = log2(max(evidence.subjects, 1.0))
    del values["uncleared"], values["feedback"]
    terms = []
    for name, (weight, low, high) in _SCALE.items():
        points = weight * (min(max(values[name], low), high) - low)
        terms.append(Term(name, float(getattr(evidence, name)), points))
    if evidence.feedback:
        least = 0.0 if evidence.critically_new else -FEEDBACK
        terms.append(Term("feedback", evidence.feedback, max(FEEDBACK * evidence.feedback, least)))
    terms.sort(key=lambda term: (-term.points, term.name))
    return sum(term.points for term in terms), terms

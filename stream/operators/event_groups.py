"""Groups of event candidates: which belong to one trouble, and how far it has come.

A group opens with a candidate and takes in what shares its subject, its node, or its family of
reasons nearby in time. It keeps the maxima of the evidence, how long it has lasted and which of its
failing objects were heard of again (progress clears). It is weighed when it has settled: after
75 s, 150 s, 330 s and 15 min, every 15 min after that while lines come, and when it gets stranger.
Having been said it is said again, as critical, when it has become tenfold.

Left to others: what is a candidate (`stream.operators.events`), the weighing (`models.evidence`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from models.evidence import Evidence
from models.reasons import gravity_of
from stream.records import ObjectRef

SETTLE: Final = (75.0, 150.0, 330.0, 900.0)  # seconds after opening; hiccups end before the third
AGAIN: Final = 900.0  # seconds between two looks at an old group
SAME_NODE: Final = 1200.0  # seconds in which troubles of one node belong together
SAME_FAMILY: Final = 600.0  # seconds in which troubles of one family do
ESCALATION: Final = 10  # times as many subjects as were told of: it is another kind of trouble
GROWS: Final = 3600.0  # seconds in which a group takes in new subjects; later it is another one
_FAILING: Final = 300  # objects that a group follows
_SUBJECTS: Final = 500
_TEMPLATES: Final = 3  # messages that a group quotes


class Line(msgspec.Struct, gc=False, array_like=True):
    """What one key has said since it was last looked at."""

    cluster: str
    subject: str
    ref: ObjectRef
    reason: str
    category: str
    family: str
    namespace: str
    node: str
    template: str
    count: float = 0.0
    objects: list[str] = []


class Group(msgspec.Struct, gc=False, array_like=True):
    """One trouble, as far as events tell."""

    number: int
    cluster: str
    ref: ObjectRef  # the subject of which it is strangest; fixed once it is said
    opened_at: float
    last_at: float  # of its newest line
    candidate_at: float
    subjects: dict[str, float] = {}  # subject → last line
    namespaces: dict[str, None] = {}
    nodes: dict[str, None] = {}
    families: dict[str, None] = {}
    reasons: dict[str, float] = {}  # reason → events
    templates: list[str] = []
    failing: dict[str, str] = {}  # object → family
    failed: int = 0  # objects that ever failed
    minutes: int = 0
    minute: float = -1.0
    own: float = 0.0
    namespace: float = 0.0
    fleet: float = 0.0
    node: float = 0.0
    template: float = 0.0
    excess: float = 0.0
    strangest: float = 0.0  # how strange that is
    gravity: float = 0.0
    firing: bool = False
    folded: bool = False
    score: float = 0.0
    looks: int = 0
    due: float | None = None
    told_subjects: int = 0  # when it was said last
    grown: bool = False  # tenfold since it was first said
    held: bool = False  # people's verdict alone has kept it from being said

    def take(self, line: Line, at: float) -> None:
        """Add what one key has said."""
        self.last_at = at
        if len(self.subjects) < _SUBJECTS or line.subject in self.subjects:
            self.subjects[line.subject] = at
        if line.namespace:
            self.namespaces[line.namespace] = None
        if line.node:
            self.nodes[line.node] = None
        self.families[line.family] = None
        self.reasons[line.reason] = self.reasons.get(line.reason, 0.0) + line.count
        if line.template not in self.templates and len(self.templates) < _TEMPLATES:
            self.templates.append(line.template)
        for name in line.objects:
            if name not in self.failing and len(self.failing) < _FAILING:
                self.failing[name] = line.family
                self.failed += 1
        if at // 60.0 != self.minute:
            self.minute = at // 60.0
            self.minutes += 1
        self.gravity = max(self.gravity, gravity_of(line.category))

    def weigh(self, line: Line, found: Evidence, at: float) -> bool:
        """Keep the maxima of a candidate's evidence, and the subject of which it is strangest.

        Returns whether it is stranger than it was.
        """
        self.candidate_at = at
        self.own, self.namespace = max(self.own, found.own), max(self.namespace, found.namespace)
        self.fleet, self.node = max(self.fleet, found.fleet), max(self.node, found.node)
        self.template = max(self.template, found.template)
        self.excess = max(self.excess, found.excess)
        strange = found.own + found.namespace + found.fleet + found.template
        if self.firing or strange <= self.strangest:
            return False
        self.ref, self.strangest = line.ref, strange
        return True

    def tell(self) -> None:
        """Note that it is said, as wide as it is."""
        self.firing, self.told_subjects = True, len(self.subjects)

    def escalates(self) -> bool:
        """Say whether it is tenfold what was said, and note that this is said."""
        if not self.firing or len(self.subjects) < ESCALATION * max(self.told_subjects, 1):
            return False
        self.grown = True
        self.tell()
        return True

    def clear(self, name: str, families: frozenset[str]) -> bool:
        """Note that an object goes on; say whether it was failing in one of these families."""
        if self.failing.get(name) in families:
            del self.failing[name]
            return True
        return False

    def evidence(self, feedback: float) -> Evidence:
        """Return what the group is weighed by, with what people think of the like, -1 to 1."""
        return Evidence(
            own=self.own,
            namespace=self.namespace,
            fleet=self.fleet,
            node=self.node,
            template=self.template,
            excess=self.excess,
            gravity=self.gravity,
            minutes=float(self.minutes),
            uncleared=len(self.failing) / self.failed if self.failed else 1.0,
            subjects=float(len(self.subjects)),
            feedback=feedback,
        )

    def takes(self, line: Line, at: float, hold: float, *, broad: bool) -> bool:
        """Say whether a candidate belongs here.

        Parameters
        ----------
        broad
            So many subjects of the cluster show this reason that it is one trouble.
        """
        if line.cluster != self.cluster:
            return False
        if line.subject in self.subjects and at - self.subjects[line.subject] <= hold:
            return line.family in self.families or at - self.opened_at <= GROWS
        if at - self.opened_at > GROWS:
            return False
        near = line.node and line.node in self.nodes and at - self.last_at <= SAME_NODE
        if near and ({line.family, *self.families} & {"node", "eviction"}):
            return True
        if line.family in self.families and at - self.last_at <= SAME_FAMILY:
            return line.namespace in self.namespaces or broad
        return False

    def next_look(self, at: float) -> float:
        """Return when the group is to be weighed again."""
        for settle in SETTLE:
            if self.opened_at + settle > at:
                return self.opened_at + settle
        return at + AGAIN

"""What a measurement is, what it is aimed at, and how far it may fall before a run fails.

All aims and all tolerances stand here and nowhere else. An aim is what the product wants to reach,
met or not; a bound is what it has reached, with the slack that seeds need: a run that crosses one
fails, because something has become worse. Ids are permanent; a figure that is given up keeps its id
unused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple


class Figure(NamedTuple):
    """One measured number, beside what others reach on the same data in the same run."""

    id: str
    value: float
    beside: Mapping[str, float] = {}
    note: str = ""


class Aim(NamedTuple):
    """What a figure is about, where it should be, and where it must not fall."""

    what: str
    aim: float
    bound: float
    more: bool = False  # whether more is better,
    most: float = math.inf  # up to here
    form: str = "{:.3g}"

    @property
    def wanted(self) -> str:
        """The aim in words."""
        if self.most < math.inf:
            return f"{self.form.format(self.aim)} … {self.form.format(self.most)}"
        return f"{'≥' if self.more else '≤'} {self.form.format(self.aim)}"

    def meets(self, value: float) -> bool:
        return self.aim <= value <= self.most if self.more else value <= self.aim

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.more else value <= self.bound


AIMS: Mapping[str, Aim] = {
    "G1-6": Aim("time left, error % at 6 h, like families", 9, 12, form="{:.0f}"),
    "G1-24": Aim("… at 24 h", 4, 7, form="{:.0f}"),
    "G1-72": Aim("… at 72 h", 5, 10, form="{:.0f}"),
    "G2-6": Aim("time left, error % at 6 h, unseen families", 15, 20, form="{:.0f}"),
    "G2-24": Aim("… at 24 h", 7, 13, form="{:.0f}"),
    "G2-72": Aim("… at 72 h", 9, 28, form="{:.0f}"),
    "G3-like": Aim("false warnings a series-week, like families", 0.02, 0.06, form="{:.3f}"),
    "G3-unseen": Aim("… unseen shapes", 0.05, 0.13, form="{:.3f}"),
    "G3-real": Aim("… real NAB series, which never fill", 0.03, 0.15, form="{:.3f}"),
    "G3-undeclared": Aim("… images collected at an undeclared ceiling", 0.05, 0.8, form="{:.2f}"),
    "G4-recall": Aim("recall 4 h ahead, like families", 0.92, 0.80, more=True, form="{:.3f}"),
    "G4-lead": Aim("median lead, hours", 27, 24, more=True, form="{:.1f}"),
    "G5-like": Aim("80 % bands hold, like families, open ones too", 0.78, 0.75, more=True),
    "G5-like-closed": Aim("… of those with a P90", 0.78, 0.74, more=True, most=0.82),
    "G5-unseen": Aim("80 % bands hold, unseen families, open ones too", 0.75, 0.70, more=True),
    "G5-unseen-closed": Aim("… of those with a P90", 0.75, 0.60, more=True, most=0.82),
    "L1-25": Aim("leak clock, error % at 25 % of a life", 12, 30, form="{:.0f}"),
    "L1-50": Aim("… at 50 %", 12, 25, form="{:.0f}"),
    "L1-75": Aim("… at 75 %", 15, 30, form="{:.0f}"),
    "L2-closed": Aim("… 80 % bands with a P90 hold", 0.78, 0.74, more=True, most=0.82),
    "R1-f1": Aim("restart bursts: F1", 0.985, 0.95, more=True, form="{:.3f}"),
    "R1-false": Aim("… false per 100 workload-weeks", 0.3, 1.0, form="{:.2f}"),
    "R1-loop": Aim("… median delay of a crash loop, min", 2, 2, form="{:.1f}"),
    "R1-oom": Aim("… of a slow OOM cycle (burst or oom-kill), min", 60, 110, form="{:.0f}"),
    "R2-f1": Aim("restart bursts, hard start-ups: F1", 0.985, 0.80, more=True, form="{:.3f}"),
    "R2-false": Aim("… false per 100 workload-weeks", 0.3, 6.0, form="{:.2f}"),
    "R2-release": Aim("… median delay of a bad release, min", 5, 10, form="{:.1f}"),
    "N1-recall": Aim("namespace share: rises found", 0.95, 0.9, more=True, form="{:.2f}"),
    "N1-false": Aim("… false per 100 namespace-weeks", 1.0, 3.0, form="{:.2f}"),
    "E1-reduction": Aim("events: reduction, %", 99.9, 99.9, more=True, form="{:.2f}"),
    "E1-precision": Aim("… precision", 0.85, 0.60, more=True, form="{:.2f}"),
    "E1-recall": Aim("… recall", 0.85, 0.80, more=True, form="{:.2f}"),
    "E1-worst": Aim("… recall of the worst kind", 0.5, 0.2, more=True, form="{:.2f}"),
    "E1-delay": Aim("… median delay, min", 3, 4, form="{:.1f}"),
    "E1-rate": Aim("… notifications a day and 500 workloads", 15, 20, form="{:.1f}"),
    "A1-nab": Aim("anomaly: NAB standard at the fixed threshold", 64, 62, more=True, form="{:.1f}"),
    "S1": Aim("growth updates/s and core, random 8,192 of 100,000 (M)", 5, 0.5, more=True),
    "S2": Aim("state of a growth series with its calibration, bytes", 2000, 2000, form="{:.0f}"),
    "S3": Aim("forecast of 100,000 series, CPU seconds", 2, 8, form="{:.1f}"),
    "S4": Aim("anomaly updates/s and core (M)", 1, 0.1, more=True),
}

# bank → the figures that judge it; `models.BANKS` must have no other
JUDGED: Mapping[str, tuple[str, ...]] = {
    "growth": ("G1-6", "G2-6", "G3-like", "G4-recall", "G5-like", "L1-25", "L2-closed", "S1"),
    "restarts": ("R1-f1", "R1-false", "R1-loop", "R2-false"),
    "share": ("N1-recall", "N1-false"),
    "events": ("E1-precision", "E1-recall", "E1-delay"),
    "anomaly": ("A1-nab", "S4"),
}

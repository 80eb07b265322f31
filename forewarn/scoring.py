"""Scores forecasts against what then happened, from the forecasts themselves.

A series has crossed when its value has met the limit that binds (`Forecast.value >= limit`, or a
time left of 0), or when a fact proves it that no sample can show: a container killed for want of
memory is gone before the next sample, a node under DiskPressure has evicted (`met_by`). Every
earlier forecast of that series is then resolved: how far off was its P50, was the crossing inside
its P10–P90 band. A forecast whose P90 has passed without a crossing is resolved as well, as one
that did not come true: growth that stops counts against us. What is still open at the end of the
record, or when a container's life ends otherwise (a reboot), is counted and judged by nobody.

Pure: no I/O, no clock. Linear in the number of forecasts. Left to others: the model's own online
calibration (`models.calibration`) and tables over seeds (a benchmark's business).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

import msgspec

from stream.records import Finding, Forecast, ObjectRef

HOUR: Final = 3600.0
# Where errors are told apart: hours that were really left when the forecast was made.
BINS: Final = ((0.0, 6.0), (6.0, 24.0), (24.0, 72.0))
# A crossing within this of a forecast is the present, not a prediction: two half-hour slots.
PRESENT: Final = 1800.0


class Scores(msgspec.Struct, frozen=True):
    """What the forecasts of one run were worth."""

    forecasts: int  # made while the series had not crossed
    series: int
    crossings: int
    resolved: int  # foresaw a crossing, and either it came or the band passed without it
    came_true: int  # resolved, and the crossing was inside the band
    coverage: float | None  # came_true / resolved
    median_error: dict[str, float | None]  # |P50 - actual| / actual, by hours really left
    foreseen: int  # crossings that a forecast with P50 under a day had announced
    longest_lead: float | None  # seconds between the first such forecast and the crossing
    open: int  # foresaw a crossing that the record is too short to judge


class Met(NamedTuple):
    """A limit that was met, as a fact proves; or, not `by_limit`, a life that ended otherwise."""

    cluster: str
    object: ObjectRef
    resource: str
    labels: frozenset[tuple[str, str]]  # those of the series must contain these
    at: float
    by_limit: bool = True


_CONTAINER: Final = ("pod", "container")
# What proves that a limit was met: rule and reason → resource, and the labels that name the series.
_PROOFS: Final[Mapping[tuple[str, str], tuple[str, tuple[str, ...]]]] = {
    ("oom-kill", "OOMKilled"): ("container-memory", _CONTAINER),
    ("node-pressure", "DiskPressure"): ("disk", ()),
    ("node-pressure", "MemoryPressure"): ("memory", ()),
    ("node-pressure", "PIDPressure"): ("pids", ()),
}


def met_by(findings: Iterable[Finding]) -> list[Met]:
    """Return the limits that findings prove to have been met, and lives that ended otherwise."""
    met: list[Met] = []
    for finding in findings:
        if finding.rule == "restart" and finding.labels.get("reason") != "OOMKilled":
            labels = frozenset((name, finding.labels.get(name, "")) for name in _CONTAINER)
            met.append(
                Met(
                    finding.cluster,
                    finding.object,
                    "container-memory",
                    labels,
                    finding.since,
                    by_limit=False,
                )
            )
        proof = _PROOFS.get((finding.rule, finding.labels.get("reason", "")))
        # An oom-kill comes as evidence, one each; a pressure fires when it begins.
        wanted = "evidence" if finding.rule == "oom-kill" else "firing"
        if proof is not None and finding.state == wanted:
            resource, names = proof
            labels = frozenset((name, finding.labels.get(name, "")) for name in names)
            met.append(Met(finding.cluster, finding.object, resource, labels, finding.since))
    return met


def score_forecasts(forecasts: Iterable[Forecast], met: Iterable[Met] = ()) -> Scores:
    """Score all forecasts of a run, given in the order in which each series made them."""
    series: dict[_Series, list[Forecast]] = {}
    for forecast in forecasts:
        labels = frozenset(forecast.labels.items())
        key = _Series(forecast.cluster, forecast.object, forecast.resource, labels)
        series.setdefault(key, []).append(forecast)
    proofs: dict[tuple[str, ObjectRef, str], list[Met]] = {}
    for one in met:
        proofs.setdefault((one.cluster, one.object, one.resource), []).append(one)
    tally = _Tally()
    for key, history in series.items():
        mine = [one for one in proofs.get(key[:3], ()) if one.labels <= key.labels]
        tally.add(history, sorted(mine, key=lambda one: one.at))
    return tally.scores(len(series))


class _Series(NamedTuple):
    """What tells one series of forecasts from another."""

    cluster: str
    object: ObjectRef
    resource: str
    labels: frozenset[tuple[str, str]]


def _crossed(forecast: Forecast) -> bool:
    return forecast.p50 == 0.0 or forecast.value >= forecast.limit > 0.0


class _Tally:
    """Sums over series."""

    def __init__(self) -> None:
        self.made = self.crossings = self.resolved = self.true = self.foreseen = self.open = 0
        self.errors: dict[tuple[float, float], list[float]] = {each: [] for each in BINS}
        self.leads: list[float] = []

    def add(self, history: Sequence[Forecast], met: Sequence[Met]) -> None:
        """Resolve one series' forecasts; those between two crossings belong to the later one.

        `met` is what other facts prove, by time.
        """
        waiting: list[Forecast] = []
        proofs = list(reversed(met))
        was_crossed = False
        for forecast in history:
            while proofs and proofs[-1].at <= forecast.at:
                self._ended(waiting, proofs.pop())
                waiting = []
            crossed = _crossed(forecast)
            if crossed and not was_crossed:
                self._came(waiting, forecast.at)
                waiting = []
            elif not crossed:
                self.made += 1
                waiting.append(forecast)
            was_crossed = crossed
        for proof in reversed(proofs):
            self._ended(waiting, proof)
            waiting = []
        self._never_came(waiting, history[-1].at)

    def _ended(self, waiting: Sequence[Forecast], met: Met) -> None:
        if met.by_limit:
            self._came(waiting, met.at)
        else:
            self._never_came(waiting, met.at)

    def _came(self, waiting: Sequence[Forecast], at: float) -> None:
        early = [each for each in waiting if at - each.at > PRESENT]
        if not early:
            return  # it was so from the start: nothing could be foreseen
        self.crossings += 1
        announced = [each.at for each in early if each.p50 is not None and each.p50 < 24 * HOUR]
        if announced:
            self.foreseen += 1
            self.leads.append(at - announced[0])
        for forecast in early:
            if forecast.p50 is None:
                continue
            left = at - forecast.at
            self.resolved += 1
            self.true += (forecast.p10 or 0.0) <= left <= (forecast.p90 or float("inf"))
            for low, high in BINS:
                if low * HOUR < left <= high * HOUR:
                    self.errors[low, high].append(abs(forecast.p50 - left) / left)

    def _never_came(self, waiting: Sequence[Forecast], end: float) -> None:
        for forecast in waiting:
            if forecast.p50 is None:
                continue
            if forecast.p90 is not None and forecast.at + forecast.p90 < end:
                self.resolved += 1
            else:
                self.open += 1

    def scores(self, series: int) -> Scores:
        """Return the sums as figures."""
        return Scores(
            forecasts=self.made,
            series=series,
            crossings=self.crossings,
            resolved=self.resolved,
            came_true=self.true,
            coverage=round(self.true / self.resolved, 3) if self.resolved else None,
            median_error={
                f"{low:.0f}-{high:.0f}h": round(median(errors), 3) if errors else None
                for (low, high), errors in self.errors.items()
            },
            foreseen=self.foreseen,
            longest_lead=max(self.leads, default=None),
            open=self.open,
        )

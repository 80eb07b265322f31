"""What the page knows: records go in by `Feed.apply`, `forewarn.console.view` reads them.

Guaranteed: memory is bounded whatever runs (series, points, incidents, suppressions all have a
most); the same records give the same page, in whatever pieces they come; a record that comes again
(a subscription is at least once) changes nothing but the counters of suppressions, which carry no
identity. ``version`` rises with every change and is what a browser compares.

Left to others: reading the bus (the composition root subscribes with a group of its own, from the
oldest record on, and calls `apply` and `pulse`), wording (`forewarn.console.view`).
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from alerting.alert import Incident, Notification, State, Suppressed
from forewarn.console.known import Known
from forewarn.console.measured import Measured
from forewarn.console.series import BRIEF, KEEP, Series, series_id
from stream.clock import Clock
from stream.records import DeadLetter, Finding, Forecast, Gap, Point

_SERIES: Final = 5000  # series known at all; the least recently told goes first
_INTERESTING: Final = 200  # of them with a full history
_INCIDENTS: Final = 500  # resolved ones that are remembered
_SUPPRESSED: Final = 200  # latest lines; the counts go on without them
_NOTIFICATIONS: Final = 2000
_EPISODES: Final = 20_000  # distinct episodes remembered to be counted once
_GAPS: Final = 50
_ODD: Final = 500  # oddities of nodes: a day of a few hundred of them


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """How the run goes, told by the composition root about once a second."""

    mode: Literal["live", "replay"] = "live"
    event_time: float | None = None  # the furthest that any source has come
    tape_from: float | None = None  # event time of a tape's first and last line
    tape_to: float | None = None
    speed: float = 0.0  # asked for: 60 is a minute per second; 0 as fast as it goes
    records: int = 0  # input records taken so far
    events: int = 0  # of these, core/v1 Events
    lag: int = 0  # records published and not yet read by the workers
    dead_letters: int = 0
    finished: bool = False
    problem: str = ""  # why the run is not well, for the page and `/readyz`; "" when it is


class Feed:
    """The page's memory.

    Parameters
    ----------
    clock
        Processing time, for rates and for the age of the data.
    cluster
        Name to be shown until a record names one.
    """

    def __init__(self, clock: Clock, cluster: str = "") -> None:
        self.clock = clock
        self._cluster = cluster
        self.clusters: dict[str, None] = {}  # names that records have told, in their order
        self.version = 0
        self.now: float | None = None  # event time
        self.heard_at: float | None = None  # processing time of the last record
        self.series: OrderedDict[str, Series] = OrderedDict()
        self.measured = Measured()
        self.open: dict[str, Known] = {}
        self.resolved: OrderedDict[str, Known] = OrderedDict()
        self.suppressed: deque[Suppressed] = deque(maxlen=_SUPPRESSED)
        self.reasons: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()  # findings, alerts, incidents, messages, gaps …
        self.gaps: deque[Gap] = deque(maxlen=_GAPS)
        self.odd: deque[Finding] = deque(maxlen=_ODD)
        self.run = Pulse()
        self.rates: dict[str, float] = {}  # "records": a second; "speed": event s per s
        self.account: Counter[str] = Counter()  # what the events operator says of its lines
        self._seen: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._favourite = ""
        self._full: set[str] = set()  # ids of the series with a full history
        self._alerts: dict[str, int] = {}  # alerts counted of an incident that is remembered
        self._pulses: deque[tuple[float, Pulse]] = deque(maxlen=8)

    def apply(self, topic: str, record: Any) -> None:
        """Take one record of an output topic; what the page has no use for is passed over."""
        match record:
            case Forecast():
                self._forecast(record)
            case Incident():
                self._incident(record)
            case Finding():
                self._finding(record)
            case Notification():
                self._notification(record)
            case Suppressed():
                self.suppressed.append(record)
                self.reasons[record.reason.value] += record.count
            case Gap():
                self.gaps.append(record)
                self.totals["gaps"] += 1
            case DeadLetter():
                self.totals["dead_letters"] += 1
            case Point():
                self.measured.add(record)
            case _:
                return
        named = getattr(record, "cluster", "")
        if named and named not in self.clusters:
            self.clusters[named] = None
        self._advance(record.at if not isinstance(record, Incident) else record.updated_at)
        self.heard_at = self.clock.now()
        self.version += 1

    def pulse(self, pulse: Pulse) -> None:
        """Take how the run goes; rates come from the last few of these."""
        wall = self.clock.now()
        if pulse.records != self.run.records:
            self.heard_at = wall
        self.run = pulse
        if pulse.event_time is not None:
            self._advance(pulse.event_time)
        self._pulses.append((wall, pulse))
        first_wall, first = self._pulses[0]
        if wall > first_wall:
            self.rates["records"] = (pulse.records - first.records) / (wall - first_wall)
            if pulse.event_time is not None and first.event_time is not None:
                moved = pulse.event_time - first.event_time
                self.rates["speed"] = moved / (wall - first_wall)
        self.version += 1

    @property
    def cluster(self) -> str:
        """What is watched: the names that the records tell, or the one that was given."""
        return ", ".join(list(self.clusters)[:3]) or self._cluster

    def find(self, incident: str) -> Known | None:
        """Return an incident, open or resolved."""
        return self.open.get(incident) or self.resolved.get(incident)

    def at_risk(self) -> list[Series]:
        """Return the series for which a crossing is foreseen, the most urgent first."""
        now = self.now or 0.0
        rows = [
            (left, series.id, series)
            for series in self.series.values()
            if series.is_told(now) and (left := series.time_left(now)) is not None
        ]
        rows.sort(key=lambda row: row[:2])
        return [series for _, _, series in rows]

    def favourite(self, soon: Sequence[Series]) -> Series | None:
        """Return the series to plot when nobody chose: the most urgent, and then the same for long.

        Another takes its place only when it has less than half of its time left, so that the
        picture does not jump between two of about the same urgency.
        """
        now = self.now or 0.0
        held = next((one for one in soon if one.id == self._favourite), None)
        if held is None or not soon:
            held = next(iter(soon), None)
        else:
            first, left = soon[0].time_left(now) or 0.0, held.time_left(now) or 0.0
            if 2.0 * first < left:
                held = soon[0]
        self._favourite = held.id if held is not None else ""
        return held

    def _advance(self, at: float) -> None:
        if self.now is None or at > self.now:
            self.now = at

    def _forecast(self, forecast: Forecast) -> None:
        key = series_id(forecast)
        known = self.series.get(key)
        if known is None:
            known = self.series[key] = Series(forecast, self.measured.of(forecast))
            while len(self.series) > _SERIES:
                gone, _ = self.series.popitem(last=False)
                self._full.discard(gone)
        else:
            known.measured = self.measured.of(forecast)
            known.add(forecast)
            self.series.move_to_end(key)
        # A crossing ahead makes a series interesting; full histories are for the first of them.
        wanted = KEEP if forecast.p50 is not None or forecast.p_cross_72h > 0.02 else BRIEF
        if wanted > known.keep and len(self._full) < _INTERESTING:
            known.resize(KEEP)
            self._full.add(key)
        elif wanted < known.keep and len(self._full) >= _INTERESTING:
            known.resize(BRIEF)
            self._full.discard(key)

    def _finding(self, finding: Finding) -> None:
        if finding.state == "evidence" and finding.rule == "event-noise":
            if self._first_time("account", finding.id):
                for part in finding.because:
                    if not isinstance(part.value, str):
                        self.account[part.name] += int(part.value)
        elif finding.state == "evidence" and finding.rule == "node-odd":
            if self._first_time("odd", finding.id):
                self.odd.append(finding)
        elif finding.state == "firing":
            episode = (finding.cluster, finding.rule, str(finding.object), str(finding.since))
            self.totals["findings"] += self._first_time("finding", *episode)

    def _incident(self, incident: Incident) -> None:
        if incident.state is State.PENDING:
            return
        known = self.open.get(incident.id) or self.resolved.get(incident.id)
        if known is None:
            known = Known(incident)
            self.totals["incidents"] += 1
        elif incident.updated_at < known.incident.updated_at:
            return
        known.incident = incident
        counted = self._alerts.get(incident.id, 0)
        self.totals["alerts"] += max(0, len(incident.alerts) - counted)
        self._alerts[incident.id] = max(counted, len(incident.alerts))
        if incident.state is State.RESOLVED:
            self.open.pop(incident.id, None)
            self.resolved[incident.id] = known
            while len(self.resolved) > _INCIDENTS:
                gone, _ = self.resolved.popitem(last=False)
                self._alerts.pop(gone, None)
        else:
            self.resolved.pop(incident.id, None)
            self.open[incident.id] = known

    def _notification(self, notification: Notification) -> None:
        if not self._first_time("notification", notification.id):
            return
        self.totals["messages"] += 1
        names = {notification.incident, *(incident.id for incident in notification.incidents)}
        for name in names:
            known = self.find(name)
            if known is not None and len(known.notifications) < _NOTIFICATIONS:
                known.notifications.append(notification)

    def _first_time(self, *key: str) -> bool:
        if key in self._seen:
            return False
        self._seen[key] = None
        while len(self._seen) > _EPISODES:
            self._seen.popitem(last=False)
        return True

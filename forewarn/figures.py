"""forewarn's own figures: what was concluded, decided, delivered and written, for Prometheus.

Two collectors, each computed when it is asked and asking nothing itself: `Outputs` counts what goes
by on the bus (give it to `Pipeline.open` as `apply`), `SinkCollector` reads the history's counters.
`OwnRows` turns any registry into rows of InfluxDB, so that
Grafana draws the same numbers without a Prometheus.

Guaranteed: names end in their base unit, counters in ``_total``; labels are rules, reasons,
severities, receivers and resources, never objects. Left to others: sources and watches
(`forewarn.metrics`), stages (`forewarn.stage_metrics`), the bus (`forewarn.bus_metrics`), serving
(`forewarn.probes`), rules about them (`deploy/prometheus`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from alerting.alert import Incident, Notification, Reason, State, Suppressed
from forewarn.families import counter, gauge, histogram
from forewarn.judged import Judged
from stream.histogram import Histogram
from stream.records import DeadLetter, Finding, Forecast, Point
from stream.sinks.drain import Drain
from stream.sinks.encode import Row
from stream.sinks.points import tags_of
from stream.sinks.schema import SCHEMA

# Seconds of event time from an incident's beginning to its message; group_wait is 30 s by default.
_STAMP: Final = "_timestamp_seconds"
_WAITS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


class Outputs(Collector):
    """Counts records as they go by: `apply` takes each, with its topic."""

    def __init__(self) -> None:
        self._findings: Counter[tuple[str, ...]] = Counter()
        self._forecasts: Counter[tuple[str, ...]] = Counter()
        self._messages: Counter[tuple[str, ...]] = Counter()
        self._suppressed: Counter[tuple[str, ...]] = Counter()
        self._points: Counter[tuple[str, ...]] = Counter()
        self._alerts: Counter[tuple[str, ...]] = Counter()
        self._dead: Counter[tuple[str, ...]] = Counter()
        self._judged = Judged()
        self._open: dict[str, str] = {}  # incident → severity
        self._waits = Histogram(_WAITS)

    def apply(self, topic: str, record: Any) -> None:
        """Take one record."""
        match record:
            case Point():
                self._points[record.measurement,] += 1
            case Finding():
                self._findings[record.rule, record.severity.value, record.state] += 1
            case Forecast():
                self._forecasts[record.resource, record.state] += 1
                self._judged.take(record)
            case Incident() if record.state is State.RESOLVED:
                self._open.pop(record.id, None)
            case Incident():
                self._open[record.id] = record.severity.value
            case Notification():
                key = (record.channel, record.kind, record.severity.value)
                self._messages[key] += 1
                if record.kind in ("firing", "update"):
                    for incident in record.incidents:
                        self._alerts[incident.rule, "sent"] += 1
                if record.kind == "firing" and record.incidents:
                    self._waits.observe(record.at - record.incidents[0].opened_at)
            case Suppressed():
                self._suppressed[record.reason.value, record.rule] += record.count
                is_silenced = record.reason is Reason.SILENCED
                outcome = "silenced" if is_silenced else "suppressed"
                self._alerts[record.rule, outcome] += record.count
            case DeadLetter():
                self._dead[record.place.split()[0].partition("/")[0],] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as of now."""
        yield counter("points", "Points of the time series.", ["measurement"], self._points)
        names = ["rule", "severity", "state"]
        yield counter("findings", "What operators concluded.", names, self._findings)
        about = "Forecasts made, by whether they still learn."
        yield counter("forecast_runs", about, ["resource", "state"], self._forecasts)
        names = ["channel", "kind", "severity"]
        yield counter("notifications_decided", "Messages decided upon.", names, self._messages)
        about = "Alerts that were said, held back or silenced, by the rule that found them."
        yield counter("alerts", about, ["detector", "outcome"], self._alerts)
        about = "Alerts that were held back, by reason."
        yield counter("alerts_suppressed", about, ["reason", "rule"], self._suppressed)
        about = "Records that could not be used, kept whole, by where they were read."
        yield counter("dlq", about, ["source"], self._dead)
        yield from self._judged.collect()
        held = Counter(self._open.values())
        severities = ("info", "warning", "critical")
        opened = {(severity,): held[severity] for severity in severities}
        yield gauge("incidents_open", "Incidents that are not over.", ["severity"], opened)
        about = "Event time from an incident's beginning to its first message."
        yield histogram("event_to_alert_seconds", about, [], [((), self._waits)])


class SinkCollector(Collector):
    """What the history's sink does."""

    def __init__(self, drain: Drain) -> None:
        self._drain = drain

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as of now."""
        tally, encoder = self._drain.tally, self._drain.encoder
        simple = {
            "points_written": ("Points that InfluxDB has taken.", tally.written),
            "requests": ("Write requests.", tally.requests),
            "written_bytes": ("Line protocol written, before compression.", tally.bytes),
        }
        for name, (about, value) in simple.items():
            yield counter(f"influx_{name}", about, [], {(): value})
        about = "Rows that were not written, by reason."
        yield counter("influx_points_rejected", about, ["reason"], _named(tally.refused))
        about = "Fields that were left out of their row, by reason."
        yield counter("influx_fields_dropped", about, ["reason"], _named(encoder.dropped))
        about = "Requests that failed, by reason."
        yield counter("influx_request_failures", about, ["reason"], _named(tally.troubles))
        about = "Points whose tags were folded by the cardinality guard."
        folded = {(name,): count for name, count in encoder.folded.items()}
        yield counter("influx_points_folded", about, ["measurement"], folded)
        series = {(name,): encoder.series(name) for name in SCHEMA}
        yield gauge("influx_series", "Series known to the guard.", ["measurement"], series)
        about = "Whether InfluxDB takes points."
        yield gauge("influx_up", about, [], {(): float(tally.trouble is None)})
        about = "How long points that are read have been waiting for InfluxDB; 0 when none are."
        yield gauge("influx_buffer_seconds", about, [], {(): self._drain.waiting()})
        if tally.written_at is not None:
            about = "Time of the newest record that InfluxDB has, Unix seconds."
            yield gauge("influx_last_written_timestamp_seconds", about, [], {(): tally.written_at})


class OwnRows:
    """A registry's samples as rows, at most one set in a while.

    Parameters
    ----------
    now
        Returns the time that rows carry: a clock's, or the event time of a recording.
    every
        Seconds between two sets.
    """

    def __init__(
        self, registry: CollectorRegistry, now: Callable[[], float], every: float = 60.0
    ) -> None:
        self._registry = registry
        self._now = now
        self._every = every
        self._at = -math.inf

    def __call__(self) -> Iterator[Row]:
        """Yield a set, if one is due."""
        now = self._now()
        if now - self._at >= self._every:
            self._at = now
            yield from rows_of(self._registry, now)


def rows_of(registry: CollectorRegistry, at: float) -> Iterator[Row]:
    """Yield a registry's samples as of `at`; buckets of histograms are left to Prometheus.

    A time stamp becomes an age, because InfluxQL cannot take it from now.
    """
    for family in registry.collect():
        for sample in family.samples:
            if sample.name.endswith(("_bucket", "_created")) or not math.isfinite(sample.value):
                continue
            name, value = sample.name, float(sample.value)
            if name.endswith(_STAMP):
                name, value = name.removesuffix(_STAMP) + "_age_seconds", max(at - value, 0.0)
            label = ",".join(f"{key}={sample.labels[key]}" for key in sorted(sample.labels))
            yield Row(
                "forewarn_metric", tags_of({"metric": name, "label": label}), {"value": value}, at
            )


def _named(counts: Mapping[Any, int]) -> dict[tuple[str, ...], float]:
    return {(reason.value,): float(count) for reason, count in counts.items()}

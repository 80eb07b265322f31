"""forewarn's own figures: what was concluded, decided, delivered and written, for Prometheus.

Three collectors, each computed when it is asked and asking nothing itself: `Outputs` counts what
goes by on the bus (give it to `Pipeline.open` as `apply`), `PipelineCollector` reads the stages'
counters, `SinkCollector` the history's. `OwnRows` turns any registry into rows of InfluxDB, so that
Grafana draws the same numbers without a Prometheus.

Guaranteed: names end in their base unit, counters in ``_total``; labels are rules, reasons,
severities, receivers and resources, never objects. Left to others: sources and watches
(`forewarn.metrics`), serving (`forewarn.probes`), rules about them (`deploy/prometheus`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from alerting.alert import Incident, Notification, Reason, State, Suppressed
from forewarn.judged import Judged
from stream.records import DeadLetter, Finding, Forecast, Point
from stream.sinks.drain import Drain
from stream.sinks.encode import Row
from stream.sinks.points import tags_of
from stream.sinks.schema import SCHEMA

if TYPE_CHECKING:
    from forewarn.pipeline import Pipeline

PREFIX: Final = "forewarn_"
# Seconds of event time from an incident's beginning to its message; group_wait is 30 s by default.
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
        self._wait_sum = 0.0
        self._wait_counts = [0] * (len(_WAITS) + 1)

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
                    self._wait(record.at - record.incidents[0].opened_at)
            case Suppressed():
                self._suppressed[record.reason.value, record.rule] += record.count
                is_silenced = record.reason is Reason.SILENCED
                outcome = "silenced" if is_silenced else "suppressed"
                self._alerts[record.rule, outcome] += record.count
            case DeadLetter():
                self._dead[record.place.split()[0].partition("/")[0],] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as of now."""
        yield _counter("points", "Points of the time series.", ["measurement"], self._points)
        names = ["rule", "severity", "state"]
        yield _counter("findings", "What operators concluded.", names, self._findings)
        about = "Forecasts made, by whether they still learn."
        yield _counter("forecast_runs", about, ["resource", "state"], self._forecasts)
        names = ["channel", "kind", "severity"]
        yield _counter("notifications_decided", "Messages decided upon.", names, self._messages)
        about = "Alerts that were said, held back or silenced, by the rule that found them."
        yield _counter("alerts", about, ["detector", "outcome"], self._alerts)
        about = "Alerts that were held back, by reason."
        yield _counter("alerts_suppressed", about, ["reason", "rule"], self._suppressed)
        about = "Records that could not be used, kept whole, by where they were read."
        yield _counter("dlq", about, ["source"], self._dead)
        yield from self._judged.collect()
        family = GaugeMetricFamily(
            f"{PREFIX}incidents_open", "Incidents that are not over.", labels=["severity"]
        )
        held = Counter(self._open.values())
        for severity in ("info", "warning", "critical"):
            family.add_metric([severity], held[severity])
        yield family
        total, buckets = 0, []
        for bound, count in zip((*_WAITS, math.inf), self._wait_counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == math.inf else f"{bound:g}", float(total)))
        yield HistogramMetricFamily(
            f"{PREFIX}event_to_alert_seconds",
            "Event time from an incident's beginning to its first message.",
            buckets=buckets,
            sum_value=self._wait_sum,
        )

    def _wait(self, seconds: float) -> None:
        place = next((i for i, bound in enumerate(_WAITS) if seconds <= bound), len(_WAITS))
        self._wait_counts[place] += 1
        self._wait_sum += seconds


class PipelineCollector(Collector):
    """The counters of the stages of one pipeline."""

    _TASKS: Final = {
        "records": ("task_records", "Records that operators have taken."),
        "outputs": ("task_outputs", "Records that they made of them."),
        "dead_letters": ("task_dead_letters", "Records that they could not use."),
        "dropped": ("task_records_dropped", "Records known already after a hand-over."),
        "commits": ("task_commits", "Transactions committed."),
        "restores": ("task_restores", "Times that state was read back."),
        "replayed": ("task_records_replayed", "Records read again after a restore."),
        "fenced": ("producer_fenced", "Times that a newer owner was met."),
        "snapshot_bytes": ("task_snapshot_bytes", "Bytes of state written."),
    }

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as of now."""
        for name, (metric, about) in self._TASKS.items():
            family = CounterMetricFamily(f"{PREFIX}{metric}", about, labels=["partition"])
            for partition, task in enumerate(self._pipeline.tasks):
                family.add_metric([str(partition)], getattr(task.counters, name))
            yield family
        outcomes: Counter[tuple[str, ...]] = Counter()
        for delivery in self._pipeline.deliveries:
            outcomes.update(delivery.outcomes)
        about = "What became of messages, by receiver."
        yield _counter("notifications", about, ["channel", "result"], outcomes)


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
            yield CounterMetricFamily(f"{PREFIX}influx_{name}", about, value=value)
        about = "Rows that were not written, by reason."
        yield _counter("influx_points_rejected", about, ["reason"], _named(tally.refused))
        about = "Fields that were left out of their row, by reason."
        yield _counter("influx_fields_dropped", about, ["reason"], _named(encoder.dropped))
        about = "Requests that failed, by reason."
        yield _counter("influx_request_failures", about, ["reason"], _named(tally.troubles))
        about = "Points whose tags were folded by the cardinality guard."
        folded: dict[tuple[str, ...], float] = {(n,): c for n, c in encoder.folded.items()}
        yield _counter("influx_points_folded", about, ["measurement"], folded)
        family = GaugeMetricFamily(
            f"{PREFIX}influx_series", "Series known to the guard.", labels=["measurement"]
        )
        for measurement in SCHEMA:
            family.add_metric([measurement], encoder.series(measurement))
        yield family
        yield GaugeMetricFamily(
            f"{PREFIX}influx_up", "Whether InfluxDB takes points.", value=tally.trouble is None
        )
        yield GaugeMetricFamily(
            f"{PREFIX}influx_buffer_seconds",
            "How long points that are read have been waiting for InfluxDB; 0 when none are.",
            value=self._drain.waiting(),
        )
        if tally.written_at is not None:
            yield GaugeMetricFamily(
                f"{PREFIX}influx_last_written_timestamp_seconds",
                "Time of the newest record that InfluxDB has, Unix seconds.",
                value=tally.written_at,
            )


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
    """Yield a registry's samples as of `at`; buckets of histograms are left to Prometheus."""
    for family in registry.collect():
        for sample in family.samples:
            if sample.name.endswith(("_bucket", "_created")) or not math.isfinite(sample.value):
                continue
            label = ",".join(f"{name}={sample.labels[name]}" for name in sorted(sample.labels))
            tags = tags_of({"metric": sample.name, "label": label})
            yield Row("forewarn_metric", tags, {"value": float(sample.value)}, at)


def _counter(
    name: str, about: str, labels: Sequence[str], counts: Mapping[tuple[str, ...], float]
) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}{name}", about, labels=labels)
    for key, count in sorted(counts.items()):
        family.add_metric(list(key), count)
    return family


def _named(counts: Mapping[Any, int]) -> dict[tuple[str, ...], float]:
    return {(reason.value,): float(count) for reason, count in counts.items()}

"""What a live process says about itself to Prometheus, computed when it is asked.

Guaranteed: a scrape changes nothing and waits for nothing; names end in their base unit, counters
in ``_total``; labels are clusters, resources and workloads, never pods, nodes or messages, and
workloads are bounded (`ingest.deployments`). Left to others: serving (`forewarn.probes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from forewarn.families import PREFIX, histogram, process_registry
from forewarn.follow import Follower
from ingest.deployments import DeploymentCounts
from ingest.health import Status
from ingest.intake import Intake

# Count of a source → metric and what it says.
_SOURCE_COUNTS: Final = {
    "facts": ("source_facts", "Facts given by this source."),
    "lists": ("source_lists", "Pages of lists asked for; streamed lists count as watches."),
    "watches": ("source_watches", "Watches opened."),
    "bookmarks": ("source_bookmarks", "Bookmarks heard."),
    "gaps": ("source_gaps", "Spans in which something may have been missed."),
    "broken_lines": ("source_broken_lines", "Lines that were no event."),
    "bytes": ("source_bytes", "Bytes heard."),
    "samples": ("source_samples", "Samples of nodes taken."),
    "failures": ("source_sample_failures", "Kubelets that gave no sample when asked."),
    "dropped": ("source_samples_dropped", "Samples that found no room."),
}
_RESTART: Final = "restart:"


class FollowerCollector(Collector):
    """All of one `Follower`'s numbers."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as of now."""
        follower, live = self._follower, self._follower.live
        leading = follower.lease.held if follower.lease is not None else live is not None
        yield GaugeMetricFamily(
            f"{PREFIX}leader", "Whether this replica is the one that works.", value=leading
        )
        if live is not None:
            yield from sources(live.statuses)
            buffer = live.buffer
            yield GaugeMetricFamily(
                f"{PREFIX}buffer_facts", "Facts that wait for the bus.", value=len(buffer)
            )
            requests = CounterMetricFamily(
                f"{PREFIX}api_requests",
                "Requests sent to API servers and kubelets.",
                labels=["cluster"],
            )
            for cluster in live.clusters:
                requests.add_metric([cluster.name], cluster.requests)
            yield requests
        if follower.intake is not None:
            yield from _intake(follower.intake)
        yield from _deployments(follower.deployments)


def registry_of(follower: Follower) -> CollectorRegistry:
    """Return a registry with the follower's numbers and the process' own."""
    return process_registry(FollowerCollector(follower))


def sources(statuses: Sequence[Status]) -> Iterator[Metric]:
    """Yield what sources know of themselves."""
    labels = ["cluster", "resource"]
    heard = GaugeMetricFamily(
        f"{PREFIX}watch_last_activity_timestamp_seconds",
        "When the last byte came, Unix seconds.",
        labels=labels,
    )
    known = GaugeMetricFamily(
        f"{PREFIX}watch_objects", "Objects that the server is known to have.", labels=labels
    )
    restarts = CounterMetricFamily(
        f"{PREFIX}watch_restarts",
        "Watches that ended, by reason; timeout is the good one.",
        labels=[*labels, "reason"],
    )
    for status in statuses:
        where = [status.cluster, status.source]
        if status.heard_at is not None:
            heard.add_metric(where, status.heard_at)
        known.add_metric(where, status.known)
        for name, count in status.counts.items():
            if name.startswith(_RESTART):
                restarts.add_metric([*where, name.removeprefix(_RESTART)], count)
    yield from (heard, known, restarts)
    lists = [((s.cluster, s.source), s.lists) for s in statuses if s.listed_at is not None]
    about = "Seconds that a complete list took."
    yield histogram("list_duration_seconds", about, labels, lists)
    for name, (metric, about) in _SOURCE_COUNTS.items():
        family = CounterMetricFamily(f"{PREFIX}{metric}", about, labels=labels)
        for status in statuses:
            if name in status.counts:
                family.add_metric([status.cluster, status.source], status.counts[name])
        yield family


def _intake(intake: Intake) -> Iterator[Metric]:
    about = {
        "seen": ("intake_seen", "Facts taken in."),
        "records": ("records_ingested", "Records made of facts."),
        "duplicates": ("intake_duplicates", "Facts that were known already."),
        "late": ("records_late", "Facts that came behind newer ones."),
        "rejected": ("intake_rejected", "Facts that could not be read: dead letters."),
    }
    for name, (metric, text) in about.items():
        family = CounterMetricFamily(f"{PREFIX}{metric}", text, labels=["resource"])
        for resource, stats in intake.normaliser.stats.items():
            family.add_metric([resource], getattr(stats, name))
        yield family
    yield GaugeMetricFamily(
        f"{PREFIX}event_time_timestamp_seconds",
        "Time of the newest fact, Unix seconds.",
        value=intake.event_time,
    )


def _deployments(counts: DeploymentCounts) -> Iterator[Metric]:
    """Yield what watchers of deployments know by these names, kind and cluster beside them."""
    labels = ["cluster", "kind", "namespace", "deployment"]
    changes = CounterMetricFamily(
        "deployment_events", "Changes of workloads, by field.", labels=["type", *labels, "field"]
    )
    for (workload, word, field), count in counts.changes.items():
        cluster, namespace, kind, name = workload
        changes.add_metric([word, cluster, kind, namespace, name, field], count)
    yield changes
    families = [
        GaugeMetricFamily(f"deployment_replicas_{which}", about, labels=labels)
        for which, about in (
            ("desired", "Replicas that are wanted."),
            ("actual", "Replicas that exist."),
            ("max", "Replicas that may exist during a rollout."),
        )
    ]
    for (cluster, namespace, kind, name), replicas in counts.replicas.items():
        for family, value in zip(families, replicas, strict=True):
            if value is not None:
                family.add_metric([cluster, kind, namespace, name], value)
    yield from families

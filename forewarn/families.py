"""What our collectors are made of: names, families of metrics, and a process' registry.

Guaranteed: names begin with `PREFIX`; counters end in ``_total``. Histograms have classic buckets,
since the text format knows no native ones. Left to others: what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from stream.histogram import Histogram

PREFIX: Final = "forewarn_"
Labels = TypeVar("Labels", bound=tuple[str, ...])  # values, in the order of the family's names


def counter(
    name: str, about: str, labels: Sequence[str], counts: Mapping[Labels, float]
) -> CounterMetricFamily:
    """Return a family of counters."""
    family = CounterMetricFamily(f"{PREFIX}{name}", about, labels=labels)
    for key, count in sorted(counts.items()):
        family.add_metric(key, count)
    return family


def gauge(
    name: str, about: str, labels: Sequence[str], values: Mapping[Labels, float]
) -> GaugeMetricFamily:
    """Return a family of gauges."""
    family = GaugeMetricFamily(f"{PREFIX}{name}", about, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def histogram(
    name: str, about: str, labels: Sequence[str], found: Iterable[tuple[Labels, Histogram]]
) -> HistogramMetricFamily:
    """Return a family of histograms; those with equal labels are one."""
    merged: dict[Labels, Histogram] = {}
    for key, one in found:
        merged.setdefault(key, Histogram(one.bounds)).add(one)
    family = HistogramMetricFamily(f"{PREFIX}{name}", about, labels=labels)
    for key, one in sorted(merged.items()):
        total, buckets = 0, []
        for bound, count in zip((*one.bounds, math.inf), one.counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == math.inf else f"{bound:g}", float(total)))
        family.add_metric(key, buckets, one.total)
    return family


def process_registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry with what every process says of itself, and `collectors`."""
    registry = CollectorRegistry()
    for collector in (_Build(), *collectors):
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


class _Build(Collector):
    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "build_info", "The version that runs.", ["version"], {(version("forewarn"),): 1.0}
        )

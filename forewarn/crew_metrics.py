"""What a process that runs tasks says about them to Prometheus, computed when it is asked.

Guaranteed: a scrape waits for nothing; labels are applications and partitions. Lag is in seconds of
event time, since offsets say nothing about how late a warning comes. Left to others: serving
(`forewarn.probes`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.bus import Bus
from stream.clock import Clock
from stream.crew import TaskCrew
from stream.kafka import KafkaBus
from stream.runtime import Task

PREFIX: Final = "forewarn_"
_TASK_COUNTS: Final = {
    "records": "Records processed.",
    "outputs": "Conclusions, points and dead letters committed.",
    "dead_letters": "Records that could not be used.",
    "dropped": "Records read again below the expected offset, and dropped.",
    "commits": "Commits.",
    "snapshots": "Snapshots of the state.",
    "restores": "Times that the task was owned and its state restored.",
    "replayed": "Records learned again after a snapshot.",
    "fenced": "Commits refused because somebody else had the task.",
}
_BUS_COUNTS: Final = {
    "transactions": "Transactions committed.",
    "aborts": "Transactions that failed.",
    "fenced": "Of these, because of a newer owner.",
    "retired": "Producers replaced before their sequence numbers run out.",
    "restored": "Changelog records read by restores.",
    "to_restore": "Changelog offsets that restores were to read.",
}


class CrewCollector(Collector):
    """The numbers of some crews, and of the bus below them."""

    def __init__(self, bus: Bus, crews: Sequence[TaskCrew], clock: Clock) -> None:
        self._bus = bus
        self._crews = crews
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as of now."""
        yield from self._running()
        yield from self._tasks()
        if isinstance(self._bus, KafkaBus):
            counters = dataclasses.asdict(self._bus.counters)
            for name, about in _BUS_COUNTS.items():
                yield CounterMetricFamily(f"{PREFIX}kafka_{name}", about, value=counters[name])
            yield GaugeMetricFamily(
                f"{PREFIX}kafka_restoring",
                "Tasks that read their state now.",
                value=counters["restoring"],
            )

    def _running(self) -> Iterator[Metric]:
        running = GaugeMetricFamily(
            f"{PREFIX}task_running",
            "1 while the task runs here, 0 if it has stopped for good and a person must look.",
            labels=["app", "partition"],
        )
        for crew in self._crews:
            for partition in crew.works:
                running.add_metric([crew.app, str(partition)], 1)
            for partition in crew.stopped:
                running.add_metric([crew.app, str(partition)], 0)
        yield running

    def _tasks(self) -> Iterator[Metric]:
        tasks = [
            (crew.app, str(partition), task)
            for crew in self._crews
            for partition, work in crew.works.items()
            if isinstance(task := getattr(work, "task", None), Task)
        ]
        lag = GaugeMetricFamily(
            f"{PREFIX}task_lag_seconds",
            "Now, less the event time up to which the task has processed everything.",
            labels=["app", "partition"],
        )
        for app, partition, task in tasks:
            if task.event_time:
                lag.add_metric([app, partition], max(self._clock.now() - task.event_time, 0.0))
        yield lag
        for name, about in _TASK_COUNTS.items():
            family = CounterMetricFamily(f"{PREFIX}task_{name}", about, labels=["app", "partition"])
            for app, partition, task in tasks:
                family.add_metric([app, partition], getattr(task.counters, name))
            yield family

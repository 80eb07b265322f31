"""What the stages of a process say to Prometheus: operators, incidents, deliveries.

Guaranteed: computed when it is asked, and a scrape waits for nothing; labels are stages, partitions
and receivers. `task_lag_seconds` is in seconds of event time, since offsets say nothing about how
late a warning comes. Left to others: the bus (`forewarn.bus_metrics`), serving (`forewarn.probes`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from alerting.delivery import DeliveryTask
from alerting.task import AlertTask
from forewarn.families import counter, gauge, histogram
from stream.crew import TaskCrew
from stream.runtime import Task

Stage = tuple[str, int, Task | AlertTask | DeliveryTask]  # its name, its partition, its task
_PLACE: Final = ("stage", "partition")
_TASK_COUNTS: Final = {
    "outputs": ("task_outputs", "Conclusions, points and dead letters committed."),
    "dead_letters": ("task_dead_letters", "Records that could not be used."),
    "dropped": ("task_records_dropped", "Records read again below the expected offset."),
    "commits": ("task_commits", "Commits."),
    "snapshots": ("task_snapshots", "Snapshots of the state."),
    "snapshot_bytes": ("task_snapshot_bytes", "Bytes of state written."),
    "restores": ("task_restores", "Times that the task was owned and its state restored."),
    "replayed": ("task_records_replayed", "Records learned again after a snapshot."),
    "fenced": ("producer_fenced", "Commits refused because somebody else had the task."),
}


class StageCollector(Collector):
    """The numbers of the tasks that a process runs.

    Parameters
    ----------
    stages
        Returns them, as of now.
    now
        Returns the time that event time is held against: a clock's, or that of a recording.
    """

    def __init__(self, stages: Callable[[], Iterable[Stage]], now: Callable[[], float]) -> None:
        self._stages = stages
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as of now."""
        stages = list(self._stages())
        processed: dict[tuple[str, ...], float] = {}
        for name, partition, task in stages:
            records = task.counters.records if isinstance(task, Task) else task.records
            processed[name, str(partition)] = records
        about = "Records that a stage has taken in."
        yield counter("records_processed", about, _PLACE, processed)
        yield from self._operators(
            {(name, str(p)): task for name, p, task in stages if isinstance(task, Task)}
        )
        yield from _deliveries([task for *_, task in stages if isinstance(task, DeliveryTask)])

    def _operators(self, tasks: dict[tuple[str, ...], Task]) -> Iterator[Metric]:
        about = "Now, less the event time up to which the task has processed everything."
        now = self._now()
        lag = {key: max(now - t.event_time, 0.0) for key, t in tasks.items() if t.event_time}
        yield gauge("task_lag_seconds", about, _PLACE, lag)
        about = "Keys of a task's durable state."
        keys = {key: float(task.state_keys) for key, task in tasks.items()}
        yield gauge("state_keys", about, _PLACE, keys)
        for name, (metric, about) in _TASK_COUNTS.items():
            counts = {key: getattr(task.counters, name) for key, task in tasks.items()}
            yield counter(metric, about, _PLACE, counts)
        about = "Seconds that a task works on what one read has brought."
        spent = [(key[:1], task.counters.processing) for key, task in tasks.items()]
        yield histogram("processing_seconds", about, _PLACE[:1], spent)


class CrewCollector(Collector):
    """Which tasks of some crews run."""

    def __init__(self, crews: Sequence[TaskCrew]) -> None:
        self._crews = crews

    def collect(self) -> Iterator[Metric]:
        """Yield it as of now."""
        running: dict[tuple[str, ...], float] = {}
        for crew in self._crews:
            running |= {(crew.app, str(partition)): 1.0 for partition in crew.works}
            running |= {(crew.app, str(partition)): 0.0 for partition in crew.stopped}
        about = "1 while the task runs here, 0 if it has stopped for good and a person must look."
        yield gauge("task_running", about, _PLACE, running)


def of_crews(crews: Sequence[TaskCrew]) -> Iterator[Stage]:
    """Yield the tasks that crews run now."""
    for crew in crews:
        for partition, work in crew.works.items():
            yield crew.app, partition, work.task  # type: ignore[attr-defined]


def _deliveries(tasks: Sequence[DeliveryTask]) -> Iterator[Metric]:
    if not tasks:
        return
    outcomes: Counter[tuple[str, ...]] = Counter()
    for task in tasks:
        outcomes.update(task.outcomes)
    about = "What became of messages, by receiver."
    yield counter("notifications", about, ["channel", "result"], outcomes)
    about = "Seconds from a message's decision being read to its delivery."
    spent = [((channel,), one) for task in tasks for channel, one in task.latency.items()]
    yield histogram("notification_latency_seconds", about, ["channel"], spent)
    about = "Messages that are read and neither delivered nor given up."
    waiting = sum(task.waiting for task in tasks)
    yield gauge("notification_queue_length", about, [], {(): waiting})

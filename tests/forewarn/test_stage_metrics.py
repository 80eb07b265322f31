"""What a process that runs tasks tells Prometheus; left out: serving it (`test_probes`)."""

import asyncio

from prometheus_client import CollectorRegistry, generate_latest

from forewarn.stage_metrics import CrewCollector, StageCollector, of_crews
from forewarn.work import Concluding
from stream.crew import TaskCrew
from stream.embedded import EmbeddedBus
from stream.errors import Corrupt
from stream.runtime import Task
from stream.testing import ManualClock
from tests.stream.toy import Toy, fill, stream

RECORDS = stream(200, seed=4)


async def test_lag_is_in_seconds_of_event_time_and_a_stopped_task_shows() -> None:
    clock = ManualClock(2_000.0)
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)

        def concluding(partition: int) -> Concluding:
            return Concluding(Task(bus, "app", partition, 1, lambda: [Toy()], clock=clock))

        crew = TaskCrew("app", concluding, clock)
        registry = CollectorRegistry()
        registry.register(CrewCollector([crew]))
        registry.register(StageCollector(lambda: of_crews([crew]), clock.now))
        await crew.take(frozenset({0}))
        work = crew.works
        for _ in range(2_000):
            if work and work[0].task.counters.records == 200:  # type: ignore[attr-defined]
                break
            await asyncio.sleep(0.005)
        said = generate_latest(registry).decode()
        newest = {r.cluster: r.at for r in RECORDS if not hasattr(r, "pod")}
        assert (
            f'task_lag_seconds{{partition="0",stage="app"}} {2_000.0 - min(newest.values())}'
            in said
        )
        assert 'forewarn_records_processed_total{partition="0",stage="app"} 200.0' in said
        assert 'forewarn_processing_seconds_count{stage="app"}' in said
        assert 'forewarn_task_running{partition="0",stage="app"} 1.0' in said
        crew.stopped[1] = str(Corrupt("a page is missing"))
        said = generate_latest(registry).decode()
        assert 'forewarn_task_running{partition="1",stage="app"} 0.0' in said
        assert "a page" not in said
        await crew.aclose()

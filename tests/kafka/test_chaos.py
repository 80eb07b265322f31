"""Workers and their broker hurt for real, in short: `make chaos` does the same for longer.

Processes are killed, paused and replaced while records with dense ids flow; an independent process
counts what comes out, and the state is compared with an undisturbed run, bit for bit.
"""

import asyncio
from pathlib import Path

import pytest

from benchmarks.chaos.run import broker_and_proxy, run
from tests.kafka_broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


async def test_nothing_is_lost_and_nothing_comes_twice(kafka: Broker, tmp_path: Path) -> None:
    async with asyncio.timeout(180.0):  # some twenty seconds; a worker that hangs is a failure
        row = await run("kill -9, then SIGSTOP", 1, kafka, tmp_path, session=1.5)
    assert not row.wrong(), (row, (tmp_path / "workers.log").read_text()[-5_000:])
    assert row.records > 10_000


async def test_a_worker_that_is_cut_off_writes_nothing_when_it_is_back(
    kafka_home: Path, tmp_path: Path
) -> None:
    broker, proxy = broker_and_proxy(kafka_home, tmp_path)
    broker.start()
    try:
        async with asyncio.timeout(180.0), proxy:
            row = await run("network cut", 1, broker, tmp_path, proxy=proxy, session=1.5)
    finally:
        broker.stop()
    assert not row.wrong(), (row, (tmp_path / "workers.log").read_text()[-5_000:])
    assert row.records > 10_000
    assert row.recovery_p95 < 10.0

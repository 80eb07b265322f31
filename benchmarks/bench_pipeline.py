"""Tape → incidents, whole: records per CPU second with checkpoints on, all in one process.

What is timed is what `forewarn replay` does: read the tape, normalise, publish, run every operator,
commit with snapshots, alert, settle. The outcome is asserted first (equal hashes over two runs, a
finding or more). CPU time counts all threads of the process.
"""

import asyncio
import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import workloads
from forewarn.config import Config
from forewarn.replay import replay
from forewarn.report import Report
from stream.clock import SystemClock

DEMO = Path(__file__).resolve().parents[1] / "examples" / "tapes" / "demo.tape.zst"
LINES = 60_000


def run(tape: Path, store: Path) -> tuple[Report, float]:
    began = time.process_time()
    report = asyncio.run(
        replay(Config(), [tape], SystemClock(), Console(file=io.StringIO()), store=store)
    )
    return report, time.process_time() - began


def timed(benchmark, tape: Path, folder: Path, name: str) -> float:  # type: ignore[no-untyped-def]
    first, _ = run(tape, folder / "first.db")
    runs: list[tuple[Report, float]] = []

    def once() -> None:
        runs.append(run(tape, folder / f"{len(runs)}.db"))

    benchmark.pedantic(once, rounds=3)
    assert {report.output_hash for report, _ in runs} == {first.output_hash}
    facts = sum(first.records.values())
    rate = facts / min(cpu for _, cpu in runs)
    benchmark.extra_info["records per CPU second"] = round(rate)
    print(f"\n{name}: {facts:,} records, {rate:,.0f} records per CPU second")
    return rate


@pytest.mark.benchmark(group="tape to incidents")
def test_a_busy_cluster(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    tape = tmp_path / "busy.tape"
    workloads.write_tape(tape, LINES)
    timed(benchmark, tape, tmp_path, "busy cluster")


@pytest.mark.benchmark(group="tape to incidents")
def test_the_recorded_demo(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    if not DEMO.is_file():
        pytest.skip("the demo tape is not there")
    timed(benchmark, DEMO, tmp_path, "demo tape")

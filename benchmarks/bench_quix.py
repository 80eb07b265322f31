"""The task loop beside Quix Streams: the same topic, records, keys and model, exactly once both.

Quix runs in an environment of its own, made once in the cache beside the other components; where
no package index is to be had it is skipped with that reason. Asserted before anything is compared:
each loop has applied every record once, and said a point of every tenth.
"""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench_kafka import KEYS, LINE_EVERY, RECORDS, task
from stream.bus import Outgoing
from stream.codec import encode_input
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSettings
from stream.topics import PODS, specs
from tests.kafka_broker import Broker, cached
from tests.stream.toy import pod

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "benchmarks" / "quix" / "requirements.txt"
ROUNDS = 3
_INSTALL = 300.0  # seconds
_RUN = 300.0  # seconds


@pytest.fixture(scope="module")
def quix() -> Path:
    """Return the Python of an environment that has Quix Streams."""
    mark = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "forewarn" / f"quix-{mark}"
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    make = [sys.executable, "-m", "venv", "--clear", str(folder)]
    install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(PINS)]
    try:
        for command in (make, install):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"Quix Streams cannot be installed beside forewarn: {error}")
    (folder / "ready").touch()
    return python


@pytest.mark.benchmark(group="kafka")
def test_the_task_loop_beside_quix_streams(benchmark: Any, quix: Path, tmp_path: Path) -> None:
    if not (cached() / "ready").exists():
        pytest.skip("Kafka (a broker) is not there: run `make components`")
    broker = Broker(cached(), tmp_path)
    broker.start()
    try:
        figures = benchmark.pedantic(
            lambda: asyncio.run(compared(broker, quix, tmp_path)), rounds=1
        )
    finally:
        broker.stop()
    print("\n" + "\n".join(f"{name}: {value}" for name, value in figures.items()))
    benchmark.extra_info.update(figures)


async def compared(kafka: Broker, quix: Path, folder: Path) -> dict[str, str]:
    """Return the best of `ROUNDS` of each, taken in turns, and their ratio."""
    settings = KafkaSettings(
        bootstrap=(kafka.address,),
        prefix=f"quix{time.monotonic_ns()}.",
        replication_factor=1,
        min_insync_replicas=1,
    )
    ours, theirs = [], []
    async with KafkaBus.open(settings) as bus:
        await bus.ensure([spec._replace(retention=None) for spec in specs(1)])
        for start in range(0, RECORDS, 10_000):
            names = [f"pod-{i * 7919 % KEYS}" for i in range(start, min(start + 10_000, RECORDS))]
            await bus.publish(
                [
                    Outgoing(PODS, 0, name.encode(), encode_input(pod("c", name, 1e9 + start + i)))
                    for i, name in enumerate(names)
                ]
            )
        for number in range(ROUNDS):
            spent, counts, points, _ = await task(bus, f"task{number}")
            assert (counts, points >= RECORDS // LINE_EVERY) == (RECORDS, True)
            ours.append(RECORDS / spent)
            found = await asyncio.to_thread(
                on_quix, quix, kafka.address, settings.prefix + PODS, folder / f"quix-{number}"
            )
            assert (found["counts"], found["points"]) == (RECORDS, RECORDS // LINE_EVERY)
            theirs.append(RECORDS / found["cpu"])
    return {
        "records": f"{RECORDS:,}, {KEYS:,} keys",
        "task, exactly once": f"{max(ours):,.0f} records per CPU second",
        "Quix Streams, exactly once": f"{max(theirs):,.0f} records per CPU second",
        "ratio": f"{max(ours) / max(theirs):.1f}",
        "ratio of each round": ", ".join(f"{a / b:.1f}" for a, b in zip(ours, theirs, strict=True)),
    }


def on_quix(python: Path, address: str, topic: str, folder: Path) -> dict[str, Any]:
    """Let Quix work through `topic` once, under a group of its own; return what it says."""
    folder.mkdir()
    command = [str(python), "-m", "benchmarks.quix.app", address, topic, str(RECORDS), str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=_RUN,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found

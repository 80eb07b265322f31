"""The chaos harness: generator, workers and verifier as processes, a fault again and again.

After each run the state of all tasks is compared with that of an undisturbed application on the
same inputs, bit for bit. A row is printed as soon as it is known; the exit code says whether
anything was lost, came twice, or differs.

    make chaos                               every fault (some twenty minutes)
    make chaos ARGS='--fault "kill -9" --times 50'
"""

import argparse
import asyncio
import json
import logging
import math
import random
import signal
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.plan import APP, PACE, PARTITIONS, Place, operators
from stream.clock import SystemClock
from stream.kafka import KafkaBus
from stream.runtime import Task
from stream.topics import specs
from tests.kafka_broker import Broker, cached, free_ports
from tests.proxy import Proxy

RATE = 2_000.0  # records a second
WARM = 1.0  # seconds from when all workers are there until the next harm
SETTLE = 6.0  # seconds after each: to recover in
TIMES = {"kill -9": 50, "SIGTERM": 20, "broker kill -9": 10, "SIGSTOP, SIGCONT": 10}  # else 5
ALL = [fault for fault in FAULTS if fault != "kill -9, then SIGSTOP"]  # that one is for tests
# A second listener, of which clients only know the proxy's address.
APART = """
listeners=PLAINTEXT://127.0.0.1:@BROKER@,APART://127.0.0.1:{listener},\
CONTROLLER://127.0.0.1:@CONTROLLER@
advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER@,APART://127.0.0.1:{proxy}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,APART:PLAINTEXT,CONTROLLER:PLAINTEXT
"""


class Row(NamedTuple):
    """What one run of one fault came to."""

    fault: str
    faults: int
    records: int
    lost: int
    duplicate_state: int
    duplicate_outputs: int
    out_of_order: int
    dead_letters_wrong: int
    state_differs: int  # tasks
    recovery_p50: float  # seconds from a fault until all partitions say something again
    recovery_p95: float
    rss_mib: float  # the largest worker

    def wrong(self) -> bool:
        return any(self[3:9])


class Stage:
    """The processes of a run."""

    def __init__(
        self, place: Place, broker: Broker, proxy: Proxy | None, chance: random.Random, folder: Path
    ) -> None:
        self.place = place
        self._proxy = proxy
        self.broker = broker
        self.chance = chance
        self.session = place.session
        self.apart = False
        self.workers: list[Process] = []
        self.rss = 0.0
        self._log = (folder / "workers.log").open("ab")
        self._joined = folder / "joined"
        self._joined.mkdir(exist_ok=True)

    async def add(self, *, apart: bool = False) -> None:
        place = self.place
        if apart:
            assert self._proxy is not None
            self.apart = True
            place = replace(place, address=self._proxy.address)
        words = ("worker", *place.words(), str(self._joined))
        self.workers.append(await self._child(*words, stdout=self._log, stderr=STDOUT))

    def cut(self, cut: bool) -> None:
        assert self._proxy is not None
        (self._proxy.cut if cut else self._proxy.mend)()

    async def whole(self) -> None:
        """Return when every worker is a member of the group; raises when one never gets there."""
        async with asyncio.timeout(60.0):
            while not all((self._joined / str(worker.pid)).exists() for worker in self.workers):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def one(self) -> Process:
        return self.chance.choice(self.workers)

    async def end(self, worker: Process, how: signal.Signals) -> None:
        self._measure(worker)
        worker.send_signal(how)
        self.workers.remove(worker)
        await worker.wait()

    def _measure(self, worker: Process) -> None:
        with suppress(OSError):
            lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
            peak = next(line for line in lines if line.startswith("VmHWM"))
            self.rss = max(self.rss, int(peak.split()[1]) / 1024)

    async def close(self) -> None:
        for worker in list(self.workers):
            with suppress(ProcessLookupError):
                await self.end(worker, signal.SIGTERM)
        self._log.close()

    async def logged(self, name: str, *words: str) -> Process:
        return await self._child(name, *self.place.words(), *words, stdout=self._log, stderr=STDOUT)

    async def heard(self, name: str, *words: str) -> Process:
        return await self._child(name, *self.place.words(), *words, stdout=PIPE, stderr=self._log)

    async def _child(self, name: str, *words: str, **where: Any) -> Process:
        command = [sys.executable, "-m", f"benchmarks.chaos.{name}", *words]
        return await asyncio.create_subprocess_exec(*command, **where)


def broker_and_proxy(home: Path, folder: Path) -> tuple[Broker, Proxy]:
    """Return a broker, not started, and a proxy, not open, before its second listener."""
    listener, proxy = free_ports(2)
    extra = APART.format(listener=listener, proxy=proxy)
    return Broker(home, folder, extra), Proxy(proxy, listener)


async def run(
    fault: str,
    times: int,
    broker: Broker,
    folder: Path,
    *,
    proxy: Proxy | None = None,
    seed: int = 1,
    session: float = 3.0,
) -> Row:
    """Do `fault` to a group of two workers, `times` times; return what came of it."""
    chance = random.Random(seed)
    place = Place(broker.address, f"chaos{time.time_ns()}.", session)
    total = folder / f"{place.prefix}total"
    async with KafkaBus.open(place.settings()) as bus:
        # Event times here are of 1970: by their retention the broker would drop them at once.
        await bus.ensure([spec._replace(retention=None) for spec in specs(PARTITIONS)])
    stage = Stage(place, broker, proxy, chance, folder)
    moments: list[float] = []
    generator = None
    try:
        for _ in range(2):
            await stage.add()
        verifier = await stage.heard("verify", str(total), "45")
        generator = await stage.logged("generate", str(total), str(RATE))
        async with asyncio.timeout(60.0):
            while not total.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for _ in range(times):
            await stage.whole()
            await asyncio.sleep(WARM)
            moments += await FAULTS[fault](stage)
            await asyncio.sleep(SETTLE)
        await asyncio.sleep(SETTLE)
        generator.terminate()
        said, _ = await verifier.communicate()
        await generator.wait()
    finally:
        if generator is not None and generator.returncode is None:
            generator.kill()
            await generator.wait()
        await stage.close()
    found = json.loads(said)
    recovery = _recoveries(found["arrivals"], moments) or [0.0]
    return Row(
        fault,
        times,
        found["records"],
        found["lost"],
        found["duplicate_state"],
        found["duplicate_outputs"],
        found["out_of_order"],
        found["dead_letters_missing"] + found["dead_letters_twice"],
        await differing(place),
        statistics.median(recovery),
        sorted(recovery)[int(0.95 * (len(recovery) - 1) + 0.5)],
        stage.rss,
    )


def _recoveries(arrivals: list[tuple[float, int]], moments: list[float]) -> list[float]:
    """Seconds from each fault until the outputs of every partition have gone on.

    Outputs that were under way arrive for some ms after a fault; they do not count. Infinite where
    none came.
    """
    found = []
    for moment in moments:
        firsts = [
            min((at for at, p in arrivals if p == part and at > moment + 0.3), default=math.inf)
            for part in range(PARTITIONS)
        ]
        found.append(max(firsts) - moment)
    return found


async def differing(place: Place) -> int:
    """Return how many tasks' state is not that of an undisturbed run on the same inputs."""
    async with KafkaBus.open(place.settings()) as bus:
        clock = SystemClock()
        different = 0
        for partition in range(PARTITIONS):
            hashes = []
            for app in (APP, "calm"):
                task = Task(bus, app, partition, PARTITIONS, operators, clock=clock, pace=PACE)
                while await task.step():
                    pass
                await task.flush(snapshot=True)
                hashes.append(await task.state_hash())
                await task.aclose()
            different += hashes[0] != hashes[1]
        return different


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    head = "| " + " | ".join(name.replace("_", " ") for name in Row._fields) + " |"
    lines = [head, "|---" * len(Row._fields) + "|"]
    for row in rows:
        cells = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


async def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--fault", choices=FAULTS, action="append")
    words.add_argument("--times", type=int, default=0, help="default: 50 kills, 5 to 20 of others")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--session", type=float, default=3.0)
    given = words.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        broker, proxy = broker_and_proxy(cached(), Path(folder))
        broker.start()
        try:
            async with proxy:
                for fault in given.fault or ALL:
                    times = given.times or TIMES.get(fault, 5)
                    times = 0 if fault == "none" else times
                    chosen = {"proxy": proxy, "seed": given.seed, "session": given.session}
                    row = await run(fault, times, broker, Path(folder), **chosen)
                    rows.append(row)
                    print(table(rows).splitlines()[-1] if rows[1:] else table(rows), flush=True)
                    if row.wrong():
                        print((Path(folder) / "workers.log").read_text()[-20_000:])
        finally:
            broker.stop()
    sys.exit(any(row.wrong() for row in rows))


if __name__ == "__main__":
    asyncio.run(main())

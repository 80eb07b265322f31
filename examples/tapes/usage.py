"""Generates what the nodes' kubelets would answer at /stats/summary, and merges it into a tape.

usage: usage.py STRETCHED_TAPE OUTPUT_TAPE TRUTH [--period 120] [--seed 7]

The recorded cluster runs nothing, so its usage is made here, and only here: kubelet Summary
documents (k8s.io/kubelet stats/v1alpha1), one per node and period, as SAMPLE lines. Who lives where
and when is taken from the recorded pods (`census.py`), so a leaking container meets its limit at
the kill that was recorded, a node that does not answer gives no samples, and node-4's disk meets
the eviction threshold when the recorded node came under pressure. Everything else is a rhythm of
the day, seeded noise and the labelled shapes below, which are added to the truth.

Deterministic: the same tape, period and seed give the same bytes. Bytes are rounded to 64 KiB and
CPU to millicores, which is finer than anyone forecasts and keeps the tape small.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from census import Census, Lived, Resident, take_census

Document = dict[str, Any]

GIB = 2.0**30
GRAIN = 65536  # bytes
DAY = 86400.0
PEAK_HOUR = 15.0  # UTC
GRACE = 5.0  # real seconds of --node-monitor-grace-period during the recording

NODE_CPUS = 8.0
NODE_MEMORY = 32 * GIB
NODE_DISK = 100 * GIB
NODE_INODES = 6_553_600
CLAIM_CAPACITY = 52_521_566_208.0  # a 50 GiB volume after ext4's own blocks

DISK_LEVEL = {"node-1": 0.41, "node-2": 0.38, "node-3": 0.34, "node-4": 0.55, "node-5": 0.46}
DISK_LEVEL_OTHER = 0.44
FILLING_NODE, FILLING_FROM_HOUR, FILLING_TO = "node-4", 8.0, 0.90
LOGS_SHARE = 0.004
ONE_OFF_NODE, ONE_OFF_HOUR, ONE_OFF_SHARE = "node-3", 16.3, 0.12
SAWTOOTH_NODE, SAWTOOTH_LOW, SAWTOOTH_HIGH, SAWTOOTH_HOURS = "node-6", 0.78, 0.85, 9.0
FILLING_CLAIM, CLAIM_FROM, CLAIM_FULL_AT_HOUR = "data-postgres-0", 0.45, 68.0
STEADY_CLAIM_LEVEL = 0.31

LEAK_START = 0.20  # of the limit, at the start of a leaking life
PLATEAU_APP, PLATEAU_LEVEL, PLATEAU_HOURS = "cache", 0.82, 6.0
COLLECTED_APP, COLLECTED_LOW, COLLECTED_HIGH, COLLECTED_SECONDS = "fraud", 0.45, 0.72, 3000.0


def rhythm(when: float) -> float:
    """Return the phase of the day: 0 at its quietest hour, 1 at PEAK_HOUR."""
    return 0.5 + 0.5 * math.cos(2 * math.pi * (when / DAY - PEAK_HOUR / 24))


class Wander:
    """Noise that remembers: an AR(1) walk around 0 of standard deviation `size`."""

    def __init__(self, seed: int, name: str, size: float, memory: float = 0.8) -> None:
        self._random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        self._step = size * math.sqrt(1 - memory**2)
        self._memory = memory
        self._value = 0.0

    def next(self) -> float:
        """Take one step."""
        self._value = self._memory * self._value + self._step * self._random.standard_normal()
        return self._value


def share(name: str, low: float, high: float) -> float:
    """Return a number between `low` and `high` that belongs to a name."""
    return low + (high - low) * (zlib.crc32(name.encode()) % 1000) / 999


class Filling:
    """A share that grows from 0 to 1 between two instants, faster by day, and stays."""

    def __init__(self, start: float, end: float, swing: float = 0.35) -> None:
        self._grid = np.linspace(start, end, 2000)
        rate = 1 + swing * np.array([2 * rhythm(when) - 1 for when in self._grid])
        grown = np.concatenate([[0.0], np.cumsum(rate[1:])])
        self._grown = grown / grown[-1]

    def at(self, when: float) -> float:
        """Return the share that has been reached."""
        return float(np.interp(when, self._grid, self._grown))


@dataclass
class Counter:
    """CPU time of one container or node: cores × seconds, since it started."""

    nanoseconds: float = 0.0
    since: float = 0.0

    def add(self, when: float, cores: float) -> int:
        """Let `cores` have been used since the last call; returns the sum, to 0.1 s."""
        self.nanoseconds += max(0.0, when - self.since) * cores * 1e9
        self.since = when
        return int(self.nanoseconds // 100_000_000) * 100_000_000


class Usage:
    """What every node uses at any instant; call `summary` in the order of time."""

    def __init__(self, census: Census, seed: int) -> None:
        self._census = census
        self._seed = seed
        self._wanders: dict[str, Wander] = {}
        self._counters: dict[str, Counter] = {}
        start = census.first
        self._start = start
        self._pressed = census.pressed.get(FILLING_NODE, start + 42 * 3600)
        self._disk = Filling(start + FILLING_FROM_HOUR * 3600, self._pressed)
        self._claim = Filling(start, start + CLAIM_FULL_AT_HOUR * 3600)
        self._leaks = {
            app: census.leak_length(app) for app in {r.app for r in census.residents.values()}
        }
        evicted = [r for r in census.residents.values() if r.evicted < math.inf]
        evicted.sort(key=lambda r: r.evicted)
        self._writer = evicted[0].uid if evicted else ""
        self._writer_gone = evicted[0].evicted if evicted else self._pressed
        self._by_node: dict[str, list[Resident]] = {node: [] for node in census.nodes}
        for resident in sorted(census.residents.values(), key=lambda r: (r.namespace, r.name)):
            self._by_node.setdefault(resident.node, []).append(resident)

    def summary(self, node: str, when: float) -> Document:
        """Return the Summary document of one node."""
        stamp = _stamp(when)
        disk = self._node_disk(node, when)
        free = NODE_DISK - disk[0]
        pods = [
            self._pod(resident, lived, when, stamp, free)
            for resident in self._by_node[node]
            if (lived := resident.life_at(when)) is not None
        ]
        cores = sum(pod["cpu"]["usageNanoCores"] for pod in pods) / 1e9
        held = sum(pod["memory"]["workingSetBytes"] for pod in pods)
        return {"node": self._node(node, when, stamp, cores, held, len(pods), disk), "pods": pods}

    def _wander(self, name: str, size: float) -> float:
        if name not in self._wanders:
            self._wanders[name] = Wander(self._seed, name, size)
        return self._wanders[name].next()

    def _cpu(self, name: str, when: float, stamp: str, cores: float, since: float) -> Document:
        cores = max(0.001, round(cores, 3))
        counter = self._counters.setdefault(name, Counter(since=since))
        return {
            "time": stamp,
            "usageNanoCores": round(cores * 1000) * 1_000_000,
            "usageCoreNanoSeconds": counter.add(when, cores),
        }

    def _node(
        self,
        node: str,
        when: float,
        stamp: str,
        cores: float,
        held: float,
        pods: int,
        disk: tuple[float, float],
    ) -> Document:
        cores += 0.15 + 0.05 * rhythm(when) + abs(self._wander(f"{node} cpu", 0.03))
        memory = held + (1.3 + 0.2 * rhythm(when) + self._wander(f"{node} memory", 0.05)) * GIB
        used, images = disk
        processes = 160 + 14 * pods + round(self._wander(f"{node} processes", 4.0))
        return {
            "nodeName": node,
            "startTime": _stamp(self._census.nodes[node]),
            "cpu": self._cpu(node, when, stamp, min(cores, NODE_CPUS), self._start),
            "memory": _memory(stamp, memory, NODE_MEMORY, 400 * (when - self._start)),
            "fs": _file_system(stamp, used, NODE_DISK, _inodes(used, NODE_DISK)),
            "runtime": {
                "imageFs": _file_system(
                    stamp, images, NODE_DISK, _inodes(used, NODE_DISK), free=NODE_DISK - used
                )
            },
            "rlimit": {"time": stamp, "maxpid": 32768, "curproc": processes},
        }

    def _node_disk(self, node: str, when: float) -> tuple[float, float]:
        """Bytes used on the root file system, and by images on it."""
        hours = (when - self._start) / 3600
        level = DISK_LEVEL.get(node, DISK_LEVEL_OTHER)
        images = share(node, 0.15, 0.20)
        if node == SAWTOOTH_NODE:
            phase = (hours / SAWTOOTH_HOURS + 0.3) % 1.0
            level = SAWTOOTH_LOW + (SAWTOOTH_HIGH - SAWTOOTH_LOW) * phase
            images = 0.40 + (SAWTOOTH_HIGH - SAWTOOTH_LOW) * phase
        if node == ONE_OFF_NODE and hours >= ONE_OFF_HOUR:
            level += ONE_OFF_SHARE
        if node == FILLING_NODE:
            level += self._written(when)
        logs = (hours / share(node, 2.5, 5.0)) % 1.0  # until the next rotation
        level += LOGS_SHARE * logs + 0.002 * rhythm(when) + self._wander(f"{node} disk", 0.0006)
        return level * NODE_DISK, images * NODE_DISK

    def _written(self, when: float) -> float:
        """Share of node-4's disk that the writer has filled."""
        if when >= self._writer_gone:
            return 0.0
        return (FILLING_TO - DISK_LEVEL[FILLING_NODE]) * self._disk.at(when)

    def _pod(
        self, resident: Resident, lived: Lived, when: float, stamp: str, free: float
    ) -> Document:
        cpu = self._cpu(
            lived.container_id,
            when,
            stamp,
            resident.cpu_request * self._busy(resident, when),
            lived.started,
        )
        held, faults = self._held(resident, lived, when), 2.5 * (when - lived.started)
        memory = _memory(stamp, held, resident.memory_limit, faults)
        own = (0.02 + share(resident.name, 0.0, 0.15)) * GIB
        if resident.uid == self._writer:
            own += self._written(when) * NODE_DISK
        disk = _file_system(stamp, own, NODE_DISK, 120, free=free)
        pod: Document = {
            "podRef": {
                "name": resident.name,
                "namespace": resident.namespace,
                "uid": resident.uid,
            },
            "startTime": _stamp(resident.started),
            "containers": [
                {
                    "name": resident.container,
                    "startTime": _stamp(lived.started),
                    "cpu": cpu,
                    "memory": memory,
                    "rootfs": disk,
                }
            ],
            "cpu": cpu,
            "memory": memory,
            "ephemeral-storage": disk,
        }
        if resident.claims:
            pod["volume"] = [
                self._volume(resident.namespace, volume, claim, when, stamp)
                for volume, claim in resident.claims
            ]
        return pod

    def _busy(self, resident: Resident, when: float) -> float:
        """Share of its CPU request that a container uses."""
        swing = share(resident.app, 0.2, 0.7)
        noise = self._wander(f"{resident.uid} cpu", 0.05)
        return max(0.02, share(resident.name, 0.15, 0.3) + swing * rhythm(when) + noise)

    def _held(self, resident: Resident, lived: Lived, when: float) -> float:
        """Working set of a container in bytes."""
        age = when - lived.started
        noise = self._wander(f"{resident.uid} memory", 0.008)
        leak = self._leaks.get(resident.app, 0.0)
        if leak:
            length = lived.length if lived.killed_by_limit else leak
            grown = LEAK_START + (1 - LEAK_START) * min(age / length, 1.0)
            return min(grown + 0.3 * noise, 0.998) * resident.memory_limit
        if resident.app == PLATEAU_APP:
            level = PLATEAU_LEVEL - 0.55 * math.exp(-age / 3600 / PLATEAU_HOURS)
        elif resident.app == COLLECTED_APP:
            phase = (age / COLLECTED_SECONDS + share(resident.name, 0.0, 1.0)) % 1.0
            level = COLLECTED_LOW + (COLLECTED_HIGH - COLLECTED_LOW) * phase
        else:
            level = share(resident.name, 0.35, 0.55) + 0.08 * rhythm(when)
        warm = 1 - 0.6 * math.exp(-age / 600)
        return (level * warm + noise) * resident.memory_limit

    def _volume(self, namespace: str, volume: str, claim: str, when: float, stamp: str) -> Document:
        noise = self._wander(f"{claim} volume", 0.0005)
        level = STEADY_CLAIM_LEVEL + 0.01 * rhythm(when)
        if claim == FILLING_CLAIM:
            level = CLAIM_FROM + (1 - CLAIM_FROM) * self._claim.at(when)
        used = (level + noise) * CLAIM_CAPACITY
        return {
            **_file_system(stamp, used, CLAIM_CAPACITY, 1200 + int(used / 2**24), total=3_276_800),
            "name": volume,
            "pvcRef": {"name": claim, "namespace": namespace},
        }


def _grain(value: float) -> int:
    return round(value / GRAIN) * GRAIN


def _stamp(when: float) -> str:
    return datetime.fromtimestamp(int(when), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _inodes(used: float, capacity: float) -> int:
    return int(NODE_INODES * (0.04 + 0.25 * used / capacity)) // 100 * 100


def _memory(stamp: str, held: float, limit: float, faults: float) -> Document:
    held = _grain(held)
    memory: Document = {"time": stamp}
    if limit:
        memory["availableBytes"] = int(limit) - held
    cached = _grain(held * 0.12)
    return memory | {
        "usageBytes": held + cached,
        "workingSetBytes": held,
        "rssBytes": _grain(held * 0.9),
        "pageFaults": int(faults),
        "majorPageFaults": 0,
    }


def _file_system(
    stamp: str,
    used: float,
    capacity: float,
    inodes_used: int,
    *,
    free: float | None = None,
    total: int = NODE_INODES,
) -> Document:
    used = _grain(used)
    return {
        "time": stamp,
        "availableBytes": int(capacity) - used if free is None else _grain(free),
        "capacityBytes": int(capacity),
        "usedBytes": used,
        "inodesFree": total - inodes_used,
        "inodes": total,
        "inodesUsed": inodes_used,
    }


def samples(
    census: Census, usage: Usage, period: float, cluster: str
) -> Iterator[tuple[float, bytes]]:
    """Yield (at, line) of every node and period, in the order of time."""
    nodes = sorted(census.nodes)
    for step in range(1, int((census.last - census.first) / period) + 1):
        for number, node in enumerate(nodes):
            when = census.first + step * period - (len(nodes) - number) * period / 40
            if census.silent(node, when):
                continue
            fact = {
                "at": round(when, 3),
                "cluster": cluster,
                "resource": "summary",
                "type": "SAMPLE",
                "node": node,
                "object": usage.summary(node, when),
            }
            yield when, json.dumps(fact, separators=(",", ":")).encode() + b"\n"


def merge(lines: Iterator[bytes], extra: Iterator[tuple[float, bytes]]) -> Iterator[bytes]:
    """Merge samples into a tape, both in the order of time."""
    waiting = next(extra, None)
    for line in lines:
        at = float(line[6 : line.index(b",")])
        while waiting is not None and waiting[0] <= at:
            yield waiting[1]
            waiting = next(extra, None)
        yield line
    while waiting is not None:
        yield waiting[1]
        waiting = next(extra, None)


def truths(census: Census) -> list[Document]:
    """Labels of the shapes that are made here."""
    start, end = census.first, census.last

    def label(
        name: str, kind: str, what: str, thing: str, since: float, note: str = ""
    ) -> Document:
        return {
            "id": name,
            "kind": kind,
            "what": what,
            "object": thing,
            "start": round(since, 3),
            "end": round(end, 3),
            "note": note,
            "moments": [],
        }

    full = start + CLAIM_FULL_AT_HOUR * 3600
    return [
        label(
            "postgres-0-volume",
            "incident",
            "the volume of data/postgres-0 heads for full, and is not full when the tape ends",
            f"PersistentVolumeClaim data/{FILLING_CLAIM}",
            start,
            f"full at {full:.0f}, {(full - end) / 3600:.1f} h after the end",
        ),
        label(
            "node-6-image-gc",
            "benign",
            "images fill the disk to 85 % and are collected down to 78 %, every 9 h",
            f"Node {SAWTOOTH_NODE}",
            start,
        ),
        label(
            "node-3-one-off",
            "benign",
            "one write of 12 GiB that stays",
            f"Node {ONE_OFF_NODE}",
            start + ONE_OFF_HOUR * 3600,
        ),
        label(
            "cache-plateau",
            "benign",
            "a cache fills to 82 % of its limit and stays there",
            f"Deployment data/{PLATEAU_APP}",
            start,
        ),
        label(
            "fraud-collector",
            "benign",
            "a garbage collector's sawtooth of 50 min between 45 % and 72 % of the limit",
            f"Deployment payments/{COLLECTED_APP}",
            start,
        ),
        label("daily-rhythm", "benign", "CPU and memory follow the day", "every node", start),
    ]


def read_recorded(tape: Path) -> Iterator[bytes]:
    """Yield the recorded lines, not the samples; a finished tape is thus a source too."""
    with zstandard.open(tape, "rb") as file:
        for line in io.BufferedReader(file, 1 << 20):
            if b'"resource":"summary"' not in line[:80]:
                yield line


def main() -> None:
    """Merge samples into the tape and labels into the truth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--period", type=float, default=120.0, help="seconds between samples")
    parser.add_argument("--factor", type=float, default=90.0, help="by which the tape is stretched")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()

    census = take_census(read_recorded(arguments.source), GRACE * arguments.factor)
    print(f"{len(census.residents)} pods on {len(census.nodes)} nodes", flush=True)
    usage = Usage(census, arguments.seed)
    extra = samples(census, usage, arguments.period, "demo")
    compressor = zstandard.ZstdCompressor(level=19)
    count = 0
    with zstandard.open(arguments.output, "wb", cctx=compressor) as out:
        for count, line in enumerate(merge(read_recorded(arguments.source), extra), 1):
            out.write(line)
            if count % 10_000 == 0:
                print(f"merged {count} lines", flush=True)
    labels = json.loads(arguments.truth.read_text())
    known = {label["id"] for label in labels}
    labels += [label for label in truths(census) if label["id"] not in known]
    labels.sort(key=lambda label: (label["start"], label["id"]))
    arguments.truth.write_text(json.dumps(labels, indent=1) + "\n")
    print(f"{count} lines, {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()

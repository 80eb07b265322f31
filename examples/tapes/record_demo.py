"""Records the demo: starts a real control plane, plays the story on it, and keeps every watch.

usage: record_demo.py --kubelite BINARY --cluster-scripts FOLDER [--minutes 32] OUTPUT_FOLDER

Writes OUTPUT_FOLDER/raw.tape.zst (as received), truth.raw.json (what was done when, in real time)
and meta.json (the factor and the end, for `stretch.py`). The control plane is stopped at the end,
also after a failure. It needs no network. Two recordings differ (a real scheduler decides, real
time passes); only what follows the recording is reproducible byte for byte.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from api import ApiServer, Document, Pace
from events import EventWriter
from kubelets import Fleet
from recorder import Recorder
from story import LENGTH, Story, documents
from workloads import NODES, WORKLOADS, set_up

SEED = 20261118
EVENT_TTL_HOURS = 1.0


def main() -> None:
    """Start the control plane, record, and stop it."""
    arguments = parse()
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    factor = round(LENGTH * 60 / arguments.minutes)
    with tempfile.TemporaryDirectory(prefix="forewarn-demo-") as run:
        scripts: Path = arguments.cluster_scripts
        start_cluster(scripts, arguments.kubelite, Path(run), arguments.port, factor)
        try:
            asyncio.run(record(folder, Path(run), arguments.kubelite, factor))
        finally:
            subprocess.run(["bash", scripts / "down.sh", run], check=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--kubelite", type=Path, required=True)
    parser.add_argument("--cluster-scripts", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=32.0, help="real length of the 48 hours")
    parser.add_argument("--port", type=int, default=17443, help="first of seven ports")
    return parser.parse_args()


def start_cluster(scripts: Path, binary: Path, run: Path, port: int, factor: float) -> None:
    """Start the control plane with its own clocks hastened: event TTL, node grace period."""
    print("starting the control plane", flush=True)
    ttl = max(10, round(EVENT_TTL_HOURS * 3600 / factor))
    settings = {
        "KUBELITE": str(binary),
        "PORT": str(port),
        "WITH_KWOK": "0",
        "EVENT_TTL": f"{ttl}s",
        "NODE_GRACE": "5s",
        "CONTROLLERS_EXTRA": "--node-monitor-period=1s --node-eviction-rate=10",
        "APISERVER_EXTRA": "--default-not-ready-toleration-seconds=5 "
        "--default-unreachable-toleration-seconds=5",
    }
    subprocess.run(
        ["bash", scripts / "up.sh", run], check=True, env={**os.environ, **settings}, stdout=2
    )


async def record(folder: Path, run: Path, binary: Path, factor: float) -> None:
    """Play the story on a running control plane and write the recording."""
    async with ApiServer(run / "kubeconfig") as api:
        events = EventWriter(api)
        kubectl = [str(binary), "kubectl", f"--kubeconfig={run / 'kubeconfig'}"]
        pace = Pace(factor, time.time())
        fleet = Fleet(
            api,
            events,
            pace,
            lambda pod, lives: story.behaviour(pod, lives),
            lambda *a: story.witness(*a),
            SEED,
        )
        story = Story(api, events, fleet, kubectl, SEED)
        await fleet.start(NODES)
        await schedulable(api)
        await set_up(api)
        await healthy(api)

        fleet.pace = Pace(factor, float(int(time.time()) + 1))
        await fleet.pace.until(0.0)
        recorder = Recorder(api, folder / "raw.tape.zst", "demo")
        await recorder.start()
        print(f"recording for {LENGTH * 3600 / factor:.0f} s", flush=True)
        progress = asyncio.create_task(report_progress(recorder, story))
        await story.run()
        end = time.time()
        progress.cancel()
        await recorder.stop()
        fleet.stop()

    write_json(folder / "truth.raw.json", documents(story.truths))
    meta = {
        "began": fleet.pace.began,
        "ended": end,
        "factor": factor,
        "lines": dict(recorder.lines),
        "troubles": dict(fleet.troubles),
    }
    write_json(folder / "meta.json", meta)
    print(json.dumps(meta, indent=1), flush=True)


async def schedulable(api: ApiServer) -> None:
    """Wait until new nodes have lost their taint, so that preferences can be met."""
    while True:
        nodes = (await api.call("GET", "/api/v1/nodes"))["items"]
        if not any(node["spec"].get("taints") for node in nodes):
            return
        await asyncio.sleep(0.2)


async def healthy(api: ApiServer) -> None:
    """Wait until every workload but the canary, which never is, has all of its pods ready."""
    waited = time.time()
    while True:
        lacking = []
        for workload in WORKLOADS:
            found = await api.call("GET", workload.path)
            status = found.get("status", {})
            wanted = workload.replicas or len(NODES)
            ready = status.get("readyReplicas", status.get("numberReady", 0))
            if ready < wanted and workload.name != "canary":
                lacking.append(f"{workload.name} {ready}/{wanted}")
        if not lacking:
            print(f"healthy after {time.time() - waited:.0f} s", flush=True)
            return
        if time.time() - waited > 120:
            sys.exit(f"not healthy after 120 s: {', '.join(lacking)}")
        await asyncio.sleep(1)


async def report_progress(recorder: Recorder, story: Story) -> None:
    """Print the counts of lines once a minute."""
    while True:
        await asyncio.sleep(60)
        counts = ", ".join(f"{name} {count}" for name, count in sorted(recorder.lines.items()))
        story.say(f"{sum(recorder.lines.values())} lines: {counts}")


def write_json(path: Path, document: Document | list[Document]) -> None:
    """Write one document."""
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

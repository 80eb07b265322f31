"""`forewarn run` on a real API server, with a real InfluxDB: what only a live cluster shows.

Nodes and pods are KWOK's, with kubelets that measure; forewarn has the account and the rights of
`deploy/kubernetes`; one workload is killed for its memory again and again. Held: every metric that
was promised of the process, and panels that a recording cannot fill. Leaves out values, which the
recording's tests know (`tests/dashboards`), and forecasts, which need hours.
"""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stream.clock import SystemClock
from tests.dashboards import demo_history
from tests.dashboards.demo_history import expand, filled, panels
from tests.forewarn.test_follow import ROOT, ask
from tests.forewarn.test_metric_names import PROMISED
from tests.ingest.control_plane import ControlPlane, running
from tests.ingest.test_real_cluster import WHERE, deployment, nodes
from tests.ingest.test_real_rights import measured
from tests.ingest.watching import until
from tests.stream.influx_server import InfluxServer

pytestmark = [pytest.mark.cluster, pytest.mark.influxdb, pytest.mark.slow]
BUCKET = "live"
NODES = 3
SECONDS = 420.0  # restarts are told on a grid of five minutes, our own figures once a minute
DRAWN = {
    "pipeline": (
        "InfluxDB",
        "Memory",
        "Records and conclusions",
        "Not read yet",
        "Watches: since the last byte",
        "Lists, and watches that broke",
        "Transactions that failed",
        "Series",
    ),
    "node": ("How full", "CPU, cores", "Memory", "Disk"),
    "workload": ("CPU, cores", "Replicas", "Restarts", "Findings and changes"),
    "restarts": ("Most restarts", "Why containers ended"),
    "fleet": ("Nodes", "Newest measurement"),
}


@pytest.fixture(scope="module")
def plane(kubelite: Path) -> Iterator[ControlPlane]:
    scripts = ROOT / "deploy" / "kubelite" / "cluster"
    for each in running(kubelite, scripts):
        items = {"kind": "List", "apiVersion": "v1", "items": nodes(scripts, NODES)}
        each.kubectl("create", "-f", "-", text=json.dumps(items))
        yield each


@asynccontextmanager
async def following(plane: ControlPlane, influx: InfluxServer, folder: Path) -> AsyncIterator[str]:
    """`forewarn run` beside them; yields the address of its metrics."""
    account = plane.account(ROOT, folder)
    document = {
        "cluster": "live",
        "store": {"path": str(folder / "store.db"), "synchronous": "normal"},
        "ingest": {
            "clusters": [{"name": "live", "kubeconfig": account.kubeconfig}],
            "kubelet": {
                "source": "summary",
                "interval": 10,
                "trust": {"ca_file": str(plane.folder / "pki" / "ca.crt")},
            },
        },
        "influxdb": {
            "url": influx.url,
            "bucket": influx.database(BUCKET),
            "token_env": "INFLUXDB_TOKEN",
            "org": "forewarn",
        },
        "console": {"port": 0},
        "probes": {"port": 0},
    }
    (folder / "forewarn.yaml").write_text(json.dumps(document))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "forewarn", "run", "-c", str(folder / "forewarn.yaml")),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"COLUMNS": "200", "INFLUXDB_TOKEN": influx.token},
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield line.split("metrics on ")[1].strip()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30.0):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_live_cluster_fills_the_panels_that_a_recording_cannot(
    plane: ControlPlane,
    kubelets: Path,
    influxdb_2: InfluxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo_history, "OF_BOARD", {})
    for name, value in {"cluster": "live", "node": "kwok-node-0", "workload": "crashing"}.items():
        monkeypatch.setitem(demo_history.VALUES, name, value)
    clock = SystemClock()
    began = clock.now()
    client = influxdb_2.client(BUCKET)
    missing = {(name, title) for name, titles in DRAWN.items() for title in titles}

    async def answered(name: str, panel: dict[str, Any]) -> bool:
        """Whether every query of a panel brings something."""
        for target in panel["targets"]:
            if "watch_restarts_total" in target["query"]:
                continue  # no watch breaks here
            query = expand(name, target["query"], began, clock.now(), "1m")
            if name != "workload":
                query = query.replace("/^crashing$/", "/.*/")
            found = (await client.query(query, BUCKET))["results"][0].get("series", [])
            if not filled(found):
                return False
        return True

    async def drawn() -> bool:
        for name in DRAWN:
            for panel in panels(name):
                if (name, panel["title"]) in missing and await answered(name, panel):
                    missing.discard((name, panel["title"]))
        return not missing

    async with plane.admin() as admin, measured(plane, kubelets):
        crashing = {"crash-after": "1s", "crash-reason": "OOMKilled", "backoff-base": "1"}
        await admin.call("POST", WHERE, deployment("web", 6))
        async with following(plane, influxdb_2, tmp_path) as probe:
            await until(lambda: ready(probe), within=60.0)
            await admin.call("POST", WHERE, deployment("crashing", 2, **crashing))
            _, said = await asyncio.to_thread(ask, f"{probe}/metrics")
            for name, where in PROMISED.items():
                if "run" in where.split():
                    assert f"# TYPE forewarn_{name} " in said, name
            try:
                await until(drawn, within=SECONDS)
            except AssertionError:
                pytest.fail(f"empty after {SECONDS:.0f} s: {sorted(missing)}")
    await client.aclose()


async def ready(probe: str) -> bool:
    status, _ = await asyncio.to_thread(ask, f"{probe}/readyz")
    return status == 200

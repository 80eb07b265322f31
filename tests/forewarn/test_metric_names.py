"""Every metric that was promised, and which process serves it: asked of the processes themselves.

Leaves out values (the tests of each collector) and what only Kafka has (`tests/kafka/test_lag.py`).
"""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.forewarn.test_follow import ROOT, ask
from tests.ingest.fake_apiserver import FakeApiServer

EVERY = "run ingest work alert sink"
STAGES = "run work"
SAID = "run alert"
HISTORY = "run sink"
# The list of metrics that the project set out with, in its order; each by the processes that serve
# it. `run` is all stages in one, the others are parts of it.
PROMISED = {
    "watch_last_activity_timestamp_seconds": "run ingest",
    "watch_restarts_total": "run ingest",
    "list_duration_seconds": "run ingest",
    "records_ingested_total": "run ingest",
    "records_processed_total": "run work alert",
    "records_late_total": "run ingest",
    "dlq_total": SAID,
    "processing_seconds": STAGES,
    "event_to_alert_seconds": SAID,
    "consumer_lag_records": EVERY,
    "txn_aborts_total": EVERY,
    "producer_fenced_total": STAGES,
    "rebalances_total": EVERY,
    "state_keys": STAGES,
    "influx_points_written_total": HISTORY,
    "influx_points_rejected_total": HISTORY,
    "influx_buffer_seconds": HISTORY,
    "alerts_total": SAID,
    "notifications_total": SAID,
    "notification_latency_seconds": SAID,
    "notification_queue_length": SAID,
    "forecast_runs_total": SAID,
    "forecast_mae_ratio": SAID,
    "forecast_coverage_ratio": SAID,
    "build_info": EVERY,
}
ON_KAFKA = {"lso_lag_seconds", "state_restore_progress_ratio"}
NEVER = {"config_last_reload_successful": "a configuration is read once: there is no reload"}


def document(command: str, folder: Path, server: FakeApiServer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "store": {"path": str(folder / "store.db"), "synchronous": "normal"},
        "probes": {"port": 0},
    }
    if command in ("run", "ingest"):
        config = server.kubeconfig(folder / "kubeconfig")
        found["ingest"] = {
            "clusters": [{"name": "prod", "kubeconfig": config}],
            "kubelet": {"source": "off"},
        }
    if command == "run":
        found["console"] = {"port": 0}
    if command in ("run", "sink"):
        found["influxdb"] = {"url": "http://127.0.0.1:9"}  # away: that shows as well
    return found


@pytest.mark.parametrize("command", EVERY.split())
async def test_a_process_serves_what_was_promised_of_it(command: str, tmp_path: Path) -> None:
    wanted = {name for name, where in PROMISED.items() if command in where.split()}
    async with FakeApiServer() as server:
        file = tmp_path / "forewarn.yaml"
        file.write_text(json.dumps(document(command, tmp_path, server)))
        words = [command, "influxdb"] if command == "sink" else [command]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "forewarn", *words, "-c", str(file)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"COLUMNS": "200"},
        )
        assert process.stdout is not None
        try:
            line = (await process.stdout.readline()).decode()
            probe = line.split("metrics on ")[1].strip()
            missing = wanted
            async with asyncio.timeout(20.0):
                while missing:
                    _, said = await asyncio.to_thread(ask, f"{probe}/metrics")
                    served = set(re.findall(r"^# TYPE forewarn_(\w+)", said, re.MULTILINE))
                    missing = wanted - served
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"not served: {sorted(missing)}")
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


def test_no_name_of_the_list_is_forgotten() -> None:
    assert len(PROMISED) + len(ON_KAFKA) + len(NEVER) == 28
    assert not PROMISED.keys() & (ON_KAFKA | NEVER.keys())

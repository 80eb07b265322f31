"""The demo tape's story against its truth: what was planted is found, what is harmless is not told.

`examples/tapes/demo.truth.json` was written by the recording's script, not by forewarn. One replay
serves all tests here. Leaves out how the tape was made (`tests/examples`) and hashes of one
machine's floats: what must be equal is compared between runs of this machine.
"""

import asyncio
import io
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from forewarn.config import Config
from forewarn.replay import replay
from stream.clock import SystemClock

ROOT = Path(__file__).resolve().parents[2]
TAPE = ROOT / "examples" / "tapes" / "demo.tape.zst"
HOUR = 3600.0

# What the truth calls benign and forewarn still names, and why that is right.
NAMED = {
    ("Node", "node-6"): "the seeds' fixed rule of 70 % holds for an image disk at 78-85 % too",
    ("Deployment", "canary"): "it never rolls out; said once, for information",
    ("Node", "node-5"): "it is not ready for minutes while it reboots, which is true",
}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    outcome = asyncio.run(replay(Config(), [TAPE], SystemClock(), Console(file=io.StringIO())))
    document: dict[str, Any] = msgspec.to_builtins(outcome)
    return document


@pytest.fixture(scope="module")
def planted() -> list[dict[str, Any]]:
    truth = json.loads(TAPE.with_name("demo.truth.json").read_text())
    return [label for label in truth if label["kind"] == "incident"]


def about(report: dict[str, Any], label: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the incidents about a label's object that were opened while it lasted."""
    kind, _, name = label["object"].partition(" ")
    namespace, _, name = name.rpartition("/")
    return [
        incident
        for incident in report["incidents"]
        if incident["object"] == {"kind": kind, "namespace": namespace, "name": name}
        and label["start"] <= incident["opened_at"] <= label["end"]
    ]


def test_every_planted_trouble_becomes_one_incident(
    report: dict[str, Any], planted: list[dict[str, Any]]
) -> None:
    assert len(planted) == 6
    found = {label["id"]: len(about(report, label)) for label in planted}
    assert set(found.values()) == {1}, found


def test_nothing_else_becomes_one_but_what_is_true_and_named_here(
    report: dict[str, Any], planted: list[dict[str, Any]]
) -> None:
    expected = {id(incident) for label in planted for incident in about(report, label)}
    others = [
        (incident["object"]["kind"], incident["object"]["name"])
        for incident in report["incidents"]
        if id(incident) not in expected
    ]
    assert set(others) <= set(NAMED), others


def test_a_cause_is_named_where_the_tape_shows_one(
    report: dict[str, Any], planted: list[dict[str, Any]]
) -> None:
    causes = {label["id"]: about(report, label)[0]["cause"] for label in planted}
    assert "v42 by argocd-controller" in causes["checkout-v42"]
    assert "scaled 1 → 4 by kubectl" in causes["batcher-quota"]
    assert "disk runs full" in causes["node-4-disk"]


def test_what_fills_is_said_hours_before(
    report: dict[str, Any], planted: list[dict[str, Any]]
) -> None:
    disk = next(label for label in planted if label["id"] == "node-4-disk")
    (incident,) = about(report, disk)
    assert disk["end"] - incident["opened_at"] > 20 * HOUR
    volume = next(label for label in planted if label["id"] == "postgres-0-volume")
    (incident,) = about(report, volume)
    assert incident["expected_at"] > volume["end"], "it is not full when the tape ends"
    scored = report["forecasts_scored"]
    assert scored["foreseen"] == scored["crossings"] >= 15


def test_two_days_of_a_cluster_take_few_messages(report: dict[str, Any]) -> None:
    events = report["records"]["events"]
    firing = [n for n in report["notifications"] if n["kind"] == "firing"]
    assert events > 25_000
    assert len(firing) <= 12
    assert len(report["notifications"]) <= 30


def test_every_message_belongs_to_an_incident_and_every_incident_counts_its_messages(
    report: dict[str, Any],
) -> None:
    counted = {incident["id"]: incident["notifications"] for incident in report["incidents"]}
    told: dict[str, int] = dict.fromkeys(counted, 0)
    for notification in report["notifications"]:
        told[notification["incident"]] += 1
    assert told == counted


def test_a_replay_of_it_that_is_killed_ends_with_the_same_hashes(
    report: dict[str, Any], tmp_path: Path
) -> None:
    rng = random.Random(11)
    store = tmp_path / "store.db"
    command = [sys.executable, "-m", "forewarn", "replay", str(TAPE), "--store", str(store)]
    kills = 0
    for _ in range(3):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if _commits(process, tmp_path / "store.db-wal", rng.randrange(4, 16)):
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 3, "a run ended before it was killed: the test has proved nothing"
    out = tmp_path / "report.json"
    subprocess.run(
        [*command, "--report", str(out)], cwd=ROOT, check=True, capture_output=True, timeout=300
    )
    resumed = json.loads(out.read_text())
    assert resumed["output_hash"] == report["output_hash"]
    assert resumed["state_hash"] == report["state_hash"]


def _commits(process: subprocess.Popen[bytes], log: Path, many: int) -> bool:
    """Wait until the store's log was written `many` times; False if the process ends before."""
    seen = 0
    for _ in range(many):
        while not (log.exists() and (written := log.stat().st_mtime_ns) != seen):
            try:
                process.wait(timeout=0.005)
                return False
            except subprocess.TimeoutExpired:
                continue
        seen = written
    return True

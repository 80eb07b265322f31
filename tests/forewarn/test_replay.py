"""`forewarn replay` from the command line, as a person runs it: real processes, real files.

Leaves out what the stages promise one by one (their own suites) and the demo tape's story
(`tests/golden`).
"""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import workloads

ROOT = Path(__file__).resolve().parents[2]

LINES = 6_000


def forewarn(*args: object, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "forewarn", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        check=False,
    )


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tapes") / "busy.tape"
    workloads.write_tape(path, LINES)
    return path


def report_of(tape: Path, folder: Path, *args: object) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    path = folder / "report.json"
    run = forewarn("replay", tape, "--report", path, *args)
    assert run.returncode == 0, run.stderr
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.fixture(scope="module")
def undisturbed(tape: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return report_of(tape, tmp_path_factory.mktemp("undisturbed"))


def test_the_report_has_every_part_that_it_promises(undisturbed: dict[str, Any]) -> None:
    assert set(undisturbed) == {
        "records",
        "findings",
        "incidents",
        "notifications",
        "suppressed",
        "forecasts_scored",
        "dead_letters",
        "state_hash",
        "output_hash",
    }
    assert sum(undisturbed["records"].values()) == LINES


def test_the_same_tape_gives_the_same_hashes(
    tape: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    again = report_of(tape, tmp_path)
    assert again["output_hash"] == undisturbed["output_hash"]
    assert again["state_hash"] == undisturbed["state_hash"]


def test_another_number_of_records_between_commits_gives_the_same_hashes(
    tape: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    paced = report_of(tape, tmp_path, "--speed", "600x")  # commits ten times a second
    assert paced["output_hash"] == undisturbed["output_hash"]
    assert paced["state_hash"] == undisturbed["state_hash"]


def test_a_replay_that_is_killed_again_and_again_ends_with_the_same_hashes(
    tape: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    rng = random.Random(7)
    store = tmp_path / "store.db"
    command = [sys.executable, "-m", "forewarn", "replay", str(tape), "--store", str(store)]
    kills = 0
    for _ in range(6):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=0.6 + 1.2 * rng.random())
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills, "every run ended before it was killed: the test has proved nothing"
    resumed = report_of(tape, tmp_path, "--store", store)
    assert resumed["output_hash"] == undisturbed["output_hash"]
    assert resumed["state_hash"] == undisturbed["state_hash"]


def test_a_finished_store_says_the_same_again_and_reads_nothing_twice(
    tape: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    store = tmp_path / "store.db"
    report_of(tape, tmp_path, "--store", store)
    again = report_of(tape, tmp_path, "--store", store)
    assert again["output_hash"] == undisturbed["output_hash"]


def test_broken_lines_are_counted_and_nothing_else_is_lost(
    tape: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    lines = tape.read_bytes().splitlines(keepends=True)
    broken = [
        b'{"at": 1760000000, "cluster": "bench", "resource": "pods"\n',
        b'{"at":1760000001,"cluster":"bench","resource":"teapots","type":"ADDED","object":{}}\n',
        b"\xff\xfe\n",
        b'{"at": "now"}\n',
    ]
    for place, line in zip((10, 500, 2500, 5000), broken, strict=True):
        lines.insert(place, line)
    path = tmp_path / "broken.tape"
    path.write_bytes(b"".join(lines))
    outcome = report_of(path, tmp_path)
    assert outcome["dead_letters"] == len(broken)
    assert outcome["findings"] == undisturbed["findings"]
    assert outcome["records"] == undisturbed["records"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("replay", "no-such.tape"), "no-such.tape"),
        (("replay", "tests"), "tests"),
        (("replay", "README.md", "--speed", "fast"), "speed 'fast'"),
        (("replay", "README.md", "--speed", "-1x"), "speed '-1x'"),
        (("replay", "README.md", "--report", "nowhere/report.json"), "make it first"),
        (("replay", "README.md", "--config", "no-such.yaml"), "no-such.yaml"),
        (("check-config", "no-such.yaml"), "no-such.yaml"),
        (("demo", "--tape", "no-such.tape"), "no-such.tape"),
    ],
)
def test_a_wrong_command_says_what_is_wrong_and_exits_with_2(
    args: tuple[str, ...], said: str
) -> None:
    run = forewarn(*args)
    assert run.returncode == 2, run.stderr
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_a_store_of_another_tape_is_refused(tape: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    report_of(tape, tmp_path, "--store", store)
    other = tmp_path / "other.tape"
    other.write_bytes(b"".join(tape.read_bytes().splitlines(keepends=True)[1:]))
    run = forewarn("replay", other, "--store", store)
    assert run.returncode == 2
    assert "another tape" in run.stderr


def test_a_store_with_other_partitions_is_refused(tape: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    report_of(tape, tmp_path, "--store", store)
    config = tmp_path / "config.yaml"
    config.write_text("partitions: 3\n")
    run = forewarn("replay", tape, "--store", store, "--config", config)
    assert run.returncode == 1
    assert "partitions" in run.stderr
    assert "Traceback" not in run.stderr


def test_help_names_every_command_with_an_example() -> None:
    for command in ("replay", "demo", "check-config"):
        run = forewarn(command, "--help")
        assert run.returncode == 0
        assert f"Example: forewarn {command}" in " ".join(run.stdout.split())

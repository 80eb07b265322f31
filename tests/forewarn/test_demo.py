"""`forewarn demo` as a person runs it: a process, its page, its end."""

import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import workloads

ROOT = Path(__file__).resolve().parents[2]
FIRST_INCIDENT = 30.0  # seconds from the command, on a warm machine


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "forewarn", "demo", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_the_first_incident_is_seen_within_half_a_minute_and_ctrl_c_ends_it(
    demo: subprocess.Popen[str],
) -> None:
    began = time.monotonic()
    assert demo.stdout is not None
    first = demo.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+", first)
    assert address, first
    with urllib.request.urlopen(address[0], timeout=10) as page:
        assert b"forewarn" in page.read()
    while "●" not in demo.stdout.readline():
        assert demo.poll() is None
    assert time.monotonic() - began < FIRST_INCIDENT
    demo.send_signal(signal.SIGINT)
    said, complaints = demo.communicate(timeout=30)
    assert demo.returncode == 0, complaints
    assert "facts" in said, "it sums up what it saw so far"
    assert "Traceback" not in complaints


def test_exit_ends_with_the_recording_and_says_what_came_of_it(tmp_path: Path) -> None:
    tape = tmp_path / "busy.tape"
    workloads.write_tape(tape, 2_000)
    run = demo_of("--exit", "--speed", "max", "--tape", tape)
    assert run.returncode == 0, run.stderr
    assert "2,000 facts" in run.stdout


def test_a_file_that_is_no_recording_is_refused_in_one_line(tmp_path: Path) -> None:
    tape = tmp_path / "letter.tape"
    tape.write_text("dear sir or madam")
    run = demo_of("--exit", "--tape", tape)
    assert run.returncode == 2
    assert "letter.tape holds no fact" in run.stderr
    assert "Traceback" not in run.stderr


def demo_of(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "forewarn", "demo", "--port", "0", *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

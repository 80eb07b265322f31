"""What `pip install` of a wheel gives: the same program, its pages and its recording."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("alerting", "forewarn", "ingest", "models", "stream")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


def test_a_wheel_carries_every_file_of_the_packages(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert len(tracked) > 100
    assert set(tracked) <= set(zipfile.ZipFile(wheel).namelist())


def test_the_demo_of_a_wheel_plays_its_own_recording(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    says = "from forewarn import demo; print(demo.TAPE, demo.TAPE.stat().st_size)"
    found = subprocess.run(
        [sys.executable, "-c", says],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.split()
    tape = ROOT / "examples" / "tapes" / "demo.tape.zst"
    assert found == [str(tmp_path / "forewarn" / "demo.tape.zst"), str(tape.stat().st_size)]

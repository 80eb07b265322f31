"""The shape of the project, held: names, sizes, prose, packaging.

Leaves out what ruff, mypy and import-linter hold already (`make check`).
"""

import ast
import subprocess
from pathlib import Path

import pytest

from forewarn.packages import OURS, clashes, guard

ROOT = Path(__file__).resolve().parent.parent
# Files over 500 lines need a spoken reason here.
LONG_FILES = {
    "tests/conformance/test_buses.py": "one list of what a bus promises, read as a whole",
    "tests/conformance/test_channels.py": "one list of what a channel promises, read as a whole",
    "tests/stream/test_runtime.py": "the loop's story, whose doubles every chapter uses",
    "tests/forewarn/synthetic_feed.py": "a day and a half in order; a cut would part the story",
}


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for line in listed.stdout.split() if (path := ROOT / line).exists()]


def test_no_package_of_ours_belongs_to_somebody_else() -> None:
    guard()


def test_a_foreign_owner_of_a_package_is_named() -> None:
    assert clashes({"models": ["forewarn", "other"], "numpy": ["numpy"]}) == {"models": ["other"]}


def test_tests_and_benchmarks_hold_no_init_file_that_would_shadow_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert not list((ROOT / "benchmarks").rglob("__init__.py"))


def test_top_level_is_as_the_card_says() -> None:
    wanted = {"stream", "models", "ingest", "alerting", "benchmarks", "tests", "forewarn"}
    assert wanted <= {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert (ROOT / "pyproject.toml").is_file()


@pytest.mark.parametrize("package", OURS)
def test_every_module_opens_with_prose(package: str) -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in tracked(f"{package}/*.py")
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_no_file_is_over_500_lines_without_a_spoken_reason() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py")
        if (lines := path.read_text().count("\n")) > 500
    }
    assert set(long) <= set(LONG_FILES), long


def test_there_is_no_utils_and_no_manager() -> None:
    banned = {"utils", "util", "common", "helpers", "misc", "types"}
    for package in OURS:
        for path in tracked(f"{package}/*.py"):
            assert path.stem not in banned, path
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    assert not node.name.endswith(("Manager", "Handler", "Helper", "Util"))


def test_decisions_are_numbered_one_after_the_other() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))

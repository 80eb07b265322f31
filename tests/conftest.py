"""What every test may use, and the rule for tool-chains that are not there.

A test that needs a component (a control plane, a browser) asks for it by a fixture. Where it is
missing the test skips and says which command builds it; with ``FOREWARN_REQUIRE=all`` (CI) it fails
instead, so nothing is skipped silently where it matters.
"""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def missing(component: str, how: str) -> None:
    """Skip for want of `component`, or fail where CI requires it."""
    reason = f"{component} is not there: {how}"
    if os.environ.get("FOREWARN_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def kubelite() -> Path:
    """The control plane's binary, as `make components` has cached it."""
    source = ROOT / "deploy" / "kubelite"
    total = hashlib.sha256()
    for path in [source / "go.mod", source / "go.sum", *sorted((source / "kubelite").glob("*.go"))]:
        total.update(path.read_bytes())
    cache = Path(os.environ.get("FOREWARN_CACHE", Path.home() / ".cache" / "forewarn"))
    binary = cache / f"kubelite-{total.hexdigest()[:16]}" / "kubelite"
    if not binary.exists():
        missing("kubelite (a Kubernetes control plane)", "run `make components`")
    return binary


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    path = shutil.which("chromium")
    if path is None:
        missing("Chromium", "run `make components`")
    assert path is not None
    return path

"""What every test may use, and the rule for tool-chains that are not there.

A test that needs a component (a control plane, a browser) asks for it by a fixture. Where it is
missing the test skips and says which command builds it; with ``FOREWARN_REQUIRE=all`` (CI) it fails
instead, so nothing is skipped silently where it matters.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka_broker import Broker, cached
from tests.stream import influx_server
from tests.stream.influx_server import InfluxServer

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
def kubelets() -> Path:
    """The binary that measures KWOK's nodes, as `make components` has cached it."""
    source = ROOT / "deploy" / "kubelets"
    total = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        total.update((source / name).read_bytes())
    cache = Path(os.environ.get("FOREWARN_CACHE", Path.home() / ".cache" / "forewarn"))
    binary = cache / f"kubelets-{total.hexdigest()[:16]}" / "kubelets"
    if not binary.exists():
        missing("kubelets (on Kubernetes' own types)", "run `make components`")
    return binary


@pytest.fixture(scope="session")
def kafka_home() -> Path:
    """Jars, template and class archive of a broker, as `make components` has cached them."""
    if shutil.which("java") is None:
        missing("Java", "run `make components`")
    home = cached()
    if not (home / "ready").exists():
        missing("Kafka (a broker)", "run `make components`")
    return home


@pytest.fixture(scope="session")
def kafka(kafka_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that all tests of a session share; whoever kills brokers starts one of its own."""
    broker = Broker(kafka_home, tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    path = shutil.which("chromium")
    if path is None:
        missing("Chromium", "run `make components`")
    assert path is not None
    return path


def _influxdb(major: int, folder: Path) -> Iterator[InfluxServer]:
    path = influx_server.binary(major)
    if path is None:
        missing(f"InfluxDB {influx_server.VERSIONS[major]}", "run `make components`")
    assert path is not None
    server = InfluxServer(major, path, folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def influxdb_1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """A running InfluxDB 1.8, shared: take a measurement or a database of your own."""
    yield from _influxdb(1, tmp_path_factory.mktemp("influxdb1"))


@pytest.fixture(scope="session")
def influxdb_2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """A running InfluxDB 2.7, shared likewise."""
    yield from _influxdb(2, tmp_path_factory.mktemp("influxdb2"))


@pytest.fixture(params=["influxdb_1", "influxdb_2"])
def influxdb(request: pytest.FixtureRequest) -> InfluxServer:
    """Each real InfluxDB in turn."""
    server: InfluxServer = request.getfixturevalue(request.param)
    return server

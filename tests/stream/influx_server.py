"""Real InfluxDB servers for tests: start, stop, start again on the same data and port.

`make components` builds them (`deploy/influxdb/ensure.sh`). Leaves out what they are asked
(`stream.sinks.influxdb`).
"""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from stream.sinks.influxdb import InfluxDB
from stream.testing import ManualClock

ENSURE = Path(__file__).resolve().parent.parent.parent / "deploy" / "influxdb" / "ensure.sh"
VERSIONS = {1: "1.8.10", 2: "2.7.12"}
ORG = "forewarn"
BUCKET = "forewarn"  # 1.8: the database; 2.x: the bucket that InfluxQL maps to that name
DATABASE = "forewarn"
_READY = 30.0  # seconds

CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "{data}/meta"
[data]
  dir = "{data}/data"
  wal-dir = "{data}/wal"
  index-version = "tsi1"
  query-log-enabled = false
  cache-snapshot-write-cold-duration = "{cold}"
  compact-full-write-cold-duration = "{cold}"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  flux-enabled = false
  log-enabled = false
  max-body-size = 0
  auth-enabled = {auth}
[continuous_queries]
  run-interval = "1s"
[logging]
  level = "error"
"""


def binary(major: int) -> Path | None:
    """The server's binary, as the cache has it."""
    found = subprocess.run(
        ["bash", str(ENSURE), "--where", str(major)], capture_output=True, text=True, check=False
    )
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class InfluxServer:
    """One server process and its data."""

    def __init__(
        self, major: int, path: Path, data: Path, auth: bool = False, cold: str = "10m"
    ) -> None:
        self.major = major
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = "admin:adminadmin" if major == 1 else "canary-token"
        self.auth = auth
        self.cold = cold  # how long a shard must be idle to be written out and compacted
        self.data = data
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        self._is_new = True

    def database(self, name: str) -> str:
        """Make a database (2.x: a bucket) and return its name."""
        if self.major == 1:
            self._statement(f"CREATE DATABASE {name}")
        else:
            orgs = json.loads(self.ask("GET", "/api/v2/orgs"))["orgs"]
            self.ask("POST", "/api/v2/buckets", {"name": name, "orgID": orgs[0]["id"]})
        return name

    def start(self) -> None:
        """Start, and return when it answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        log = (self.data / "log").open("ab")
        command = [str(self._path)]
        if self.major == 1:
            config = self.data / "influxdb.conf"
            auth = str(self.auth).lower()
            config.write_text(
                CONFIG.format(data=self.data, port=self.port, auth=auth, cold=self.cold)
            )
            command += ["run", "-config", str(config)]
        else:
            command += ["--reporting-disabled", "--ui-disabled", "--store", "disk"]
            command += ["--bolt-path", str(self.data / "bolt")]
            command += ["--sqlite-path", str(self.data / "sqlite")]
            command += ["--engine-path", str(self.data / "engine")]
            command += ["--http-bind-address", f"127.0.0.1:{self.port}"]
            command += ["--storage-cache-snapshot-write-cold-duration", self.cold]
            command += ["--storage-compact-full-write-cold-duration", self.cold]
        self._process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "HOME": str(self.data)}
        )
        log.close()
        try:
            self._wait()
            if self._is_new:
                self._set_up()
        except BaseException:
            self.stop(kill=True)
            raise
        self._is_new = False

    def stop(self, kill: bool = False) -> None:
        """End it, politely or not."""
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(30)
            self._process = None

    def client(self, bucket: str = BUCKET, **options: object) -> InfluxDB:
        """A client of it, as the product makes one."""
        given = {"org": ORG, "token": lambda: self.token, "compress": False, **options}
        clock = given.pop("clock", None) or ManualClock(1_760_000_000.0)
        return InfluxDB(self.url, bucket=bucket, clock=clock, **given)  # type: ignore[arg-type]

    def cpu_seconds(self) -> float:
        """CPU time of the server so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """A plain request, past all code under test."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            got: bytes = answer.read()
            return got

    def _statement(self, query: str) -> None:
        self.ask("POST", "/query?" + urllib.parse.urlencode({"q": query}))

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.05)  # noqa: TID251 (a real process starts in real time)
        raise RuntimeError((self.data / "log").read_text()[-2000:])

    def _set_up(self) -> None:
        if self.major == 1:
            if self.auth:
                self._statement("CREATE USER admin WITH PASSWORD 'adminadmin' WITH ALL PRIVILEGES")
            self._statement(f"CREATE DATABASE {DATABASE}")
            return
        self.ask(
            "POST",
            "/api/v2/setup",
            {
                "username": "admin",
                "password": "adminadmin",
                "org": ORG,
                "bucket": BUCKET,
                "retentionPeriodSeconds": 0,
                "token": self.token,
            },
        )

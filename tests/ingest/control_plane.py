"""A real control plane for a test module: started on free ports, stopped and removed afterwards."""

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ingest.cluster import Cluster, ClusterSettings
from stream.clock import SystemClock
from tests.ingest.watching import eventually, until

Json = dict[str, Any]


class ControlPlane:
    """A running one, and what a test does to it."""

    def __init__(self, folder: Path, port: int, binary: Path) -> None:
        self.folder = folder
        self.port = port
        self.binary = binary
        self.kubeconfig = str(folder / "kubeconfig")
        self.started: list[subprocess.Popen[bytes]] = []  # by `apiserver_away`

    # ---- as cluster-admin -------------------------------------------------------------------

    @asynccontextmanager
    async def admin(self) -> Any:
        """A connection with every right, from `ingest.cluster` itself."""
        cluster = await Cluster.connect(
            ClusterSettings("admin", kubeconfig=self.kubeconfig), SystemClock()
        )
        try:
            yield Admin(cluster)
        finally:
            await cluster.aclose()

    def kubectl(self, *words: str, text: str = "") -> str:
        done = subprocess.run(
            [self.binary, "kubectl", f"--kubeconfig={self.kubeconfig}", *words],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def account(self, root: Path, folder: Path) -> ClusterSettings:
        """Apply the roles of `deploy/kubernetes`; return the way in with their account's token."""
        self.namespace("forewarn")
        for name in ("rbac.yaml", "rbac-logs.yaml", "rbac-also.yaml"):
            self.kubectl("apply", "-f", str(root / "deploy" / "kubernetes" / name))
        return self.as_forewarn(folder)

    def namespace(self, name: str) -> None:
        """Make a namespace, unless it is there."""
        content = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.kubectl("apply", "-f", "-", text=json.dumps(content))

    def as_forewarn(self, folder: Path) -> ClusterSettings:
        """Return the way in with a token of the account, whatever its rights are."""
        token = self.kubectl("-n", "forewarn", "create", "token", "forewarn").strip()
        server = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority": str(self.folder / "pki" / "ca.crt"),
        }
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "real", "cluster": server}],
            "users": [{"name": "us", "user": {"token": token}}],
            "contexts": [{"name": "us", "context": {"cluster": "real", "user": "us"}}],
            "current-context": "us",
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return ClusterSettings("real", kubeconfig=str(path))

    @asynccontextmanager
    async def kubelets(self, binary: Path) -> AsyncIterator[dict[str, int]]:
        """Run kubelets that measure; yields the port of each node's."""
        pki = self.folder / "pki"
        process = await asyncio.create_subprocess_exec(
            binary,
            f"-apiserver=https://127.0.0.1:{self.port}",
            f"-ca={pki / 'ca.crt'}",
            f"-cert={pki / 'admin.crt'}",
            f"-key={pki / 'admin.key'}",
            f"-serving-cert={pki / 'kubelet.crt'}",
            f"-serving-key={pki / 'kubelet.key'}",
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        ports: dict[str, int] = {}
        try:
            while (line := (await process.stdout.readline()).decode().split()) != ["ready"]:
                ports[line[0]] = int(line[1])
            yield ports
        finally:
            process.kill()
            await process.wait()

    # ---- faults -----------------------------------------------------------------------------

    @asynccontextmanager
    async def apiserver_away(self) -> AsyncIterator[None]:
        """Kill the API server with SIGKILL; start it anew, as it was, when the block ends."""
        pid, command = self._apiserver()
        os.kill(pid, signal.SIGKILL)
        # Its first thread is gone before the last one gives the port back.
        await eventually(lambda: _gone(pid) and _is_free(self.port), within=30.0)
        yield
        self._start_again(pid, command)
        async with self.admin() as admin:
            try:
                await until(admin.ready, within=90.0)
            except AssertionError:
                raise AssertionError(f"the API server does not return: {self._log()}") from None

    async def compact(self) -> None:
        """Let etcd forget all that was before now."""
        await self.etcd("put", {"key": encoded("/moved"), "value": ""})
        await self.etcd("compaction", {"revision": await self.revision()})

    def pid(self, component: str) -> int:
        """Of a component, as `up.sh` names it."""
        lines = Path(self.folder, "pids").read_text().splitlines()
        (pid,) = [int(line.split()[0]) for line in lines if line.endswith(f" {component}")]
        return pid

    def _apiserver(self) -> tuple[int, list[bytes]]:
        pid = self.pid("kube-apiserver")
        return pid, Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]

    def _log(self) -> str:
        return Path(self.folder, "log", "kube-apiserver-again.log").read_text()[-2000:]

    def _start_again(self, pid: int, command: list[bytes]) -> None:
        with Path(self.folder, "log", "kube-apiserver-again.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                executable=self.binary,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        pids = Path(self.folder, "pids")
        was, now = f"{pid} kube-apiserver", f"{process.pid} kube-apiserver"
        pids.write_text(pids.read_text().replace(was, now))

    # ---- etcd, which knows the truth --------------------------------------------------------

    async def etcd(self, call: str, body: Json) -> Json:
        url = f"http://127.0.0.1:{self.port + 1}/v3/kv/{call}"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
            answer: Json = await reply.json(content_type=None)
            return answer

    async def revision(self) -> int:
        """Of all that is in etcd."""
        return int((await self.etcd("range", {"key": encoded("/moved")}))["header"]["revision"])

    async def history(self, prefix: str, since: int, until: int) -> list[tuple[str, int]]:
        """Every change under `prefix` behind revision `since` up to `until`: key and revision."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        request = {
            "key": encoded(prefix),
            "range_end": encoded(end),
            "start_revision": since + 1,
            "progress_notify": False,
        }
        url = f"http://127.0.0.1:{self.port + 1}/v3/watch"
        changes: list[tuple[str, int]] = []
        async with (
            aiohttp.ClientSession(read_bufsize=1 << 26) as session,
            session.post(url, json={"create_request": request}) as reply,
        ):
            seen = 0
            while seen < until:
                try:
                    async with asyncio.timeout(2.0):  # silent once all history was told
                        line = await reply.content.readline()
                except TimeoutError:
                    break
                result = json.loads(line)["result"]
                for event in result.get("events", ()):
                    key = base64.b64decode(event["kv"]["key"]).decode()
                    seen = int(event["kv"]["mod_revision"])
                    if seen <= until:
                        changes.append((key, seen))
        return changes


class Admin:
    """The few calls that tests make."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    async def call(self, method: str, path: str, body: Json | None = None) -> Json:
        async with self.cluster.request(
            method, path, verb=method, resource=path, body=body
        ) as reply:
            answer: Json = json.loads(await reply.body(64 << 20, 30.0))
            return answer

    async def ready(self) -> bool:
        try:
            await self.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        except Exception:
            return False
        return True

    async def state(self, path: str) -> dict[str, str]:
        """uid → resourceVersion, from a consistent list."""
        items = (await self.call("GET", path)).get("items") or []
        return {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in items}


def encoded(key: str) -> str:
    """As etcd's JSON gateway wants keys."""
    return base64.b64encode(key.encode()).decode()


def _gone(pid: int) -> bool:
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def _is_free(port: int) -> bool:
    """Whether a server could listen there, as Go's do: beside what is left of connections."""
    with socket.socket() as each:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            each.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> int:
    """The first of `count` consecutive ports that nobody listens on."""
    for first in range(21000 + os.getpid() % 1000 * 10, 60000, count):
        sockets = []
        try:
            for port in range(first, first + count):
                each = socket.socket()
                sockets.append(each)
                each.bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return first
        finally:
            for each in sockets:
                each.close()
    raise AssertionError("no free ports")


def running(binary: Path, scripts: Path, **environment: str) -> Iterator[ControlPlane]:
    """Start one; the generator's end stops it."""
    if shutil.which("openssl") is None or shutil.which("curl") is None:
        pytest.skip("openssl and curl are needed to start a control plane")
    folder = Path(tempfile.mkdtemp(prefix="forewarn-cluster-"))
    shm = Path("/dev/shm")
    etcd = Path(tempfile.mkdtemp(prefix="forewarn-etcd-", dir=shm if shm.is_dir() else None))
    port = free_ports(7)
    plane = ControlPlane(folder, port, binary)
    settings = {**os.environ, "KUBELITE": str(binary), "PORT": str(port), "ETCD_DIR": str(etcd)}
    try:
        subprocess.run(
            ["bash", str(scripts / "up.sh"), str(folder)],
            env=settings | environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        yield plane
    finally:
        subprocess.run(["bash", str(scripts / "down.sh"), str(folder)], check=False)
        for process in plane.started:
            process.wait(10.0)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(etcd, ignore_errors=True)

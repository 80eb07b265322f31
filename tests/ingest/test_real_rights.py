"""As the ServiceAccount of `deploy/kubernetes`, with the API server's audit as the witness.

The manifests are applied as they are, the token is the account's own, and kubelets check it as real
ones do. What the account has asked is read from the audit log; who scaled a Deployment comes back
through the audit webhook.
"""

import asyncio
import json
import random
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from forewarn.audit import audit_app
from forewarn.config import Config
from forewarn.follow import Follower
from forewarn.serving import serving
from ingest.audit import AuditSettings
from ingest.cluster import Cluster, ClusterSettings, Trust
from ingest.facts import Fact
from ingest.kubelet import KubeletSettings
from ingest.lease import Lease, LeaseSettings
from ingest.live import Live, watching
from ingest.logs import LogSettings
from ingest.normalise import Normaliser
from ingest.reflect import ReflectSettings
from ingest.resources import Also
from ingest.rights import rights
from ingest.scope import ScopeSettings
from ingest.settings import IngestSettings
from stream.clock import SystemClock
from stream.records import AnyInput, DeploymentChange, NodeMetricsRecord, PodRecord
from tests.ingest.control_plane import Admin, ControlPlane, running
from tests.ingest.fake_kubelet import Authority, authority
from tests.ingest.test_real_cluster import WHERE, deployment, is_rolled_out
from tests.ingest.watching import eventually, until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ACCOUNT = "system:serviceaccount:forewarn:forewarn"
NODES = 3


@pytest.fixture(scope="module")
def webhook() -> int:
    """The port on which the API server will look for us."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def plane(
    kubelite: Path,
    root: Path,
    webhook: int,
    tls: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("audit")
    server = {
        "server": f"https://127.0.0.1:{webhook}/audit/real",
        "certificate-authority": tls.ca,
    }
    target = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "us", "cluster": server}],
        "users": [{"name": "it", "user": {"token": "canary-token"}}],
        "contexts": [{"name": "it", "context": {"cluster": "us", "user": "it"}}],
        "current-context": "it",
    }
    (folder / "webhook").write_text(json.dumps(target))
    policy = yaml.safe_load((root / "deploy" / "kubernetes" / "audit-policy.yaml").read_text())
    policy["rules"].insert(0, {"level": "Metadata", "users": [ACCOUNT]})
    (folder / "policy").write_text(json.dumps(policy))
    flags = {
        "audit-policy-file": folder / "policy",
        "audit-log-path": folder / "log",
        "audit-webhook-config-file": folder / "webhook",
        "audit-webhook-batch-max-wait": "1s",
    }
    extra = " ".join(f"--{name}={value}" for name, value in flags.items())
    scripts = root / "deploy" / "kubelite" / "cluster"
    for each in running(kubelite, scripts, APISERVER_EXTRA=extra):
        each.audit_log = folder / "log"  # type: ignore[attr-defined]
        nodes = subprocess.run(
            ["python3", str(scripts / "nodes.py"), str(NODES)],
            capture_output=True,
            text=True,
            check=True,
        )
        each.kubectl("create", "-f", "-", text=nodes.stdout)
        yield each


@asynccontextmanager
async def measured(plane: ControlPlane, binary: Path) -> AsyncIterator[None]:
    """Give every node a kubelet that measures; the API server's own requests go there too."""
    async with plane.kubelets(binary) as ports:
        for name, port in ports.items():
            patch = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}}
            words = ("node", name, "--subresource=status", "--type=merge", "-p", json.dumps(patch))
            await asyncio.to_thread(plane.kubectl, "patch", *words)
        yield


class Listener:
    """Takes live facts and makes records of them."""

    def __init__(self) -> None:
        self.records: list[AnyInput] = []
        self.normaliser = Normaliser()

    async def until(self, live: Live, holds: Callable[[AnyInput], Any]) -> AnyInput:
        """Listen until a record comes of which this holds; it may have come already."""
        async with asyncio.timeout(60.0):
            while True:
                for record in self.records:
                    if holds(record):
                        return record
                for fact in await live.facts():
                    self.hear(fact)

    def hear(self, fact: Fact) -> None:
        self.records += self.normaliser.feed(fact)


async def test_the_account_sees_everything_with_exactly_the_rights_that_it_is_given(
    plane: ControlPlane, kubelets: Path, root: Path, tmp_path: Path
) -> None:
    cluster = plane.account(root, tmp_path)
    trust = Trust(ca_file=str(plane.folder / "pki" / "ca.crt"))
    crashing = {"crash-after": "1s", "crash-reason": "Error", "backoff-base": "1"}
    clock = SystemClock()
    async with plane.admin() as admin:
        await admin.call("POST", WHERE, deployment("web", 6))
        await admin.call("POST", WHERE, deployment("crashing", 1, **crashing))
        await until(lambda: is_rolled_out(admin, "web"), within=60.0)
        heard = Listener()
        first = IngestSettings(
            (cluster,),
            kubelet=KubeletSettings(source="off"),
            logs=LogSettings(tail=True),
            also=get_args(Also),
        )
        async with watching(first, clock, chance=random.Random(5)) as live:
            words = await heard.until(live, lambda r: isinstance(r, PodRecord) and r.log_tail)
        assert isinstance(words, PodRecord)
        assert "panic: the container before this one died" in words.log_tail
        second = IngestSettings(
            (cluster,),
            kubelet=KubeletSettings(source="summary", trust=trust, interval=2.0),
            watch=ReflectSettings(streaming=False),
            also=first.also,
        )
        async with measured(plane, kubelets), watching(second, clock) as live:
            for number in range(NODES):
                name = f"kwok-node-{number}"
                sample = await heard.until(
                    live, lambda r, n=name: isinstance(r, NodeMetricsRecord) and r.node == n
                )
                assert isinstance(sample, NodeMetricsRecord)
                assert sample.source == "summary"
                assert sample.filesystem is not None
                assert sample.filesystem.capacity == 100 * 2**30
                assert sample.pids_max == 4194304
            await heard.until(
                live,
                lambda r: (
                    isinstance(r, NodeMetricsRecord)
                    and any(each.workload.name == "web" for each in r.containers)
                ),
            )
            sources = [each for each in live.statuses if each.required]
            await eventually(lambda: all(each.phase == "watching" for each in sources), 30.0)
        await _elect(cluster)
        await until(lambda: _has_logged(plane, "update"), within=20.0)
    settings = IngestSettings(
        kubelet=second.kubelet,
        logs=first.logs,
        lease=LeaseSettings(elect=True),
        also=first.also,
    )
    granted = {(each.verb, each.resource) for each in rights(settings)}
    used, refused = _asked(plane)
    assert not refused
    assert used == granted - {("get", "nodes/stats")}  # the kubelets have asked for that one
    print(f"\nverbs used, as audited: {len(used)} of {len(granted) - 1} granted")


async def _elect(where: ClusterSettings) -> None:
    cluster = await Cluster.connect(where, SystemClock())
    try:
        for _ in range(2):  # made, then renewed
            lease = Lease(cluster, SystemClock(), "me", LeaseSettings(elect=True))

            async def work() -> None:
                """End at once."""

            await lease.lead(work)
    finally:
        await cluster.aclose()


def _asked(plane: ControlPlane) -> tuple[set[tuple[str, str]], list[str]]:
    """Return what the account has asked of the API server, and what was refused."""
    used, refused = set(), []
    for line in plane.audit_log.read_text().splitlines():  # type: ignore[attr-defined]
        event = json.loads(line)
        if event["user"]["username"] != ACCOUNT:
            continue
        ref = event["objectRef"]
        name = "/".join(filter(None, (ref["resource"], ref.get("subresource"))))
        used.add((event["verb"], name))
        if event.get("responseStatus", {}).get("code") in (401, 403):
            refused.append(line)
    return used, refused


async def _has_logged(plane: ControlPlane, verb: str) -> bool:
    return any(each == verb for each, _ in _asked(plane)[0])


async def test_who_scaled_comes_back_through_the_audit_webhook(
    plane: ControlPlane, webhook: int, tls: Authority, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("canary-token")
    settings = IngestSettings(
        (plane.account(root, tmp_path),), kubelet=KubeletSettings(source="off")
    )
    clock = SystemClock()
    follower = Follower(Config(cluster="real", ingest=settings), clock)
    audit = AuditSettings(listen=True, token_file=str(tmp_path / "token"))
    app = audit_app(follower, audit, ScopeSettings(), clock)
    heard = Listener()
    async with (
        plane.admin() as admin,
        serving(app, "127.0.0.1", webhook, ssl_certfile=tls.certificate, ssl_keyfile=tls.key),
        watching(settings, clock) as follower.live,
    ):
        await _exists(admin, "signed")
        live = follower.live

        def scaled(record: AnyInput) -> bool:
            return (
                isinstance(record, DeploymentChange)
                and _is_signed(record)
                and any(each.path == "/spec/replicas" for each in record.operations)
                and bool(record.user)
            )

        await heard.until(live, lambda r: isinstance(r, DeploymentChange) and _is_signed(r))
        await asyncio.to_thread(
            plane.kubectl,
            "scale",
            "deployment",
            "signed",
            "--replicas=3",
            "--as=alice",
            "--as-group=system:masters",
        )
        change = await heard.until(live, scaled)
        assert isinstance(change, DeploymentChange)
        assert change.user == "admin as alice"
        assert change.manager == "kubectl"


def _is_signed(change: DeploymentChange) -> bool:
    return change.workload.name == "signed"


async def _exists(admin: Admin, name: str) -> None:
    await admin.call("POST", WHERE, deployment(name, 1))
    await until(lambda: is_rolled_out(admin, name), within=60.0)

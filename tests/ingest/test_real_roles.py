"""An account that holds only a Role, and the doctor with real accounts, on a real API server.

What the Role of `deploy/kubernetes` permits is all that is asked for; what the doctor says of
rights and samples is what a run then meets. Leaves out the ClusterRole (`test_real_rights.py`).
"""

import asyncio
import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import pytest

from forewarn.config import Config, StoreConfig
from forewarn.doctor import Symptom, Verdict, examine
from ingest.cluster import ClusterSettings, Trust
from ingest.kubelet import NO_DISK, KubeletSettings
from ingest.live import watching
from ingest.logs import LogSettings
from ingest.resources import Also
from ingest.scope import ScopeSettings
from ingest.settings import IngestSettings
from stream.clock import SystemClock
from stream.records import DependencyChange, DeploymentChange, PodRecord
from tests.ingest.control_plane import ControlPlane, running
from tests.ingest.test_real_cluster import deployment, is_rolled_out, nodes
from tests.ingest.test_real_rights import Listener, measured
from tests.ingest.watching import eventually, until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
NODES = 3
ROLES = ScopeSettings(include=("shop",), namespaced=True)
METRICS = "v1beta1.metrics.k8s.io"


@pytest.fixture(scope="module")
def plane(kubelite: Path, root: Path) -> Iterator[ControlPlane]:
    scripts = root / "deploy" / "kubelite" / "cluster"
    for each in running(kubelite, scripts, WITH_METRICS="1"):
        listed = {"kind": "List", "apiVersion": "v1", "items": nodes(scripts, NODES)}
        each.kubectl("create", "-f", "-", text=json.dumps(listed))
        yield each


@pytest.fixture
def with_a_role(plane: ControlPlane, root: Path, tmp_path: Path) -> ClusterSettings:
    """The account with the Role in the namespace shop, every opt-in taken, and no other right."""
    for name in ("forewarn", "shop", "other"):
        plane.namespace(name)
    there = plane.kubectl("-n", "forewarn", "get", "serviceaccounts", "-o", "name")
    if "serviceaccount/forewarn" not in there:
        plane.kubectl("-n", "forewarn", "create", "serviceaccount", "forewarn")
    for name in ("forewarn", "forewarn-logs", "forewarn-also"):
        plane.kubectl("delete", "clusterrolebinding", name, "--ignore-not-found")
    role = (root / "deploy" / "kubernetes" / "rbac-namespaced.yaml").read_text()
    opened = role.replace("  # - ", "  - ").replace("  #   ", "    ")
    plane.kubectl("-n", "shop", "apply", "-f", "-", text=opened)
    return plane.as_forewarn(tmp_path)


async def symptoms(settings: IngestSettings, folder: Path) -> dict[str, Symptom]:
    config = Config(cluster="real", store=StoreConfig(path=folder / "db"), ingest=settings)
    return {each.what: each async for each in examine(config, SystemClock())}


async def test_with_a_role_alone_one_namespace_is_seen_and_nothing_is_refused(
    plane: ControlPlane, with_a_role: ClusterSettings, tmp_path: Path
) -> None:
    settings = IngestSettings(
        (with_a_role,), scope=ROLES, logs=LogSettings(tail=True), also=get_args(Also)
    )
    found = await symptoms(settings, tmp_path)
    asked = {each.verdict for what, each in found.items() if what.endswith(" in shop")}
    assert asked == {Verdict.WELL}
    assert "samples" not in found  # nodes are out of reach, and nobody asks for them
    heard = Listener()
    async with (
        plane.admin() as admin,
        watching(settings, SystemClock(), chance=random.Random(5)) as live,
    ):
        await eventually(
            lambda: all(each.phase == "watching" for each in live.statuses if each.required), 30.0
        )
        body = deployment("web", 2)
        volume = {"name": "c", "configMap": {"name": "rates"}}
        body["spec"]["template"]["spec"]["volumes"] = [volume]
        for namespace in ("other", "shop"):
            root = f"/api/v1/namespaces/{namespace}/configmaps"
            where = f"/apis/apps/v1/namespaces/{namespace}/deployments"
            config = {"metadata": {"name": "rates"}, "data": {"a": "1"}}
            await admin.call("POST", root, config)
            await admin.call("POST", where, body)
            await until(partial(is_rolled_out, admin, "web", where), within=60.0)
            await admin.call("PUT", f"{root}/rates", config | {"data": {"a": "2"}})
        await heard.until(live, lambda r: isinstance(r, PodRecord) and r.phase == "Running")
        change = await heard.until(live, lambda r: isinstance(r, DependencyChange))
        assert isinstance(change, DependencyChange)
        assert (change.workload.name, change.object.name) == ("web", "rates")
        spaces = {
            each.workload.namespace
            for each in heard.records
            if isinstance(each, PodRecord | DeploymentChange | DependencyChange)
        }
        assert spaces == {"shop"}
        assert not sum(each.counts["restart:denied"] for each in live.statuses)


async def test_the_doctor_names_what_a_role_alone_does_not_permit(
    with_a_role: ClusterSettings, tmp_path: Path
) -> None:
    found = await symptoms(IngestSettings((with_a_role,)), tmp_path)
    for each in ("list nodes", "watch pods", "list namespaces", "watch deployments.apps"):
        assert found[each].verdict is Verdict.WRONG, each
        assert "see deploy/kubernetes" in found[each].text
    assert found["connection"].verdict is Verdict.WRONG  # no node can be listed to be sampled
    assert 'RBAC lacks the verb "list" on "nodes"' in found["connection"].text
    elsewhere = ScopeSettings(include=("other",), namespaced=True)
    found = await symptoms(IngestSettings((with_a_role,), scope=elsewhere), tmp_path)
    assert found["list pods in other"].verdict is Verdict.WRONG


async def test_the_doctor_samples_as_a_run_would(
    plane: ControlPlane, kubelets: Path, root: Path, tmp_path: Path
) -> None:
    trust = Trust(ca_file=str(plane.folder / "pki" / "ca.crt"))
    settings = IngestSettings(
        (plane.account(root, tmp_path),), kubelet=KubeletSettings(trust=trust, timeout=5.0)
    )
    plane.kubectl("wait", "--for=condition=Available", f"apiservice/{METRICS}", "--timeout=120s")
    async with plane.admin() as admin:

        async def measures() -> bool:
            path = "/apis/metrics.k8s.io/v1beta1/nodes"
            return len((await admin.call("GET", path))["items"]) == NODES

        await until(measures, within=120.0)
    async with measured(plane, kubelets):
        found = await symptoms(settings, tmp_path)
        rights = [each for what, each in found.items() if what.startswith(("list ", "watch "))]
        assert {each.verdict for each in rights} == {Verdict.WELL}
        assert found["get nodes/stats"].verdict is Verdict.WELL
        assert found["samples"].verdict is Verdict.WELL
        assert found["samples"].text == f"{NODES} of {NODES} kubelets asked gave a summary"
    found = await symptoms(settings, tmp_path)  # the kubelets are gone
    assert found["samples"].verdict is Verdict.POOR
    assert NO_DISK in found["samples"].text
    plane.kubectl("delete", "apiservice", METRICS)
    try:
        async with asyncio.timeout(60.0):
            while "no samples of 3 nodes" not in found["samples"].text:
                found = await symptoms(settings, tmp_path)
        assert found["samples"].verdict is Verdict.POOR
        assert "nothing that grows can be forecast" in found["samples"].text
        assert found["list nodes.metrics.k8s.io"].verdict is Verdict.WELL  # granted, and not served
    finally:
        manifest = str(plane.folder / "metrics-apiservice.yaml")
        plane.kubectl("apply", "-f", manifest)

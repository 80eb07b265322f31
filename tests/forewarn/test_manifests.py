"""What is granted is what is used, and nothing else; and the manifests run what they say.

The real API server's own audit log is the witness in `tests/ingest/test_real_rights.py`.
"""

import asyncio
import random
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from forewarn.commands import COMMANDS
from forewarn.config import load
from ingest.cluster import ClusterSettings
from ingest.kubelet import KubeletSettings
from ingest.lease import Lease, LeaseSettings
from ingest.live import watching
from ingest.logs import LogSettings
from ingest.resources import OPTIONAL, Also
from ingest.rights import rights
from ingest.scope import ScopeSettings
from ingest.settings import IngestSettings
from stream.testing import ManualClock
from tests.ingest.fake_apiserver import FakeApiServer
from tests.ingest.watching import START, connect, eventually

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
Granted = set[tuple[str, str, str]]  # verb, group, resource
ALSO = get_args(Also)
EVERYTHING = IngestSettings(logs=LogSettings(tail=True), lease=LeaseSettings(elect=True), also=ALSO)
ROLES = ScopeSettings(include=("shop",), namespaced=True)


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((FOLDER / name).read_text()) if each]


def granted(*names: str) -> Granted:
    return rules(each for name in names for each in documents(name))


def rules(documents: Iterable[dict[str, Any]]) -> Granted:
    return {
        (verb, group, resource)
        for document in documents
        for rule in document.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def named(settings: IngestSettings) -> Granted:
    return {(each.verb, each.group, each.resource) for each in rights(settings)}


def test_the_files_grant_what_the_settings_need_and_no_more() -> None:
    assert granted("rbac.yaml") == named(IngestSettings(lease=EVERYTHING.lease))
    assert granted("rbac.yaml", "rbac-logs.yaml", "rbac-also.yaml") == named(EVERYTHING)
    assert granted("rbac-logs.yaml") == {("get", "", "pods/log")}
    assert {name for _, _, name in granted("rbac-also.yaml")} == set(ALSO)
    assert granted("rbac-namespaced.yaml") == named(IngestSettings(scope=ROLES))


def test_the_comments_of_the_role_are_the_rules_of_what_is_opt_in() -> None:
    lines = (FOLDER / "rbac-namespaced.yaml").read_text().splitlines()
    opened = [re.sub(r"^  # (?=- |  )", "  ", line) for line in lines]
    wanted = named(IngestSettings(scope=ROLES, logs=EVERYTHING.logs, also=ALSO))
    assert rules(yaml.safe_load_all("\n".join(opened))) == wanted


def test_each_optional_source_names_its_own_right() -> None:
    base = named(IngestSettings())
    for each in OPTIONAL:
        extra = named(IngestSettings(also=(each.name,))) - base  # type: ignore[arg-type]
        assert extra == {("list", each.group, each.name), ("watch", each.group, each.name)}


def test_nothing_is_written_but_the_lease_and_no_secret_can_be_read() -> None:
    for name in ("rbac.yaml", "rbac-logs.yaml", "rbac-also.yaml", "rbac-namespaced.yaml"):
        for verb, group, resource in granted(name):
            assert resource == "leases" or verb in {"get", "list", "watch"}
            assert "*" not in (verb, group, resource)
            assert resource not in {"secrets", "nodes/proxy"}


@pytest.mark.parametrize("streams", [True, False], ids=["streamed lists", "lists in pages"])
async def test_a_run_uses_every_right_and_none_besides(tmp_path: Path, streams: bool) -> None:
    clock = ManualClock(START)
    ended = {"name": "c", "restartCount": 1}
    async with FakeApiServer() as server:
        server.streams_lists = streams
        await server.put("nodes", "n1", status={"addresses": []})
        await server.put("pods", "web", "shop")
        for which in ("nodes", "pods"):
            server.documents[f"/apis/metrics.k8s.io/v1beta1/{which}"] = {"items": []}
        settings = IngestSettings(
            (ClusterSettings("prod", kubeconfig=server.kubeconfig(tmp_path / "kubeconfig")),),
            kubelet=KubeletSettings(source="metrics"),
            logs=LogSettings(tail=True),
            also=ALSO,
        )
        settings_of_rights = replace(settings, lease=LeaseSettings(elect=True))
        async with watching(settings, clock, None, random.Random(1)) as live:
            reflectors = [each for each in live.statuses if each.required]
            await eventually(lambda: all(each.phase == "watching" for each in reflectors))
            await server.put("pods", "web", "shop", status={"containerStatuses": [ended]})
            await eventually(lambda: server.count("get", "pods/log"))
            await eventually(lambda: server.count("list", "pods") and server.count("list", "nodes"))
        cluster = await connect(server, tmp_path, clock)
        lease = Lease(cluster, clock, "me", LeaseSettings(elect=True, namespace="ops"))
        for _ in range(2):  # the second time it is renewed
            working = asyncio.Event()

            async def work(working: asyncio.Event = working) -> None:
                working.set()

            await lease.lead(work)
        await cluster.aclose()
        used = {(each.verb, each.resource) for each in server.seen}
    wanted = {(right.verb, right.resource) for right in rights(settings_of_rights)}
    if streams:  # a streamed list is a watch; the right to list is for servers that know none
        used |= {(verb, name) for verb, name in wanted if verb == "list"}
    assert used == wanted


def test_the_pod_is_restricted_and_runs_a_command_that_exists(tmp_path: Path) -> None:
    found = {each["kind"]: each for each in documents("forewarn.yaml")}
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][0] in COMMANDS
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert not any("hostPath" in each for each in pod["volumes"])
    file = tmp_path / "forewarn.yaml"
    file.write_text(found["ConfigMap"]["data"]["forewarn.yaml"])
    config = load(file, {})
    port = container["ports"][0]["containerPort"]
    assert (config.probes.host, config.probes.port) == ("0.0.0.0", port)
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    assert str(config.store.path.parent) in mounts


@pytest.mark.parametrize("source", ["auto", "summary", "proxy", "metrics", "off"])
def test_each_source_of_samples_names_its_rights(source: Any) -> None:
    base = named(IngestSettings(kubelet=KubeletSettings(source="off")))
    extra = {name for _, _, name in named(IngestSettings(kubelet=KubeletSettings(source))) - base}
    assert (
        extra
        == {
            "auto": {"nodes/stats", "nodes", "pods"},
            "summary": {"nodes/stats"},
            "proxy": {"nodes/proxy"},
            "metrics": {"nodes", "pods"},
            "off": set(),
        }[source]
    )

"""What the doctor finds, and what it says to do."""

from pathlib import Path
from typing import Any

from forewarn.config import Config, StoreConfig
from forewarn.doctor import Symptom, Verdict, examine
from ingest.cluster import ClusterSettings
from ingest.settings import IngestSettings
from stream.clock import SystemClock
from stream.testing import ManualClock
from tests.ingest.fake_apiserver import FakeApiServer, says
from tests.ingest.watching import START

UNREACHABLE = {
    "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
    "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}},
}
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def config(kubeconfig: str, folder: Path) -> Config:
    clusters = (ClusterSettings("prod", kubeconfig=kubeconfig),)
    return Config(
        cluster="prod",
        store=StoreConfig(path=folder / "store.db"),
        ingest=IngestSettings(clusters),
    )


async def symptoms(server: FakeApiServer, folder: Path, at: float) -> dict[str, Symptom]:
    kubeconfig = server.kubeconfig(folder / "kubeconfig")
    found = [each async for each in examine(config(kubeconfig, folder), ManualClock(at))]
    return {each.what: each for each in found}


def healthy(server: FakeApiServer, **review: Any) -> None:
    server.documents["/version"] = {"major": "1", "minor": "36+", "gitVersion": "v1.36.3"}
    server.documents[REVIEW] = {"status": {"allowed": True} | review}
    for which in ("nodes", "pods"):
        items = [{"metadata": {"name": "n1"}}]
        server.documents[f"/apis/metrics.k8s.io/v1beta1/{which}"] = {"items": items}


async def test_where_all_is_well_it_says_so_and_what_it_saw(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        healthy(server)
        await server.put("nodes", "n1", status=UNREACHABLE)
        found = await symptoms(server, tmp_path, SystemClock().now())
        assert {each.verdict for what, each in found.items() if what != "samples"} == {Verdict.WELL}
        assert found["version"].text == "v1.36.3"
        assert found["watch pods"].text == "allowed"
        assert found["samples"].verdict is Verdict.POOR
        assert "no disk" in found["samples"].text
        assert {each.verb for each in server.seen} == {"list", "create"}


async def test_a_missing_right_is_named_with_what_it_is_for(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        healthy(server, allowed=False)
        found = await symptoms(server, tmp_path, START)
        assert found["watch deployments.apps"].verdict is Verdict.WRONG
        assert "to see deployments" in found["watch deployments.apps"].text
        assert found["get nodes/stats"].verdict is Verdict.POOR  # something stands in for it
        reviews = [each for each in server.seen if each.verb == "create"]
        assert len(reviews) == 19


async def test_a_wrong_clock_and_an_old_server_are_said(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        healthy(server)
        server.documents["/version"] = {"major": "1", "minor": "26", "gitVersion": "v1.26.1"}
        found = await symptoms(server, tmp_path, START)
        assert found["clock"].verdict is Verdict.WRONG
        assert "behind; set up NTP" in found["clock"].text
        assert found["version"].verdict is Verdict.POOR


async def test_what_is_no_api_server_is_one_clear_sentence(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        server.always["list"] = says(b"<html>", then="end")
        found = await symptoms(server, tmp_path, START)
        assert found["connection"].verdict is Verdict.WRONG
        assert "is this an API server?" in found["connection"].text


async def test_no_cluster_and_no_room_for_the_store_are_said(tmp_path: Path) -> None:
    nowhere = config(str(tmp_path / "none"), tmp_path / "a" / "b")
    found = [each async for each in examine(nowhere, ManualClock(START))]
    assert [each.verdict for each in found] == [Verdict.WELL, Verdict.WELL, Verdict.WRONG]
    assert "no kubeconfig" in found[2].text
    (tmp_path / "file").write_text("")
    blocked = config("", tmp_path / "file")
    store = [each async for each in examine(blocked, ManualClock(START)) if each.where == "store"]
    assert store[0].verdict is Verdict.WRONG

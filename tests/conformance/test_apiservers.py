"""One reflector, two API servers: the fake may do nothing that the real one would not.

The same stories run on `tests/ingest/fake_apiserver.py` and on a real kube-apiserver with etcd
(mark `cluster`). Left out is what a real server cannot be made to show; `test_reflect_faults.py`
has that, and every answer that the fake gives there is held to the real one here where it can be.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from ingest.answers import Expired, Refused
from ingest.backoff import BackoffSettings
from ingest.cluster import Cluster, ClusterSettings
from ingest.reflect import Reflector, ReflectSettings
from stream.clock import SystemClock
from stream.errors import ForewarnError
from tests.ingest.control_plane import Admin, ControlPlane, encoded, running
from tests.ingest.fake_apiserver import FakeApiServer
from tests.ingest.watching import BY_NAME, Observer, eventually, nothing, until

PATH = "/apis/apps/v1/deployments"
QUICK = BackoffSettings(first=0.05, longest=0.5)
PAGES = ReflectSettings(streaming=False, page=3, backoff=QUICK)
STREAM = ReflectSettings(backoff=QUICK)
BOTH = pytest.mark.parametrize("settings", [PAGES, STREAM], ids=["pages", "stream"])


class Server(Protocol):
    """What a story needs of an API server."""

    async def put(self, name: str, note: str) -> None: ...

    async def delete(self, name: str) -> None: ...

    async def state(self) -> dict[str, str]: ...

    async def forget(self, deleted: str, touched: str) -> None:
        """Go away, let one object vanish and one change, return without history of it."""
        ...

    def kubeconfig(self, token: str = "") -> str:
        """Of an admin, or of whoever has this token."""
        ...

    async def stranger(self) -> str:
        """The token of an account without any right."""
        ...


class Fake:
    """The fake as a `Server`."""

    def __init__(self, server: FakeApiServer, folder: Path) -> None:
        self.server = server
        self.folder = folder

    async def put(self, name: str, note: str) -> None:
        await self.server.put("deployments", name, "default", spec={"note": note})

    async def delete(self, name: str) -> None:
        await self.server.delete("deployments", name, "default")

    async def state(self) -> dict[str, str]:
        return self.server.state("deployments")

    async def forget(self, deleted: str, touched: str) -> None:
        await self.server.reset_watches()
        await self.delete(deleted)
        await self.put(touched, "while nobody looked")
        self.server.compact()

    def kubeconfig(self, token: str = "") -> str:
        return self.server.kubeconfig(self.folder / f"kubeconfig-{token}", token or "admin")

    async def stranger(self) -> str:
        self.server.tokens = {"admin", "stranger"}
        self.server.strangers = {"stranger"}
        return "stranger"


class Real:
    """A control plane as a `Server`."""

    def __init__(self, plane: ControlPlane, admin: Admin) -> None:
        self.plane = plane
        self.admin = admin

    async def put(self, name: str, note: str) -> None:
        where = "/apis/apps/v1/namespaces/default/deployments"
        labels = {"app": name}
        container = {"name": "c", "image": "none", "env": [{"name": "NOTE", "value": note}]}
        body: dict[str, Any] = {
            "metadata": {"name": name},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }
        try:
            await self.admin.call("POST", where, body)
        except Refused:
            await self.admin.call("PUT", f"{where}/{name}", body)

    async def delete(self, name: str) -> None:
        await self.admin.call("DELETE", f"/apis/apps/v1/namespaces/default/deployments/{name}")

    async def state(self) -> dict[str, str]:
        return await self.admin.state(PATH)

    async def forget(self, deleted: str, touched: str) -> None:
        key = "/registry/deployments/default/"
        async with self.plane.apiserver_away():
            await self.plane.etcd("deleterange", {"key": encoded(key + deleted)})
            (entry,) = (await self.plane.etcd("range", {"key": encoded(key + touched)}))["kvs"]
            await self.plane.etcd("put", {"key": entry["key"], "value": entry["value"]})
            await self.plane.compact()

    def kubeconfig(self, token: str = "") -> str:
        if not token:
            return self.plane.kubeconfig
        path = self.plane.folder / "kubeconfig-token"
        text = Path(self.plane.kubeconfig).read_text()
        begin, end = text.index("users:"), text.index("contexts:")
        user = f"users: [{{name: admin, user: {{token: {token}}}}}]\n"
        path.write_text(text[:begin] + user + text[end:])
        return str(path)

    async def stranger(self) -> str:
        path = "/api/v1/namespaces/default/serviceaccounts/default/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str((await self.admin.call("POST", path, body))["status"]["token"])


@pytest.fixture(scope="module")
def plane(kubelite: Path, root: Path) -> Iterator[ControlPlane]:
    yield from running(kubelite, root / "deploy" / "kubelite" / "cluster", WITH_KWOK="0")


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.cluster)])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    if request.param == "fake":
        async with FakeApiServer() as fake:
            yield Fake(fake, tmp_path)
        return
    plane: ControlPlane = request.getfixturevalue("plane")
    async with plane.admin() as admin:
        await until(admin.ready)
        yield Real(plane, admin)
        items = (await admin.call("GET", PATH))["items"]
        for name in [each["metadata"]["name"] for each in items]:
            await admin.call("DELETE", f"/apis/apps/v1/namespaces/default/deployments/{name}")


class Reflection(Observer):
    """A reflector in real time."""

    reflector: Reflector

    async def equals(self, server: Server) -> None:
        async def same() -> bool:
            return self.objects == await server.state()

        await until(same)


@asynccontextmanager
async def reflection(
    server: Server, settings: ReflectSettings, token: str = ""
) -> AsyncIterator[Reflection]:
    seen = Reflection()
    clock = SystemClock()
    where = ClusterSettings("c", kubeconfig=server.kubeconfig(token))
    cluster = await Cluster.connect(where, clock)
    seen.reflector = Reflector(
        cluster,
        BY_NAME["deployments"],
        clock,
        seen.emit,
        nothing,
        settings=settings,
        chance=random.Random(3),
    )
    task = asyncio.create_task(seen.reflector.run())
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await cluster.aclose()


async def watching(seen: Reflection) -> None:
    await eventually(lambda: seen.reflector.status.phase == "watching", within=30.0)


@BOTH
async def test_what_is_there_is_listed_and_what_happens_is_told(
    server: Server, settings: ReflectSettings
) -> None:
    for number in range(7):
        await server.put(f"d{number}", "first")
    async with reflection(server, settings) as seen:
        await watching(seen)
        assert sorted(seen.names("LIST")) == [f"d{number}" for number in range(7)]
        await server.put("new", "first")
        await server.put("d3", "second")
        await server.delete("d5")
        await seen.equals(server)
        assert seen.names("ADDED") == ["new"]
        assert seen.names("DELETED") == ["d5"]
        assert "d3" in seen.names("MODIFIED")
        assert not seen.gaps


@BOTH
async def test_a_connection_cut_by_us_resumes_without_a_gap(
    server: Server, settings: ReflectSettings
) -> None:
    await server.put("a", "first")
    async with reflection(server, settings) as seen:
        await watching(seen)
        for number in range(3):
            assert seen.reflector._reply is not None
            seen.reflector._reply.close()
            await server.put(f"b{number}", "first")
            await server.delete(f"b{number}")
            await eventually(lambda number=number: f"b{number}" in seen.names("DELETED"))
            await watching(seen)
        assert seen.names("ADDED") == ["b0", "b1", "b2"]
        assert not seen.gaps


@BOTH
async def test_history_that_is_gone_is_a_gap_and_a_comparison(
    server: Server, settings: ReflectSettings
) -> None:
    for name in ("stays", "changes", "goes"):
        await server.put(name, "first")
    async with reflection(server, settings) as seen:
        await watching(seen)
        await seen.equals(server)
        before = len(seen.events)
        await server.forget("goes", "changes")
        await eventually(lambda: seen.gaps, within=30.0)
        await server.put("after", "first")
        await seen.equals(server)
        assert [reason for _, _, reason in seen.gaps] == ["Expired"]
        assert {("MODIFIED", "changes"), ("DELETED", "goes")} <= set(seen.events[before:])
        assert seen.names("ADDED") == ["after"]  # nothing is falsely new


async def test_who_has_no_right_is_told_which_one_is_missing(server: Server) -> None:
    token = await server.stranger()
    async with reflection(server, PAGES, token) as seen:
        await eventually(lambda: seen.reflector.status.counts["restart:denied"])
        reason = seen.reflector.status.reason
        assert 'RBAC lacks the verb "list" on "deployments.apps"' in reason


async def test_who_is_nobody_is_told_so(server: Server) -> None:
    await server.stranger()
    async with reflection(server, PAGES, "nonsense") as seen:
        await eventually(lambda: seen.reflector.status.counts["restart:denied"])
        assert "not authenticated" in seen.reflector.status.reason


STREAMED = [("watch", "true"), ("sendInitialEvents", "true"), ("allowWatchBookmarks", "true")]
WRONG = {
    "a streamed list without resourceVersionMatch": (STREAMED, Refused),
    "resourceVersionMatch in a plain watch": (
        [("watch", "true"), ("resourceVersionMatch", "NotOlderThan"), ("resourceVersion", "1")],
        Refused,
    ),
    "resourceVersionMatch without a version": ([("resourceVersionMatch", "Exact")], Refused),
    "a continue token beside a version": (
        [("continue", "x"), ("resourceVersion", "5"), ("limit", "1")],
        Refused,
    ),
    "a version from the future": (
        [("resourceVersion", "999999999"), ("resourceVersionMatch", "NotOlderThan")],
        Expired,
    ),
}


@pytest.mark.parametrize(("parameters", "error"), WRONG.values(), ids=WRONG.keys())
async def test_both_refuse_the_same(
    server: Server, parameters: list[tuple[str, str]], error: type[ForewarnError]
) -> None:
    cluster = await Cluster.connect(
        ClusterSettings("c", kubeconfig=server.kubeconfig()), SystemClock()
    )
    try:
        with pytest.raises(error):
            async with cluster.request(
                "GET", PATH, verb="list", resource="deployments", params=parameters
            ) as reply:
                await reply.body(1 << 20, 5.0)
    finally:
        await cluster.aclose()


async def test_a_list_in_pages_has_every_object_once_at_one_version(server: Server) -> None:
    for number in range(5):
        await server.put(f"d{number}", "first")
    cluster = await Cluster.connect(
        ClusterSettings("c", kubeconfig=server.kubeconfig()), SystemClock()
    )
    names: list[str] = []
    versions = set()
    token = ""
    try:
        while True:
            parameters = [("limit", "2"), *([("continue", token)] if token else [])]
            text = await cluster.json(PATH, verb="list", resource="d", params=parameters)
            page = json.loads(text)
            names += [each["metadata"]["name"] for each in page["items"]]
            versions.add(page["metadata"]["resourceVersion"])
            token = page["metadata"].get("continue", "")
            if not token:
                break
    finally:
        await cluster.aclose()
    assert names == [f"d{number}" for number in range(5)]
    assert len(versions) == 1

"""The listener for audit events: who may speak, what is taken, what is sent again."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from forewarn.audit import audit_app
from forewarn.config import Config
from forewarn.follow import Follower
from forewarn.serving import serving
from ingest.audit import AuditSettings
from ingest.buffer import BufferSettings
from ingest.cluster import ClusterSettings
from ingest.kubelet import KubeletSettings
from ingest.live import watching
from ingest.scope import ScopeSettings
from ingest.settings import IngestSettings
from stream.testing import ManualClock
from tests.ingest.fake_apiserver import FakeApiServer
from tests.ingest.test_audit import event
from tests.ingest.watching import START

BODY = json.dumps({"kind": "EventList", "items": [event()]}).encode()


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[tuple[str, Follower]]:
    (folder / "token").write_text("canary-17\n")
    clock = ManualClock(START)
    async with FakeApiServer() as server:
        settings = IngestSettings(
            (ClusterSettings("prod", kubeconfig=server.kubeconfig(folder / "kubeconfig")),),
            kubelet=KubeletSettings(source="off"),
            buffer=BufferSettings(facts=1),
        )
        follower = Follower(Config(cluster="prod", ingest=settings), clock)
        audit = AuditSettings(listen=True, token_file=str(folder / "token"))
        app = audit_app(follower, audit, ScopeSettings(), clock)
        async with (
            serving(app, "127.0.0.1", 0) as address,
            watching(settings, clock) as follower.live,
        ):
            yield address, follower


async def post(url: str, body: bytes, token: str = "canary-17") -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=headers) as reply,
    ):
        return reply.status


async def test_events_are_taken_from_who_brings_the_token_and_refused_from_others(
    tmp_path: Path,
) -> None:
    async with listening(tmp_path) as (address, follower):
        url = f"{address}/audit/prod"
        assert await post(url, BODY, token="guess") == 401
        assert await post(f"{address}/audit/other", BODY) == 404
        assert await post(url, b"{") == 400
        assert await post(url, BODY) == 200
        assert follower.live is not None
        (fact,) = await follower.live.facts()
        assert (fact.resource, fact.cluster, fact.at) == ("audit", "prod", START)


async def test_where_there_is_no_room_the_api_server_is_asked_to_send_it_again(
    tmp_path: Path,
) -> None:
    async with listening(tmp_path) as (address, follower):
        url = f"{address}/audit/prod"
        assert [await post(url, BODY) for _ in range(2)] == [200, 503]
        follower.live = None  # a standby
        assert await post(url, BODY) == 503

"""Samples come from every kubelet that answers; the others delay nobody and are not hammered."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from ingest.cluster import Cluster, Trust
from ingest.facts import Fact, fact_of
from ingest.kubelet import NO_DISK, KubeletSettings, Sampler
from stream.testing import ManualClock
from tests.ingest.fake_apiserver import FakeApiServer, answers
from tests.ingest.fake_kubelet import Authority, FakeKubelet, authority, summary
from tests.ingest.watching import START, connect, eventually
from tests.kafka_broker import free_ports
from tests.proxy import Proxy

TOKEN = "canary-4711"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls"))


class Setting:
    """A sampler among kubelets, with the clock in hand."""

    clock: ManualClock
    server: FakeApiServer
    cluster: Cluster
    sampler: Sampler
    kubelets: list[FakeKubelet]
    full = False

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def offer(self, fact: Fact) -> bool:
        if not self.full:
            self.facts.append(fact)
        return not self.full

    async def cycles(self, count: int) -> None:
        for _ in range(count):
            await self.sampler.cycle()
            await self.sampler.settle()
            self.clock.advance(30.0)

    def sampled(self) -> list[str]:
        return [fact.node for fact in self.facts if fact.resource == "summary"]


@asynccontextmanager
async def sampling(
    folder: Path, tls: Authority, nodes: int = 3, settings: KubeletSettings | None = None
) -> AsyncIterator[Setting]:
    setting = Setting()
    setting.clock = ManualClock(START)
    async with AsyncExitStack() as stack:
        setting.server = await stack.enter_async_context(FakeApiServer())
        setting.kubelets = [
            await stack.enter_async_context(FakeKubelet(f"n{number}", tls, TOKEN))
            for number in range(nodes)
        ]
        setting.cluster = await connect(setting.server, folder, setting.clock, TOKEN)
        stack.push_async_callback(setting.cluster.aclose)
        settings = settings or KubeletSettings(trust=Trust(ca_file=tls.ca))
        setting.sampler = Sampler(setting.cluster, setting.clock, setting.offer, settings)
        for kubelet in setting.kubelets:
            setting.sampler.note(fact_of(START, "prod", "nodes", "LIST", kubelet.node()))
        yield setting


async def test_every_kubelet_is_asked_once_a_cycle_and_its_document_is_given_whole(
    tmp_path: Path, tls: Authority
) -> None:
    async with sampling(tmp_path, tls) as setting:
        await setting.cycles(2)
        assert sorted(setting.sampled()) == ["n0", "n0", "n1", "n1", "n2", "n2"]
        assert {fact.type for fact in setting.facts} == {"SAMPLE"}
        first = setting.facts[0]
        assert json.loads(bytes(first.object)) == summary(first.node)
        assert not setting.server.seen  # no list is made for it


async def test_a_dead_kubelet_delays_nobody_and_is_asked_less_and_less(
    tmp_path: Path, tls: Authority
) -> None:
    async with sampling(tmp_path, tls) as setting:
        setting.kubelets[0].behaviour = "fails"
        await setting.cycles(40)
        assert setting.sampled().count("n1") == 40
        assert setting.sampled().count("n2") == 40
        assert setting.kubelets[0].asked <= 8
        setting.kubelets[0].behaviour = "well"
        await setting.cycles(10)
        assert setting.sampled().count("n0") >= 1


async def test_a_hanging_kubelet_is_given_up_and_never_asked_twice_at_once(
    tmp_path: Path, tls: Authority
) -> None:
    async with sampling(tmp_path, tls) as setting:
        setting.kubelets[0].behaviour = "hangs"
        await setting.sampler.cycle()
        await eventually(lambda: len(setting.sampled()) == 2 and setting.kubelets[0].asked == 1)
        await setting.sampler.cycle()  # while it still hangs
        await eventually(lambda: len(setting.sampled()) == 4)
        assert setting.kubelets[0].asked == 1
        assert setting.sampler.status.counts["late"] == 1
        setting.clock.advance(10.0)
        await setting.sampler.settle()
        assert setting.sampler.status.counts["failures"] == 1


async def test_many_hanging_kubelets_leave_the_slots_to_those_that_answer(
    tmp_path: Path, tls: Authority
) -> None:
    trust = KubeletSettings(trust=Trust(ca_file=tls.ca), concurrency=4)
    async with sampling(tmp_path, tls, nodes=8, settings=trust) as setting:
        for kubelet in setting.kubelets[:6]:
            kubelet.behaviour = "hangs"
        await setting.sampler.cycle()
        await eventually(lambda: sum(each.asked for each in setting.kubelets) == 4)
        setting.clock.advance(10.0)  # a slot for each of the others, and for those that answer
        await eventually(lambda: sorted(setting.sampled()) == ["n6", "n7"])
        await eventually(lambda: sum(each.asked for each in setting.kubelets) == 8)
        setting.clock.advance(10.0)
        await setting.sampler.settle()
        setting.facts.clear()
        await setting.sampler.cycle()  # the hanging ones now share one slot of their own
        await eventually(lambda: sorted(setting.sampled()) == ["n6", "n7"])
        while setting.sampler.status.counts["failures"] < 12:
            setting.clock.advance(10.0)
            await asyncio.sleep(0.005)


async def test_a_missing_permission_is_named(tmp_path: Path, tls: Authority) -> None:
    async with sampling(tmp_path, tls, nodes=1) as setting:
        setting.kubelets[0].behaviour = "forbids"
        setting.server.always["list"] = answers(404, "NotFound")
        await setting.cycles(1)
        assert setting.sampler.status.counts["failures"] == 1
        text = setting.sampler.status.reason
        assert "no samples" in text or 'RBAC lacks the verb "get" on "nodes/stats"' in text


async def test_a_certificate_of_another_authority_is_refused_and_no_token_is_sent(
    tmp_path: Path, tls: Authority
) -> None:
    async with sampling(tmp_path, tls, nodes=1, settings=KubeletSettings()) as setting:
        await setting.cycles(1)
        assert setting.kubelets[0].asked == 0
        assert setting.sampler.status.counts["failures"] == 1


async def test_any_certificate_is_taken_where_that_was_chosen(
    tmp_path: Path, tls: Authority
) -> None:
    chosen = KubeletSettings(trust=Trust(insecure=True))
    async with sampling(tmp_path, tls, nodes=1, settings=chosen) as setting:
        await setting.cycles(1)
        assert setting.sampled() == ["n0"]


async def test_a_document_that_is_cut_is_a_failure_not_a_fact(
    tmp_path: Path, tls: Authority
) -> None:
    async with sampling(tmp_path, tls, nodes=1) as setting:
        setting.kubelets[0].behaviour = "lies"
        await setting.cycles(1)
        assert not setting.sampled()


def metrics(server: FakeApiServer, nodes: int) -> None:
    root = "/apis/metrics.k8s.io/v1beta1"
    usage = {"cpu": "250m", "memory": "1Gi"}
    server.documents[f"{root}/nodes"] = {
        "items": [{"metadata": {"name": f"n{n}"}, "usage": usage} for n in range(nodes)]
    }
    server.documents[f"{root}/pods"] = {
        "items": [{"metadata": {"name": "a", "namespace": "shop"}, "containers": []}]
    }


async def test_where_no_kubelet_answers_metrics_stand_in_and_it_is_said_that_they_know_no_disk(
    tmp_path: Path, tls: Authority
) -> None:
    async with sampling(tmp_path, tls) as setting:
        metrics(setting.server, 3)
        for kubelet in setting.kubelets:
            kubelet.behaviour = "forbids"
        await setting.cycles(4)
        given = [(fact.resource, fact.node) for fact in setting.facts[:4]]
        assert given == [("metrics", "n0"), ("metrics", "n1"), ("metrics", "n2"), ("metrics", "")]
        assert NO_DISK in setting.sampler.status.reason
        assert len(setting.server.seen) <= 8  # two lists a cycle, never one per node


async def test_what_stays_wrong_is_logged_once(
    tmp_path: Path, tls: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with sampling(tmp_path, tls, nodes=1) as setting:
        metrics(setting.server, 1)
        setting.kubelets[0].behaviour = "forbids"
        await setting.cycles(12)
        said = [each.getMessage() for each in caplog.records]
        setting.kubelets[0].behaviour = "well"
        await setting.cycles(12)
        assert not setting.sampler.status.reason
    assert len(said) == 2
    assert any("RBAC lacks" in each for each in said)
    assert any(NO_DISK in each for each in said)


async def test_one_node_without_a_kubelet_gets_its_metrics_and_the_others_their_summary(
    tmp_path: Path, tls: Authority
) -> None:
    async with sampling(tmp_path, tls) as setting:
        metrics(setting.server, 3)
        setting.kubelets[1].behaviour = "fails"
        await setting.cycles(3)
        nodes = {fact.node for fact in setting.facts if fact.resource == "metrics"}
        assert nodes == {"n1"}


async def test_metrics_alone_ask_no_kubelet(tmp_path: Path, tls: Authority) -> None:
    async with sampling(tmp_path, tls, settings=KubeletSettings(source="metrics")) as setting:
        metrics(setting.server, 3)
        await setting.cycles(1)
        assert len(setting.facts) == 4
        assert not any(kubelet.asked for kubelet in setting.kubelets)


async def test_the_proxy_is_used_only_where_it_was_chosen(tmp_path: Path, tls: Authority) -> None:
    async with sampling(tmp_path, tls, settings=KubeletSettings(source="proxy")) as setting:
        for number in range(3):
            path = f"/api/v1/nodes/n{number}/proxy/stats/summary"
            setting.server.documents[path] = summary(f"n{number}")
        await setting.cycles(1)
        assert sorted(setting.sampled()) == ["n0", "n1", "n2"]
        assert not any(kubelet.asked for kubelet in setting.kubelets)


async def test_a_deleted_node_is_asked_no_more(tmp_path: Path, tls: Authority) -> None:
    async with sampling(tmp_path, tls) as setting:
        setting.sampler.note(fact_of(START, "prod", "nodes", "DELETED", setting.kubelets[0].node()))
        await setting.cycles(1)
        assert sorted(setting.sampled()) == ["n1", "n2"]


async def test_samples_that_find_no_room_are_said_as_a_gap(tmp_path: Path, tls: Authority) -> None:
    async with sampling(tmp_path, tls, nodes=1) as setting:
        setting.full = True
        await setting.cycles(2)
        setting.full = False
        await setting.cycles(1)
        assert [fact.type for fact in setting.facts] == ["ERROR", "SAMPLE"]
        said = json.loads(bytes(setting.facts[0].object))
        assert (said["reason"], said["details"]["since"]) == ("overflow", START)
        assert setting.sampler.status.counts["dropped"] == 2


async def test_an_answer_that_is_given_up_leaves_no_connection_to_a_peer_that_is_gone(
    tmp_path: Path, tls: Authority
) -> None:
    over = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await over.wait()
        return response

    app = web.Application()
    app.router.add_get("/stats", endless)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    target, port = free_ports(2)
    await web.TCPSite(runner, "127.0.0.1", target, ssl_context=tls.context()).start()
    async with FakeApiServer() as server, Proxy(port, target) as proxy:
        cluster = await connect(server, tmp_path, ManualClock(START), TOKEN)
        asking = cluster.request(
            "GET",
            "/stats",
            verb="get",
            resource="nodes/stats",
            host=f"https://127.0.0.1:{port}",
            trust=Trust(ca_file=tls.ca),
        )
        async with asking as reply:
            connection = reply._response.connection
            assert connection is not None
            assert connection.transport is not None
            socket = connection.transport.get_extra_info("socket")
            assert socket.fileno() >= 0
            proxy.cut()
        await cluster.aclose()
        for _ in range(3):
            await asyncio.sleep(0)  # as many rounds of the loop as closing a transport takes
        assert socket.fileno() == -1
        over.set()
        proxy.mend()
    await runner.cleanup()

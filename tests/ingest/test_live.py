"""Several sources, several clusters, one ordered stream; and what happens when the bus takes none.

Leaves out single reflectors (`test_reflect.py`) and samples (`test_kubelet.py`).
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import pytest

from ingest.buffer import Buffer, BufferSettings, Overflow
from ingest.cluster import ClusterSettings
from ingest.facts import Fact, fact_of
from ingest.intake import Intake
from ingest.kubelet import KubeletSettings
from ingest.live import Live, watching
from ingest.normalise import Normaliser
from ingest.publish import Publisher
from ingest.resources import Also
from ingest.scope import ScopeSettings
from ingest.settings import IngestSettings
from stream.codec import decode
from stream.errors import Rejected
from stream.records import AnyInput, DeploymentChange, NodeRecord, PodRecord, Tick
from stream.testing import ManualClock
from tests.ingest.fake_apiserver import FakeApiServer, answers
from tests.ingest.watching import START, Observer, eventually

NO_SAMPLES = KubeletSettings(source="off")
SMALL = BufferSettings(facts=10, patience=5.0)


def pod(phase: str = "Running") -> dict[str, object]:
    return {"spec": {"containers": []}, "status": {"phase": phase}}


@asynccontextmanager
async def live(
    clock: ManualClock,
    folder: Path,
    *servers: FakeApiServer,
    buffer: BufferSettings | None = None,
    scope: ScopeSettings | None = None,
    position: bytes | None = None,
    also: tuple[Also, ...] = (),
) -> AsyncIterator[Live]:
    clusters = tuple(
        ClusterSettings(f"c{number}", kubeconfig=server.kubeconfig(folder / f"kubeconfig{number}"))
        for number, server in enumerate(servers)
    )
    settings = IngestSettings(
        clusters,
        scope=scope or ScopeSettings(),
        kubelet=NO_SAMPLES,
        buffer=buffer or BufferSettings(),
        also=also,
    )
    async with watching(settings, clock, position, random.Random(7)) as sources:
        yield sources


async def all_watching(sources: Live) -> None:
    await eventually(lambda: all(each.phase == "watching" for each in sources.statuses))


async def drain(sources: Live) -> list[Fact]:
    facts = []
    while len(sources.buffer):
        facts += await sources.facts()
    return facts


async def test_owners_are_listed_before_what_they_own(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server:
        for resource in ("events", "pods", "replicasets", "deployments"):
            await server.put(resource, "a", "shop")
        async with live(clock, tmp_path, server) as sources:
            await all_watching(sources)
            order = [fact.resource for fact in await drain(sources)]
            assert set(order[:2]) == {"deployments", "replicasets"}
            assert order[2:] == ["pods", "events"]


async def test_what_is_optional_is_watched_on_demand_and_no_configmap_s_data_are_heard(
    tmp_path: Path,
) -> None:
    clock = ManualClock(START)
    everything = get_args(Also)
    async with FakeApiServer() as server:
        async with live(clock, tmp_path, server) as sources:
            await all_watching(sources)
            assert not {each.resource for each in server.seen} & set(everything)
        for resource in ("pods", "deployments", *everything):
            await server.put(resource, "a", "shop", spec={}, data={"a": "canary"})
        async with live(clock, tmp_path, server, also=everything) as sources:
            await all_watching(sources)
            facts = await drain(sources)
            order = [fact.resource for fact in facts]
            assert order[:3] == ["horizontalpodautoscalers", "deployments", "pods"]
            assert set(order[3:]) == {"persistentvolumeclaims", "configmaps"}
            await server.put("configmaps", "a", "shop", data={"a": "canary"})
            broken = {"metadata": {"uid": "u", "resourceVersion": "999"}, "data": "canary"}
            line = json.dumps({"type": "MODIFIED", "object": broken}).encode()
            await server.send(line + b"\n")  # on every watch
            await eventually(lambda: len(sources.buffer) > len(everything))
            facts += await drain(sources)
            heard = [bytes(each.object) for each in facts if each.resource == "configmaps"]
            assert len(heard) == 3
            assert not any(b"canary" in each for each in heard)


async def test_a_list_that_is_forbidden_does_not_hold_back_the_others(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server:
        server.forbidden = {("list", "daemonsets"), ("watch", "daemonsets")}
        await server.put("pods", "a", "shop")
        async with live(clock, tmp_path, server) as sources:
            await eventually(lambda: any(each.phase == "waiting" for each in sources.statuses))
            assert "pods" not in {each.resource for each in server.seen}
            clock.advance(30.0)  # behind the namespaces, and then behind the owners
            await eventually(lambda: server.count("watch", "pods"))
            health = sources.health()
            assert not health.ready(clock.now())
            text = {check.name: check.text for check in health.checks(clock.now())}
            assert 'RBAC lacks the verb "watch" on "daemonsets.apps"' in text["c0/watch:daemonsets"]


async def test_two_clusters_are_one_stream_whose_time_never_runs_back(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as one, FakeApiServer() as two:
        async with live(clock, tmp_path, one, two) as sources:
            await all_watching(sources)
            for number in range(20):
                await one.put("pods", f"p{number}", "shop")
                await two.put("nodes", f"n{number}")
                clock.advance(0.5 if number % 5 else -0.2)  # a clock that is set back
            await eventually(lambda: len(sources.buffer) == 40)
            facts = await drain(sources)
        times = [fact.at for fact in facts]
        assert times == sorted(times)
        assert {fact.cluster for fact in facts} == {"c0", "c1"}
        names = [
            json.loads(bytes(f.object))["metadata"]["name"] for f in facts if f.cluster == "c0"
        ]
        assert names == [f"p{number}" for number in range(20)]


async def test_ready_means_listed_and_lately_heard_of(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server:
        server.always["watch"] = answers(500)
        async with live(clock, tmp_path, server) as sources:
            health = sources.health()
            await eventually(lambda: server.seen)
            assert not health.ready(clock.now())
            del server.always["watch"]
            while not health.ready(clock.now()):
                clock.advance(5.0)
                await asyncio.sleep(0.01)
            assert not health.ready(clock.now() + 181.0)


# ---- chunks -------------------------------------------------------------------------------------


def records(messages: object) -> list[AnyInput]:
    return [decode(each.topic, each.value) for each in messages]  # type: ignore[attr-defined]


async def test_chunks_are_what_a_tape_gives_with_ticks_by_the_clock(tmp_path: Path) -> None:
    clock = ManualClock(START)
    intake = Intake(Normaliser(), Publisher(1))
    async with FakeApiServer() as server:
        await server.put("pods", "a", "shop", **pod())
        async with live(clock, tmp_path, server) as sources:
            await all_watching(sources)
            chunks = sources.chunks(intake)
            first = await anext(chunks)
            assert [type(each) for each in records(first.messages)] == [PodRecord]
            assert json.loads(first.position.value) == {"c0": START}
            waiting = asyncio.ensure_future(anext(chunks))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            clock.advance(5.0)
            second = await waiting
            ticks = records(second.messages)
            assert {type(each) for each in ticks} == {Tick}
            assert len(ticks) == 4  # one per input topic
            assert json.loads(second.position.value) == {"c0": START + 5.0}
            await chunks.aclose()


async def test_a_restart_says_since_when_something_may_have_been_missed(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server:
        position = json.dumps({"c0": START - 600.0}).encode()
        async with live(clock, tmp_path, server, position=position) as sources:
            await all_watching(sources)
            facts = await drain(sources)
        assert {fact.type for fact in facts} == {"ERROR"}
        assert len(facts) == 7  # one per resource
        assert {json.loads(bytes(f.object))["details"]["since"] for f in facts} == {START - 600.0}


async def test_a_position_of_something_else_is_refused(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        with pytest.raises(Rejected, match="not of a live source"):
            async with live(ManualClock(START), tmp_path, server, position=b"[1]"):
                pass


# ---- the bus takes nothing ----------------------------------------------------------------------


async def test_what_a_new_list_finds_gone_reaches_the_bus_as_deleted(tmp_path: Path) -> None:
    clock = ManualClock(START)
    intake = Intake(Normaliser(), Publisher(1))
    kinds = ("pods", "nodes", "deployments", "events")
    async with FakeApiServer() as server, live(clock, tmp_path, server) as sources:
        for kind in kinds:
            await server.put(kind, "a", "shop", spec={}, involvedObject=SOMETHING)
        await all_watching(sources)
        await server.reset_watches()
        for kind in kinds:
            await server.delete(kind, "a", "shop")
        server.compact()
        found: list[AnyInput] = []
        async with asyncio.timeout(10.0):
            while len(found) < 3:
                clock.advance(1.0)
                await asyncio.sleep(0.001)
                for heard in await drain(sources):
                    intake.offer(heard, "live")
                messages, dead_letters = intake.take()
                assert not dead_letters
                found += [each for each in records(messages) if _is_gone(each)]
        assert {type(each) for each in found} == {PodRecord, NodeRecord, DeploymentChange}


SOMETHING = {"kind": "Pod", "namespace": "shop", "name": "a"}


def _is_gone(record: AnyInput) -> bool:
    return bool(getattr(record, "deleted", False)) or getattr(record, "type", "") == "deleted"


async def test_a_full_buffer_drops_the_watch_resumes_and_loses_nothing(tmp_path: Path) -> None:
    clock = ManualClock(START)
    seen = Observer()
    async with FakeApiServer() as server, live(clock, tmp_path, server, buffer=SMALL) as sources:
        await all_watching(sources)
        (status,) = [each for each in sources.statuses if each.source == "pods"]
        for number in range(30):
            await server.put("pods", f"p{number}", "shop")
        await eventually(lambda: len(sources.buffer) == 10)
        clock.advance(5.0)
        await eventually(lambda: "full" in status.reason)
        assert len(sources.buffer) == 10
        while len(seen.facts) < 30:
            for fact in await drain(sources):
                await seen.emit(fact)
            if status.phase == "waiting":
                clock.advance(60.0)
            await asyncio.sleep(0.001)
        assert seen.objects == server.state("pods")
        assert not seen.gaps


async def test_a_full_buffer_for_too_long_is_a_gap_and_the_state_is_right_afterwards(
    tmp_path: Path,
) -> None:
    clock = ManualClock(START)
    seen = Observer()
    async with FakeApiServer() as server, live(clock, tmp_path, server, buffer=SMALL) as sources:
        await all_watching(sources)
        (status,) = [each for each in sources.statuses if each.source == "pods"]
        for number in range(30):
            await server.put("pods", f"p{number}", "shop")
        await eventually(lambda: len(sources.buffer) == 10)
        clock.advance(5.0)
        await eventually(lambda: "full" in status.reason)
        for number in range(0, 30, 3):
            await server.delete("pods", f"p{number}", "shop")
        server.compact()
        while seen.objects != server.state("pods"):
            for fact in await drain(sources):
                await seen.emit(fact)
            if status.phase == "waiting":
                clock.advance(60.0)
            await asyncio.sleep(0.001)
        assert [reason for _, _, reason in seen.gaps] == ["overflow"]
        assert seen.gaps[0][0] == START


async def test_the_buffer_is_bounded_in_bytes_too() -> None:
    buffer = Buffer(ManualClock(START), BufferSettings(size=1000))
    big = [fact_of(START, "c", "pods", "ADDED", b'"%s"' % (b"x" * 400)) for _ in range(3)]
    assert [buffer.offer(each) for each in big] == [True, True, False]
    assert buffer.dropped == 1
    assert len(await buffer.take(1, 0.0)) == 1
    assert buffer.offer(big[2])


async def test_a_fact_larger_than_the_buffer_passes_alone() -> None:
    buffer = Buffer(ManualClock(START), BufferSettings(size=10))
    await buffer.put(fact_of(START, "c", "pods", "ADDED", b'"%s"' % (b"x" * 400)))
    assert len(buffer) == 1


async def test_waiting_for_room_ends_with_the_first_fact_taken() -> None:
    clock = ManualClock(START)
    buffer = Buffer(clock, BufferSettings(facts=1, patience=5.0))
    one = fact_of(START, "c", "pods", "ADDED", b"{}")
    await buffer.put(one)
    second = asyncio.ensure_future(buffer.put(one))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    await buffer.take(1, 0.0)
    await second
    third = asyncio.ensure_future(buffer.put(one))
    for _ in range(5):
        await asyncio.sleep(0)
    clock.advance(5.0)
    with pytest.raises(Overflow):
        await third


# ---- scope --------------------------------------------------------------------------------------


async def test_a_namespace_that_opts_out_takes_its_objects_along(tmp_path: Path) -> None:
    clock = ManualClock(START)
    seen = Observer()
    ignore = {"metadata": {"annotations": {"forewarn.dev/ignore": "true"}}}
    async with FakeApiServer() as server, live(clock, tmp_path, server) as sources:
        await server.put("namespaces", "shop")
        await server.put("pods", "a", "shop")
        await server.put("pods", "b", "team")
        await all_watching(sources)

        async def told(kind: str, name: str) -> None:
            while (kind, name) not in seen.events:
                for fact in await drain(sources):
                    await seen.emit(fact)
                await asyncio.sleep(0.001)

        await server.put("namespaces", "shop", **ignore)
        await told("DELETED", "a")
        await server.put("namespaces", "shop")
        await told("ADDED", "a")
        assert not seen.gaps
        assert ("DELETED", "b") not in seen.events


async def test_with_roles_alone_each_namespace_is_watched_by_itself(tmp_path: Path) -> None:
    clock = ManualClock(START)
    scope = ScopeSettings(include=("shop", "team"), namespaced=True)
    async with FakeApiServer() as server:
        await server.put("pods", "a", "shop")
        await server.put("pods", "b", "other")
        async with live(clock, tmp_path, server, scope=scope) as sources:
            await all_watching(sources)
            assert [fact.resource for fact in await drain(sources)] == ["pods"]
            assert {each.source for each in sources.statuses} >= {"pods/shop", "pods/team"}
        asked = {each.resource for each in server.seen}
        assert "nodes" not in asked
        assert "namespaces" not in asked


def test_clusters_need_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="'a' is there twice"):
        IngestSettings((ClusterSettings("a"), ClusterSettings("a")))
    with pytest.raises(Rejected, match="no cluster"):
        Live(IngestSettings(), ManualClock(), 5.0)
    assert IngestSettings().named("prod").clusters == (ClusterSettings("prod"),)

"""A reflector tells all that happened, once, in order. Faults are in `test_reflect_faults.py`."""

import asyncio
from pathlib import Path
from typing import cast

import aiohttp
import pytest

from ingest.answers import Reply
from ingest.reflect import ReflectSettings
from ingest.scope import Scope, ScopeSettings
from stream.testing import ManualClock
from tests.ingest.fake_apiserver import FakeApiServer
from tests.ingest.watching import START, eventually, watched

PAGES = ReflectSettings(streaming=False, page=3)
STREAM = ReflectSettings()
BOTH = pytest.mark.parametrize("settings", [PAGES, STREAM], ids=["pages", "stream"])


@BOTH
async def test_what_was_there_is_listed_and_what_happens_then_is_told_in_order(
    tmp_path: Path, settings: ReflectSettings
) -> None:
    async with FakeApiServer() as server:
        for number in range(8):
            await server.put("pods", f"p{number}", "shop")
        async with watched(server, tmp_path, settings=settings) as seen:
            await seen.watching(server)
            assert seen.names("LIST") == [f"p{number}" for number in range(8)]
            await server.put("pods", "new", "shop")
            await server.put("pods", "p3", "shop", status={"phase": "Running"})
            await server.delete("pods", "p5", "shop")
            await eventually(lambda: len(seen.events) == 11)
            assert seen.events[8:] == [("ADDED", "new"), ("MODIFIED", "p3"), ("DELETED", "p5")]
            assert seen.objects == server.state("pods")
            assert not seen.gaps
            assert {fact.cluster for fact in seen.facts} == {"prod"}


async def test_a_list_comes_in_pages_and_the_watch_starts_at_its_version(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        for number in range(7):
            await server.put("pods", f"p{number}", "shop")
        async with watched(server, tmp_path, settings=PAGES) as seen:
            await seen.watching(server)
        lists = [each.parameters for each in server.seen if each.verb == "list"]
        assert [each["limit"] for each in lists] == ["3", "3", "3"]
        assert ["continue" in each for each in lists] == [False, True, True]
        (watch,) = [each.parameters for each in server.seen if each.verb == "watch"]
        assert watch["resourceVersion"] == str(server.version)
        assert 300 <= int(watch["timeoutSeconds"]) <= 600


async def test_a_server_without_streamed_lists_is_asked_for_pages_at_once(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        server.streams_lists = False
        await server.put("pods", "a", "shop")
        async with watched(server, tmp_path) as seen:
            await seen.watching(server)
            assert seen.names("LIST") == ["a"]
            assert [each.verb for each in server.seen] == ["watch", "list", "watch"]
            assert not seen.reflector.status.counts["restart:refused"]


async def test_a_bookmark_moves_the_version_and_gives_no_fact(tmp_path: Path) -> None:
    async with FakeApiServer() as server, watched(server, tmp_path) as seen:
        await seen.watching(server)
        await server.put("nodes", "elsewhere")  # moves the version without a pod's event
        await seen.live_on(server, minutes=7)
        await server.end_watches()
        await eventually(lambda: server.count("watch") == 2)
        assert server.seen[-1].parameters["resourceVersion"] == str(server.version)
        assert not seen.facts


async def test_a_watch_that_ends_in_time_goes_on_at_once(tmp_path: Path) -> None:
    async with FakeApiServer() as server, watched(server, tmp_path) as seen:
        for turn in range(1, 5):
            await seen.watching(server)
            await seen.live_on(server, minutes=7)
            await server.end_watches()
            await eventually(lambda turn=turn: server.count("watch") == turn + 1)
        assert seen.reflector.status.counts["restart:timeout"] == 4
        assert server.count("list") == 0


async def test_an_object_that_opts_out_leaves_as_if_deleted_and_returns_as_if_added(
    tmp_path: Path,
) -> None:
    ignore = {"metadata": {"annotations": {"forewarn.dev/ignore": "true"}}}
    async with FakeApiServer() as server:
        await server.put("pods", "a", "shop")
        await server.put("pods", "b", "shop", **ignore)
        async with watched(server, tmp_path, scope=Scope()) as seen:
            await seen.watching(server)
            await server.put("pods", "a", "shop", **ignore)
            await server.put("pods", "a", "shop", **ignore, spec={})
            await server.put("pods", "a", "shop")
            await server.delete("pods", "b", "shop")
            await server.delete("pods", "a", "shop")
            await eventually(lambda: len(seen.events) >= 4)
            await server.put("pods", "end", "shop")
            await eventually(lambda: ("ADDED", "end") in seen.events)
            assert seen.events[:-1] == [
                ("LIST", "a"),
                ("DELETED", "a"),
                ("ADDED", "a"),
                ("DELETED", "a"),
            ]


async def test_namespaces_out_of_scope_give_nothing(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        await server.put("pods", "a", "shop")
        await server.put("pods", "b", "kube-system")
        scope = Scope(ScopeSettings(exclude=("kube-*",)))
        async with watched(server, tmp_path, scope=scope) as seen:
            await seen.watching(server)
            await server.put("pods", "b", "kube-system", spec={})
            await server.put("pods", "c", "shop")
            await eventually(lambda: len(seen.events) == 2)
            assert seen.events == [("LIST", "a"), ("ADDED", "c")]


@BOTH
async def test_a_changed_scope_is_a_new_list_without_a_gap(
    tmp_path: Path, settings: ReflectSettings
) -> None:
    async with FakeApiServer() as server:
        await server.put("pods", "a", "shop")
        await server.put("pods", "b", "team")
        scope = Scope()
        async with watched(server, tmp_path, scope=scope, settings=settings) as seen:
            await seen.watching(server)
            assert scope.note_namespace("team", {"forewarn.dev/ignore": "true"})
            seen.reflector.rescope()
            await eventually(lambda: seen.names("DELETED") == ["b"])
            await seen.watching(server)
            assert scope.note_namespace("team", {})
            seen.reflector.rescope()
            await eventually(lambda: seen.names("ADDED") == ["b"])
            assert not seen.gaps


async def test_the_time_since_an_earlier_run_is_a_gap(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        await server.put("pods", "a", "shop")
        async with watched(server, tmp_path, since=1_759_999_000.0) as seen:
            await seen.watching(server)
            assert seen.gaps == [(1_759_999_000.0, seen.clock.now(), "restart")]
            assert seen.facts[0].type == "ERROR"


class Ended:
    """A response whose body is over, as aiohttp's."""

    status = 200

    @property
    def content(self) -> "Ended":
        return self

    async def readany(self) -> bytes:
        return b""

    def close(self) -> None:
        """Nothing is open."""


async def test_a_cancellation_is_not_lost_while_an_answer_is_being_closed() -> None:
    reply = Reply(cast(aiohttp.ClientResponse, Ended()), ManualClock(START), "x")
    task = asyncio.create_task(reply.body(10, 1.0))
    await asyncio.sleep(0)  # it has read the end, and waits for its watchdog
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_memory_holds_no_objects(tmp_path: Path) -> None:
    async with FakeApiServer() as server, watched(server, tmp_path) as seen:
        await seen.watching(server)
        for turn in range(50):
            await server.put("pods", f"p{turn}", "shop", spec={"filler": "x" * 10_000})
            await server.delete("pods", f"p{turn}", "shop")
        await eventually(lambda: len(seen.events) == 100)
        assert seen.reflector.status.known == 0

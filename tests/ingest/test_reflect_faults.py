"""Whatever the API server does, the facts lead to its state, and what may be lost is said.

Each fault of `operations.md` 1.3 (F12 to F17) in every form that we know of. What a real server can
be made to show is in `test_real_cluster.py`.
"""

import json
from pathlib import Path

import pytest

from ingest.facts import fact_of
from ingest.reflect import ReflectSettings
from tests.ingest.fake_apiserver import (
    FakeApiServer,
    answers,
    closes_at_once,
    hangs,
    is_silent,
    says,
)
from tests.ingest.watching import START, Watched, eventually, watched

PAGES = ReflectSettings(streaming=False, page=3)
STREAM = ReflectSettings()
BOTH = pytest.mark.parametrize("settings", [PAGES, STREAM], ids=["pages", "stream"])


async def some_pods(server: FakeApiServer, count: int = 8) -> None:
    for number in range(count):
        await server.put("pods", f"p{number}", "shop")


async def churn(server: FakeApiServer) -> None:
    """One of each: changed, gone, new; and one that came and went unseen."""
    await server.put("pods", "p1", "shop", status={"phase": "Running"})
    await server.delete("pods", "p2", "shop")
    await server.put("pods", "p9", "shop")
    await server.put("pods", "flash", "shop")
    await server.delete("pods", "flash", "shop")


# ---- F12: the server goes away ------------------------------------------------------------------


async def test_a_reset_connection_resumes_behind_the_last_event_and_loses_nothing(
    tmp_path: Path,
) -> None:
    async with FakeApiServer() as server:
        await some_pods(server)
        async with watched(server, tmp_path) as seen:
            for _ in range(5):
                await seen.watching(server)
                await server.reset_watches()
                await churn(server)
                assert await seen.wait() <= 60.0
                await seen.equals(lambda: server.state("pods"))
                await server.put("pods", "p2", "shop")
                await server.delete("pods", "p9", "shop")
                await seen.equals(lambda: server.state("pods"))
            assert not seen.gaps
            assert seen.names("ADDED").count("flash") == 5  # even what came and went
            assert server.count("list") == 0


# ---- F13: 410 in every form ---------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("form", ["http", "event"])
async def test_a_version_no_longer_kept_is_a_gap_and_a_comparison_and_nothing_is_falsely_new(
    tmp_path: Path, settings: ReflectSettings, form: str
) -> None:
    async with FakeApiServer() as server:
        server.gone_as = form
        await some_pods(server)
        async with watched(server, tmp_path, settings=settings) as seen:
            await seen.watching(server)
            lost_from = seen.clock.now()
            await server.reset_watches()
            await churn(server)
            server.compact()
            await seen.wait()
            await seen.wait()
            await seen.equals(lambda: server.state("pods"))
            ((since, until, reason),) = seen.gaps
            assert (since, reason) == (lost_from, "Expired")
            assert lost_from < until <= seen.clock.now()
            later = seen.events[8:]
            assert sorted(later) == [("ADDED", "p9"), ("DELETED", "p2"), ("MODIFIED", "p1")]
            kinds = [fact.type for fact in seen.facts[8:]]
            assert kinds[0] == "ERROR"  # said before the comparison


async def test_the_first_list_after_a_410_asks_for_the_last_version_the_second_for_any(
    tmp_path: Path,
) -> None:
    async with FakeApiServer() as server:
        await some_pods(server)
        async with watched(server, tmp_path, settings=PAGES) as seen:
            await seen.watching(server)
            known = str(server.version)
            await server.reset_watches()
            await churn(server)
            server.compact()
            server.once["list"].append(answers(410, "Expired"))
            await seen.wait()
            await seen.wait()
            await seen.wait()
            await seen.equals(lambda: server.state("pods"))
        starts = [
            (each.parameters.get("resourceVersion"), each.parameters.get("resourceVersionMatch"))
            for each in server.seen
            if each.verb == "list" and "continue" not in each.parameters
        ]
        assert starts == [(None, None), (known, "NotOlderThan"), (None, None)]


async def test_a_restored_etcd_whose_versions_lie_behind_ours_is_listed_anew(
    tmp_path: Path,
) -> None:
    async with FakeApiServer() as server:
        await some_pods(server)
        async with watched(server, tmp_path, settings=PAGES) as seen:
            await seen.watching(server)
            await server.reset_watches()
            server.version -= 50
            await seen.wait()  # watch: too large
            await seen.wait()  # list at that version: 504, too large
            await seen.wait()
            await eventually(lambda: server.watching)
            assert [each[2] for each in seen.gaps] == ["Expired"]


async def test_a_continue_token_that_expires_begins_the_list_again_with_larger_pages(
    tmp_path: Path,
) -> None:
    async with FakeApiServer() as server:
        await some_pods(server)

        async def compacts_after_the_first_page(fake: FakeApiServer, request: object) -> object:
            page = fake._list("pods", "", {"limit": "3"})
            await fake.put("pods", "p0", "shop", spec={})
            fake.compact()
            return page

        server.once["list"].append(compacts_after_the_first_page)  # type: ignore[arg-type]
        async with watched(server, tmp_path, settings=PAGES) as seen:
            await seen.wait()
            await seen.watching(server)
            await server.put("pods", "p1", "shop", spec={})
            await eventually(lambda: seen.objects == server.state("pods"))
            assert not seen.gaps  # there was no earlier knowledge to lose
            assert server.seen[2].parameters["limit"] == "6"


# ---- F14: silence -------------------------------------------------------------------------------


@pytest.mark.parametrize("idle", [150.0, 15.0])
async def test_a_watch_without_a_byte_is_found_in_the_configured_time(
    tmp_path: Path, idle: float
) -> None:
    async with FakeApiServer() as server:
        await some_pods(server)
        settings = ReflectSettings(streaming=False, idle=idle)
        server.once["watch"].append(is_silent)
        async with watched(server, tmp_path, settings=settings) as seen:
            await eventually(lambda: seen.reflector.status.phase == "watching")
            await churn(server)
            seen.clock.advance(idle - 0.1)
            await seen.is_still("watching")
            seen.clock.advance(0.1)
            await seen.wait()
            assert seen.reflector.status.counts["restart:stalled"] == 1
            await seen.equals(lambda: server.state("pods"))
            assert not seen.gaps  # it resumed at its version


async def test_headers_that_never_come_are_found_too(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        server.once["watch"].append(hangs)
        async with watched(server, tmp_path, settings=PAGES) as seen:
            await eventually(lambda: server.count("watch"))
            seen.clock.advance(30.0)
            await seen.wait()
            await seen.watching(server)


async def test_silence_and_then_410_is_a_gap_that_says_stalled(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        await some_pods(server)
        server.once["watch"].append(is_silent)
        async with watched(server, tmp_path, settings=PAGES) as seen:
            await eventually(lambda: seen.reflector.status.phase == "watching")
            await churn(server)
            server.compact()
            seen.clock.advance(150.0)
            await seen.wait()
            await seen.wait()
            await seen.equals(lambda: server.state("pods"))
            assert [(since, reason) for since, _, reason in seen.gaps] == [(START, "stalled")]


# ---- F15: failing, throttling, forbidding -------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [closes_at_once, answers(500), answers(503), answers(410, "Expired")]
)
@pytest.mark.parametrize("verb", ["watch", "list"])
async def test_a_failing_server_sees_less_than_twelve_requests_a_minute(
    tmp_path: Path, fault: object, verb: str
) -> None:
    async with FakeApiServer() as server:
        await some_pods(server, 2)
        server.always[verb] = fault  # type: ignore[assignment]
        async with watched(server, tmp_path, settings=PAGES) as seen:
            while seen.clock.now() < START + 120.0:
                await seen.wait()
            before, began = len(server.seen), seen.clock.now()
            while seen.clock.now() < began + 1200.0:
                await seen.wait()
            steady = (len(server.seen) - before) / ((seen.clock.now() - began) / 60.0)
            assert steady <= 12.0
            del server.always[verb]
            await seen.recovers(lambda: server.watching)
            assert seen.objects == server.state("pods")


async def test_the_first_wait_is_short_and_the_ladder_ends_at_half_a_minute(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        server.always["list"] = answers(500)
        async with watched(server, tmp_path, settings=PAGES) as seen:
            waits = [await seen.wait() for _ in range(12)]
        assert 0.8 <= waits[0] <= 1.6
        assert all(30.0 <= each <= 60.0 for each in waits[6:])


async def test_two_healthy_minutes_bring_the_ladder_back_to_its_foot(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        server.always["list"] = answers(500)
        async with watched(server, tmp_path, settings=PAGES) as seen:
            for _ in range(8):
                await seen.wait()
            del server.always["list"]
            await seen.recovers(lambda: server.watching)
            await seen.live_on(server, minutes=3)
            await server.reset_watches()
            assert await seen.wait() <= 1.6


async def test_retry_after_is_honoured_beyond_the_ladder(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        server.once["list"].append(answers(429, "TooManyRequests", {"Retry-After": "42"}))
        async with watched(server, tmp_path, settings=PAGES) as seen:
            assert await seen.wait() >= 42.0
            await seen.watching(server)


async def test_a_missing_permission_names_verb_and_resource_and_is_asked_for_slowly(
    tmp_path: Path,
) -> None:
    async with FakeApiServer() as server:
        server.forbidden = {("list", "replicasets")}
        async with watched(server, tmp_path, "replicasets", settings=PAGES) as seen:
            assert await seen.wait() >= 60.0
            reason = seen.reflector.status.reason
            assert 'RBAC lacks the verb "list" on "replicasets.apps"' in reason
            server.forbidden = set()
            await seen.recovers(lambda: server.watching)
            await seen.watching(server)
            assert not seen.reflector.status.reason


# ---- F16: token rotation ------------------------------------------------------------------------


async def test_a_rotated_token_is_read_anew_and_is_no_error(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        server.tokens = {"first"}
        async with watched(server, tmp_path, token="first") as seen:
            for token in ("second", "third", "fourth"):
                await seen.live_on(server, minutes=7)
                server.tokens = {token}
                server.kubeconfig(tmp_path / "kubeconfig", token)
                await server.end_watches()
                await eventually(lambda: not server.watching)
            await seen.watching(server)
            await server.put("pods", "a", "shop")
            await seen.equals(lambda: server.state("pods"))
            counts = seen.reflector.status.counts
            assert counts["restart:timeout"] == 3
            assert not counts["restart:denied"]
            assert not counts["restart:unavailable"]


async def test_a_token_that_is_refused_for_good_is_told_and_never_shown(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        server.tokens = {"right"}
        async with watched(server, tmp_path, token="hunter2-canary") as seen:
            assert await seen.wait() >= 60.0
            assert "not authenticated" in seen.reflector.status.reason
            assert "canary" not in seen.reflector.status.reason
            assert len(server.seen) == 1  # the same token is not tried again


# ---- F17: broken lines --------------------------------------------------------------------------

GOOD = {"metadata": {"name": "odd", "namespace": "shop", "uid": "odd", "resourceVersion": "9"}}
BROKEN = {
    "no JSON": b'{"type": "ADDED", "object": {"meta\n',
    "10 MiB": b'{"type":"ADDED","object":{"x":"' + b"x" * (10 << 20) + b'"}}\n',
    "not UTF-8": json.dumps({"type": "ADDED", "object": GOOD}).encode().replace(b"odd", b"o\xffd")
    + b"\n",
    "no metadata": b'{"type": "ADDED", "object": {}}\n',
    "no object": b'{"type": "ADDED"}\n',
    "deep": b'{"type": "ADDED", "object": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN.keys())
async def test_a_line_broken_on_its_way_is_counted_and_read_again(
    tmp_path: Path, line: bytes
) -> None:
    async with FakeApiServer() as server:
        await some_pods(server)
        async with watched(server, tmp_path) as seen:
            await seen.watching(server)
            await server.send(line)
            await churn(server)
            await seen.wait()
            await seen.equals(lambda: server.state("pods"))
            assert seen.reflector.status.counts["broken_lines"] == 1
            assert not seen.gaps


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN.keys())
async def test_a_line_that_stays_broken_is_left_out_and_said(tmp_path: Path, line: bytes) -> None:
    async with FakeApiServer() as server:
        await some_pods(server)
        async with watched(server, tmp_path) as seen:
            await seen.watching(server)
            await server.send(line)
            await seen.wait()
            await seen.watching(server)
            await server.send(line)
            await churn(server)
            await seen.equals(lambda: server.state("pods"))
            assert [reason for _, _, reason in seen.gaps] == ["broken-line"]


async def test_a_line_cut_by_the_end_of_the_connection_is_read_again(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        await some_pods(server)
        server.once["watch"].append(says(b'{"type": "ADDED", "obj', then="end"))
        async with watched(server, tmp_path, settings=PAGES) as seen:
            await eventually(lambda: seen.reflector.status.phase == "waiting")
            await churn(server)
            await seen.wait()
            await seen.equals(lambda: server.state("pods"))
            assert seen.reflector.status.counts["restart:broken-line"] == 1


async def test_events_survive_every_fault_one_after_the_other(tmp_path: Path) -> None:
    """The figure: events lost 0, whatever order the faults come in."""
    faults = [answers(500), closes_at_once, answers(429), says(b"{\n"), says(then="reset")]
    async with FakeApiServer() as server, watched(server, tmp_path, settings=PAGES) as seen:
        told = 0
        for number in range(25):
            await seen.watching(server)
            server.once["watch"].append(faults[number % len(faults)])
            await server.reset_watches()
            await seen.wait()
            await server.put("events", f"e{number}", "shop")
            await server.put("pods", f"p{number}", "shop")
            await server.put("pods", f"p{number}", "shop", spec={})
            await server.delete("pods", f"p{number}", "shop")
            told += 3
            await seen.recovers(lambda told=told: len(seen.events) >= told)
        assert len(seen.events) == told
        assert not seen.gaps


async def test_the_oracle_refuses_what_is_false() -> None:
    seen = Watched()
    pod = json.dumps(GOOD).encode()
    await seen.emit(fact_of(1.0, "prod", "pods", "ADDED", pod))
    with pytest.raises(AssertionError, match="false ADDED"):
        await seen.emit(fact_of(2.0, "prod", "pods", "ADDED", pod))

"""One replica works at a time, and a successor need not wait for one that left in good order."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from ingest.lease import Lease, LeaseSettings
from stream.testing import ManualClock
from tests.ingest.fake_apiserver import FakeApiServer, answers
from tests.ingest.watching import START, connect, eventually


class Replica:
    """A replica whose work is to note that it works."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.starts = 0
        self.working = False

    async def work(self) -> None:
        self.starts += 1
        self.working = True
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False


@asynccontextmanager
async def replica(
    server: FakeApiServer, folder: Path, clock: ManualClock, name: str
) -> AsyncIterator[Replica]:
    cluster = await connect(server, folder, clock)
    lease = Lease(cluster, clock, name, LeaseSettings(namespace="ops"), random.Random(1))
    each = Replica(lease)
    task = asyncio.create_task(lease.lead(each.work))
    try:
        yield each
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await cluster.aclose()


def holder(server: FakeApiServer) -> str:
    lease = server.objects["leases"]["ops", "forewarn-ingest"]
    return str(lease["spec"].get("holderIdentity", ""))


async def pass_time(clock: ManualClock, server: FakeApiServer, seconds: float) -> None:
    """Let tries happen, second by second."""
    for _ in range(int(seconds)):
        clock.advance(1.0)
        for _ in range(8):
            await asyncio.sleep(0.001)


async def test_the_first_works_and_the_second_stands_by(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server, replica(server, tmp_path, clock, "a") as first:
        await eventually(lambda: first.working)
        async with replica(server, tmp_path, clock, "b") as second:
            await pass_time(clock, server, 60)
            assert (first.working, second.working) == (True, False)
            assert second.lease.standby
            assert second.lease.holder == "a"
            assert first.starts == 1


async def test_a_lease_given_back_is_taken_at_the_next_try(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server:
        async with replica(server, tmp_path, clock, "b") as second:
            await eventually(lambda: second.working)
        assert holder(server) == ""
        async with replica(server, tmp_path, clock, "c") as third:
            await eventually(lambda: third.working)
            assert (
                server.objects["leases"]["ops", "forewarn-ingest"]["spec"]["leaseTransitions"] == 1
            )


async def test_a_holder_that_died_is_succeeded_after_fifteen_seconds(tmp_path: Path) -> None:
    clock = ManualClock(START)
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 15, "renewTime": "x"}
    async with FakeApiServer() as server:
        await server.put("leases", "forewarn-ingest", "ops", spec=spec)
        async with replica(server, tmp_path, clock, "b") as second:
            await pass_time(clock, server, 14)
            assert not second.working
            await pass_time(clock, server, 5)
            await eventually(lambda: second.working)


async def test_a_holder_that_cannot_renew_stops_before_another_may_begin(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with FakeApiServer() as server, replica(server, tmp_path, clock, "a") as first:
        await eventually(lambda: first.working)
        await pass_time(clock, server, 5)
        server.always["get"] = answers(500)
        await pass_time(clock, server, 9)
        assert first.working
        await pass_time(clock, server, 6)
        await eventually(lambda: not first.working)
        del server.always["get"]
        await pass_time(clock, server, 4)
        await eventually(lambda: first.working)
        assert first.starts == 2


async def test_two_that_try_at_once_do_not_both_win(tmp_path: Path) -> None:
    clock = ManualClock(START)
    async with (
        FakeApiServer() as server,
        replica(server, tmp_path, clock, "a") as first,
        replica(server, tmp_path, clock, "b") as second,
    ):
        await eventually(lambda: first.working or second.working)
        await pass_time(clock, server, 30)
        assert first.working != second.working


async def test_work_that_ends_or_fails_gives_the_lease_back(tmp_path: Path) -> None:
    clock = ManualClock(START)

    async def fails() -> None:
        raise ValueError("a bug")

    async with FakeApiServer() as server:
        cluster = await connect(server, tmp_path, clock)
        lease = Lease(cluster, clock, "a", LeaseSettings(namespace="ops"))
        with pytest.raises(ValueError, match="a bug"):
            await lease.lead(fails)
        assert holder(server) == ""
        await cluster.aclose()


def test_times_that_cannot_be_safe_are_refused() -> None:
    for times in ({"renew_within": 20.0}, {"retry": 12.0}):
        with pytest.raises(ValueError, match="retry < renew_within < duration"):
            LeaseSettings(**times)

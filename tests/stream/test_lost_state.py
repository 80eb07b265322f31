"""What a task does when state or inputs were lost or reset behind its back: refuse, aloud.

Each is tried on the embedded bus; the bus only keeps what the task then compares.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from stream.bus import Ownership
from stream.embedded import EmbeddedBus
from stream.errors import Corrupt
from stream.runtime import Pace, Task
from stream.task_state import MANIFEST
from stream.testing import ManualClock
from stream.topics import DEAD_LETTERS, FINDINGS, PODS
from tests.stream.toy import Toy, fill, messages, stream

PACE = Pace(commit_records=20, snapshot_records=50)
RECORDS = stream(300, seed=8)


def task(bus: EmbeddedBus, **options: Any) -> Task:
    return Task(bus, "app", 0, 1, lambda: [Toy()], clock=ManualClock(), pace=PACE, **options)


async def worked(bus: EmbeddedBus, count: int) -> None:
    running = task(bus)
    while running.counters.records < count:
        await running.step(10)
    await running.flush()
    await running.aclose()


async def rewritten(bus: EmbeddedBus, changes: Mapping[bytes, bytes | None]) -> None:
    owner: Ownership = await bus.own("app", 0, [PODS])
    await owner.commit([], changes, {})


async def test_a_lost_page_is_refused() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        await worked(bus, 200)
        owner = await bus.own("app", 0, [PODS])
        pages = sorted(key for key in await owner.changelog() if key != MANIFEST)
        assert len(pages) > 1
        await rewritten(bus, {pages[-1]: None})
        with pytest.raises(Corrupt, match="not those that its manifest was written with"):
            await task(bus).step()


async def test_an_older_page_is_refused() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        await worked(bus, 100)
        old = dict(await (await bus.own("app", 0, [PODS])).changelog())
        await worked(bus, 100)
        changed = await (await bus.own("app", 0, [PODS])).changelog()
        page = next(key for key in sorted(old) if key != MANIFEST and old[key] != changed[key])
        await rewritten(bus, {page: old[page]})
        with pytest.raises(Corrupt, match="not those that its manifest was written with"):
            await task(bus).step()


async def test_offsets_that_somebody_has_reset_are_refused() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        await worked(bus, 100)
        owner = await bus.own("app", 0, [PODS])
        await owner.commit([], {}, {PODS: 7})
        with pytest.raises(Corrupt, match="but 7 is committed"):
            await task(bus).step()


async def test_a_lost_changelog_is_refused() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        await worked(bus, 100)
        owner = await bus.own("app", 0, [PODS])
        await rewritten(bus, dict.fromkeys(await owner.changelog()))
        with pytest.raises(Corrupt, match="state up to offset None"):
            await task(bus).step()


async def test_lost_input_is_refused_and_with_on_gap_skip_said_and_passed() -> None:
    async with EmbeddedBus.open() as bus:
        await fill(bus, RECORDS)
        await worked(bus, 100)
        before = await bus.end_offsets(FINDINGS)
        await bus.publish(messages(stream(400, seed=9))[300:])
        await bus.trim(1e9)  # all inputs are gone, those never read among them
        [end] = await bus.end_offsets(PODS)
        with pytest.raises(Corrupt, match="retention"):
            await task(bus).step()
        running = task(bus, skip_gaps=True)
        await running.step()
        later = messages(stream(700, seed=10))[600:]
        await bus.publish(later)
        while await running.step():
            pass
        await running.flush()
        letters = (await bus.read(DEAD_LETTERS, 0, 0, 10)).messages  # type: ignore[union-attr]
        assert len(letters) == 1
        assert f"to {end} are no longer kept".encode() in letters[0].value
        assert running.counters.records == len(later)
        assert await bus.end_offsets(FINDINGS) > before
        await running.aclose()
        again = task(bus)  # the gap is behind: nothing special any more
        await again.step()
        await again.aclose()

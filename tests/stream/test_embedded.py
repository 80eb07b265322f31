"""What only the embedded bus has: a file that can be damaged, foreign, locked, or too large.

Leaves out all that a bus must do (`tests/conformance/test_buses.py`).
"""

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from stream.bus import Outgoing, TopicSpec
from stream.embedded import EmbeddedBus
from stream.embedded_store import Store
from stream.errors import Corrupt, Unavailable

TOPICS = [TopicSpec("in", 1, 60.0)]


def numbered(count: int, size: int = 10, at: float = 0.0) -> list[Outgoing]:
    return [Outgoing("in", 0, b"%d" % i, bytes(size), at) for i in range(count)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "bus.db"


async def filled(place: Path) -> None:
    async with EmbeddedBus.open(place) as bus:
        await bus.ensure(TOPICS)
        await bus.publish(numbered(2_500))
        owner = await bus.own("app", 0, ["in"])
        await owner.commit([], {b"op/0": bytes(1_000)}, {"in": 0})


def changed(place: Path, sql: str) -> None:
    db = sqlite3.connect(place)
    with db:
        db.execute(sql)
    db.close()


async def test_offsets_are_dense_over_many_publishes_and_trims() -> None:
    async with EmbeddedBus.open() as bus:
        await bus.ensure(TOPICS)
        for i in range(10):
            await bus.publish(numbered(777, at=i * 30.0))
        start = (await bus.start_offsets("in"))[0] + await bus.trim(200.0)
        assert list(await bus.start_offsets("in")) == [start]
        batch = await bus.read("in", 0, start, 100_000)
        assert batch is not None
        assert [m.offset for m in batch.messages] == list(range(start, 7_770))


def test_a_file_that_is_no_database_is_corrupt(place: Path) -> None:
    place.write_bytes(b"not a database at all" * 1_000)
    with pytest.raises(Corrupt, match="backup"):
        Store(place)


async def test_another_programs_database_is_left_alone(place: Path) -> None:
    changed(place, "CREATE TABLE theirs (x)")
    with pytest.raises(Corrupt, match="not ours"):
        async with EmbeddedBus.open(place):
            pass
    changed(place, "INSERT INTO theirs VALUES (1)")


async def test_another_schema_version_is_corrupt(place: Path) -> None:
    await filled(place)
    changed(place, "PRAGMA user_version = 7")
    with pytest.raises(Corrupt, match="schema version 7"):
        async with EmbeddedBus.open(place):
            pass


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE log SET data = zeroblob(length(data)) WHERE base = 1000",
        "UPDATE log SET data = CAST(substr(data, 1, length(data) - 1) || x'00' AS BLOB) "
        "WHERE base = 1000",
        "UPDATE log SET data = (SELECT data FROM log WHERE base = 2000) WHERE base = 1000",
        "UPDATE log SET n = n - 1 WHERE base = 1000",
        "DELETE FROM log WHERE base = 1000",
    ],
)
async def test_a_damaged_or_missing_row_is_corrupt_and_not_skipped(
    place: Path, damage: str
) -> None:
    await filled(place)
    changed(place, damage)
    async with EmbeddedBus.open(place) as bus:
        assert await bus.read("in", 0, 0, 1_000) is not None
        with pytest.raises(Corrupt, match="damaged at offset"):
            await bus.read("in", 0, 1_000, 1_500)
        owner = await bus.own("app", 0, ["in"])
        owner.seek({"in": 900})
        for _ in range(2):  # what came before the damage is not lost by asking again
            with pytest.raises(Corrupt, match="damaged at offset"):
                await owner.poll(1_500)


@pytest.mark.parametrize("form", ["CAST({} AS BLOB)", "{}"])
async def test_damaged_state_is_corrupt(place: Path, form: str) -> None:
    await filled(place)
    value = form.format("substr(value, 1, length(value) - 1) || x'00'")
    changed(place, f"UPDATE state SET value = {value}")
    async with EmbeddedBus.open(place) as bus:
        owner = await bus.own("app", 0, ["in"])
        with pytest.raises(Corrupt, match="state"):
            await owner.changelog()


def test_overwritten_pages_are_corrupt(place: Path) -> None:
    asyncio.run(filled(place))
    whole = place.read_bytes()
    place.write_bytes(whole[:16_384] + b"\xff" * (len(whole) - 16_384))
    with pytest.raises(Corrupt, match="restore it from a backup"):
        Store(place).read("in", 0, 0, 10)


async def test_a_locked_file_is_unavailable(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.embedded_store._BUSY_MS", 50)
    async with EmbeddedBus.open(place) as bus:
        await bus.ensure(TOPICS)
        other = sqlite3.connect(place, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process"):
            await bus.publish(numbered(1))
        assert await bus.read("in", 0, 0, 1) is None  # readers do not wait for writers
        other.execute("ROLLBACK")
        other.close()
        await bus.publish(numbered(1))


async def test_a_full_disk_is_unavailable_and_nothing_of_the_commit_is_seen(place: Path) -> None:
    async with EmbeddedBus.open(place) as bus:
        await bus.ensure(TOPICS)
        await bus.publish(numbered(10))
        database = bus._file.writer._db
        [pages] = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages + 1}")
        owner = await bus.own("app", 0, ["in"])
        with pytest.raises(Unavailable, match="disk is full"):
            await owner.commit(
                numbered(10), {b"k": random.Random(1).randbytes(10_000_000)}, {"in": 10}
            )
        database.execute("PRAGMA max_page_count = 1000000")
        assert list(await bus.end_offsets("in")) == [10]
        await owner.commit(numbered(10), {b"k": b"v"}, {"in": 10})
        assert list(await bus.end_offsets("in")) == [20]


async def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="folder exists"):
        async with EmbeddedBus.open(tmp_path / "no" / "bus.db"):
            pass


async def test_a_reader_that_never_runs_dry_lets_others_have_a_turn() -> None:
    async with EmbeddedBus.open() as bus:
        await bus.ensure(TOPICS)
        await bus.publish(numbered(100))
        owner = await bus.own("app", 0, ["in"])
        owner.seek({})
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        running = asyncio.create_task(other())
        while await owner.poll(1):
            pass
        running.cancel()
        assert turns >= 100


async def test_a_temporary_bus_leaves_nothing_behind() -> None:
    async with EmbeddedBus.open() as bus:
        folder = bus._file.writer._path.parent
        assert folder.exists()
    assert not folder.exists()
    await bus.aclose()  # idempotent


def test_a_commit_is_synced_as_asked(place: Path) -> None:
    for wanted, level in (("FULL", 2), ("NORMAL", 1), ("OFF", 0)):
        store = Store(place, wanted)  # type: ignore[arg-type]
        assert store._one("PRAGMA synchronous") == level
        assert store._one("PRAGMA journal_mode") == "wal"
        store.close()

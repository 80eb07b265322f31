"""A tape as a source: ticks between facts, dead letters with their place, exact resumption."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.intake import Intake
from ingest.normalise import Normaliser
from ingest.publish import Publisher
from ingest.recording import TapeWriter
from ingest.replay import Chunk, TapeSource, pace
from stream.bus import Outgoing
from stream.codec import decode
from stream.errors import Rejected
from stream.records import DeadLetter, PodRecord, Tick
from stream.testing import ManualClock
from stream.topics import INPUTS

AT = 1_760_000_000.0


@pytest.fixture
def tape(tmp_path: Path, golden: Callable[[str], Any], fact: Callable[..., Any]) -> Path:
    """Sixty seconds of a pod that restarts each second, and a broken line in the middle."""
    path = tmp_path / "demo.tape"
    with TapeWriter(path) as writer:
        for second in range(60):
            pod = golden("pod")
            pod["metadata"]["resourceVersion"] = str(1000 + second)
            pod["status"]["containerStatuses"][0]["restartCount"] = second
            writer.write(fact("pods", pod, at=AT + second))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:30], b"{broken\n", *lines[30:]]))
    return path


def source(path: Path, **options: Any) -> TapeSource:
    return TapeSource([path], Intake(Normaliser(), Publisher(2)), **options)


def play(path: Path, position: bytes | None = None, **options: Any) -> list[Chunk]:
    return list(source(path, **options).chunks(position))


def sent(chunks: list[Chunk]) -> tuple[list[Outgoing], list[DeadLetter]]:
    return (
        [message for chunk in chunks for message in chunk.messages],
        [letter for chunk in chunks for letter in chunk.dead_letters],
    )


def test_every_partition_of_every_input_hears_each_tick_in_order(tape: Path) -> None:
    messages, letters = sent(play(tape))
    for topic in INPUTS:
        for partition in (0, 1):
            ticks = [
                record.at
                for message in messages
                if (message.topic, message.partition) == (topic, partition)
                and isinstance(record := decode(message.topic, message.value), Tick)
            ]
            assert ticks == [AT + 5.0 * n for n in range(1, 13)]
    clock = 0.0
    for message in messages:
        record = decode(message.topic, message.value)
        if isinstance(record, Tick):
            clock = record.at
        else:
            assert isinstance(record, PodRecord)
            assert record.at >= clock
            assert dict(message.headers) == {"schema": b"pod.v1"}
            assert message.key == b"prod/shop/Deployment/checkout"
    (letter,) = letters
    assert letter.place == "tape demo.tape line 31"
    assert letter.value == b"{broken"
    assert letter.at == AT + 29


@pytest.mark.parametrize(
    "options", [{"chunk_lines": 1}, {"chunk_lines": 7}, {"chunk_seconds": 3.0}]
)
def test_chunks_do_not_change_what_is_sent(tape: Path, options: dict[str, Any]) -> None:
    assert sent(play(tape, **options)) == sent(play(tape))


def test_a_restart_at_any_chunk_goes_on_exactly(tape: Path) -> None:
    whole = play(tape, chunk_lines=9)
    for cut in range(len(whole)):
        before = whole[: cut + 1]
        after = play(tape, before[-1].position.value, chunk_lines=13)
        messages, letters = sent([*before, *after])
        assert (messages, letters) == sent(whole)
        assert all(not chunk.messages for chunk in after if chunk.skipped)


def test_a_finished_tape_sends_nothing_again(tape: Path) -> None:
    last = play(tape)[-1]
    assert sent(play(tape, last.position.value)) == ([], [])


def test_a_tape_may_grow_and_is_then_read_on(tape: Path, tmp_path: Path) -> None:
    lines = tape.read_bytes().splitlines(keepends=True)
    grown = tmp_path / "grown.tape"
    grown.write_bytes(b"".join(lines[:20]))
    first = play(grown)
    grown.write_bytes(b"".join(lines))
    again = play(grown, first[-1].position.value)
    pods = [
        m for m in sent([*first, *again])[0] if m.topic == "pods" and m.headers[0][1] == b"pod.v1"
    ]
    assert len(pods) == 60


@pytest.mark.parametrize("cut", [1, 40, 4000])
def test_a_line_that_was_cut_is_read_whole_once_it_is(tape: Path, tmp_path: Path, cut: int) -> None:
    text = tape.read_bytes().replace(b"{broken\n", b"")
    grown = tmp_path / "grown.tape"
    grown.write_bytes(text[:-cut])
    first = play(grown, chunk_lines=20)
    again = play(grown, first[-1].position.value)
    assert sent(again) == ([], [])  # what is known to be cut is not said again
    grown.write_bytes(text)
    more = play(grown, again[-1].position.value, chunk_lines=20)
    messages, letters = sent([*first, *again, *more])
    pods = [decode("pods", m.value) for m in messages if m.headers[0][1] == b"pod.v1"]
    assert [pod.containers[1].restarts for pod in pods] == list(range(60))
    assert len(letters) == (0 if cut == 1 else 1)


def test_the_position_of_another_tape_is_rejected(tape: Path, tmp_path: Path) -> None:
    position = play(tape)[-1].position.value
    other = tmp_path / "other.tape"
    other.write_bytes(b"{}\n")
    with pytest.raises(Rejected, match=r"other\.tape begins differently.*source name of its own"):
        play(other, position)
    with pytest.raises(Rejected, match="unreadable"):
        play(tape, b"rubbish")


def test_progress_reaches_its_end(tape: Path) -> None:
    last = play(tape)[-1]
    assert last.bytes_done == last.bytes_total == tape.stat().st_size
    assert last.lines == 61
    assert last.event_time == AT + 59


def test_the_cluster_can_be_renamed(tape: Path) -> None:
    messages, _ = sent(play(tape, cluster="copy"))
    assert {decode(m.topic, m.value).cluster for m in messages} == {"copy"}


async def test_sixty_times_the_speed_takes_a_sixtieth(tape: Path) -> None:
    clock = ManualClock(0.0)
    came: list[tuple[float, float]] = []

    async def watch() -> None:
        chunks = source(tape, chunk_seconds=6.0).chunks()
        came.extend([(clock.now(), c.event_time) async for c in pace(chunks, clock, 60.0)])

    task = asyncio.create_task(watch())
    while not task.done():
        await asyncio.sleep(0)
        clock.advance(0.01)
    for now, event_time in came:
        assert now == pytest.approx((event_time - came[0][1]) / 60.0, abs=0.03)
    assert len(came) == 10


async def test_full_speed_never_waits(tape: Path) -> None:
    assert [chunk async for chunk in pace(source(tape).chunks(), ManualClock())]


async def test_what_was_published_is_not_waited_for(tape: Path) -> None:
    position = play(tape, chunk_lines=10)[-2].position.value
    chunks = source(tape, chunk_lines=10).chunks(position)
    assert [c async for c in pace(chunks, ManualClock(), 1.0)][-1].lines == 61


def test_a_speed_of_nothing_is_refused(tape: Path) -> None:
    with pytest.raises(ValueError, match="speed must be positive"):
        asyncio.run(anext(pace([], ManualClock(), 0.0)))


def test_an_unreadable_object_is_a_dead_letter_and_the_rest_goes_on(
    tmp_path: Path, golden: Callable[[str], Any], fact: Callable[..., Any]
) -> None:
    nameless = golden("pod")
    del nameless["metadata"]["uid"]
    path = tmp_path / "demo.tape"
    with TapeWriter(path) as writer:
        writer.write(fact("pods", nameless))
        writer.write(fact("pods", golden("pod"), at=AT + 1))
    messages, (letter,) = sent(play(path))
    assert "uid" in letter.error
    assert json.loads(letter.value)["object"] == nameless
    assert sum(dict(m.headers)["schema"] == b"pod.v1" for m in messages) == 1

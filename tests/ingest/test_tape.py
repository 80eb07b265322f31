"""Tapes: what is written is read, in every compression, and damage costs only what it hit."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ingest.facts import KEPT, Fact, fact_of, read_fact
from ingest.recording import TapeWriter
from ingest.tape import Line, TapeReader
from stream.errors import Rejected

ENDINGS = ("demo.tape", "demo.tape.zst", "demo.tape.gz")


def line(at: float = 1.0, **more: object) -> bytes:
    fact = {"at": at, "cluster": "prod", "resource": "pods", "type": "ADDED", "object": {}}
    return json.dumps(fact | more).encode()


GOOD = line()


def read(folder: Path, text: bytes, **limits: int) -> list[Line[Fact]]:
    path = folder / "demo.tape"
    path.write_bytes(text)
    return list(TapeReader([path], read_fact, **limits))


def facts(lines: list[Line[Fact]]) -> int:
    return sum(found.fact is not None for found in lines)


@pytest.mark.parametrize("name", ENDINGS)
def test_what_was_written_is_read_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with TapeWriter(path) as tape:
        for number in range(3000):
            tape.write(fact_of(number * 0.1, "prod", "pods", "ADDED", {"n": number}, "node-1"))
    assert not path.with_name(name + ".part").exists()
    reader = TapeReader([path], read_fact)
    lines = list(reader)
    assert [found.number for found in lines] == list(range(1, 3001))
    assert all(found.fact and found.fact.node == "node-1" for found in lines)
    assert json.loads(bytes(lines[77].fact.object)) == {"n": 77}  # type: ignore[union-attr]
    assert reader.bytes_done == reader.bytes_total == path.stat().st_size


@pytest.mark.parametrize("name", ENDINGS)
def test_a_killed_recorder_leaves_what_it_had_flushed(tmp_path: Path, name: str) -> None:
    tape = TapeWriter(tmp_path / name, flush_seconds=5.0)
    for at in (0.0, 1.0, 2.0, 5.0, 6.0):  # flushes at 0 and at 5
        tape.write(fact_of(at, "prod", "pods", "ADDED", {"at": at}))
    part = (tmp_path / (name + ".part")).read_bytes()  # nobody closes it
    killed = tmp_path / "killed.tape"
    killed.write_bytes(part)
    lines = list(TapeReader([killed], read_fact))
    assert [found.fact.at for found in lines if found.fact] == [0.0, 1.0, 2.0, 5.0]
    with pytest.raises(Rejected, match=r"demo\.tape.*\.part is there already"):
        TapeWriter(tmp_path / name)
    if name != "demo.tape":
        assert "truncated" in lines[-1].error
    tape.close()


def test_a_tape_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "demo.tape").write_bytes(GOOD)
    with pytest.raises(Rejected, match="exists already"):
        TapeWriter(tmp_path / "demo.tape")
    with pytest.raises(Rejected, match="cannot write tape"):
        TapeWriter(tmp_path / "nowhere" / "demo.tape")


def test_pretty_printed_objects_still_take_one_line(tmp_path: Path) -> None:
    with TapeWriter(tmp_path / "demo.tape") as tape:
        tape.write(fact_of(1.0, "prod", "pods", "ADDED", b'{\n "a": "b\\n"\n}'))
    assert facts(list(TapeReader([tmp_path / "demo.tape"], read_fact))) == 1


def test_several_tapes_of_any_kind_are_read_in_sequence(tmp_path: Path) -> None:
    text = GOOD + b"\n" + GOOD + b"\n"
    half = zstandard.ZstdCompressor().compress(text)
    (tmp_path / "a").write_bytes(text)
    (tmp_path / "b").write_bytes(half + half)  # two frames; the name says nothing
    (tmp_path / "c").write_bytes(gzip.compress(text) + gzip.compress(text))
    lines = list(TapeReader([tmp_path / "a", tmp_path / "b", tmp_path / "c"], read_fact))
    assert [(found.tape, found.number) for found in lines] == (
        [("a", n) for n in (1, 2)] + [(t, n) for t in "bc" for n in (1, 2, 3, 4)]
    )
    assert facts(lines) == 10
    assert lines[-1].place == "tape c line 4"


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b'{"at": 1, "cluster": ', "truncated"),
        (b"[1, 2]", "Expected `object`"),
        (b"hello", "malformed"),
        (b"\xff\xfe\x00", "utf-8|malformed"),
        (line(resource="gadgets"), "gadgets.*resources are pods, events"),
        (line(type="CHANGED"), "CHANGED.*types are LIST, ADDED"),
        (line(at=float("nan")), r"\$.at.*Unix seconds"),
        (line(at=-1), r"\$.at.*Unix seconds"),
        (line(at=1.76e12), "not milliseconds"),
        (line(at="now"), r"\$.at"),
        (b'{"at": 1, "cluster": "a"}', "missing required.*a fact has at, cluster"),
        (line(cluster=None), r"\$.cluster"),
        (GOOD[:-3] + b"[" * 9999, "recursion depth"),
        (GOOD + b" {}", "trailing|malformed"),
    ],
)
def test_a_bad_line_costs_that_line_only(tmp_path: Path, bad: bytes, error: str) -> None:
    lines = read(tmp_path, b"\n".join([GOOD, bad, GOOD, b""]))
    assert facts(lines) == 2
    assert lines[1].fact is None
    assert lines[1].original == bad
    assert lines[1].place == "tape demo.tape line 2"
    assert re.search(error, lines[1].error), lines[1].error


def test_blank_lines_are_no_facts_and_no_errors(tmp_path: Path) -> None:
    lines = read(tmp_path, b"\n\r\n" + GOOD + b"\r\n   \n")
    assert [(found.number, found.error) for found in lines] == [(3, "")]


def test_nan_within_an_object_is_read_as_null(tmp_path: Path) -> None:
    bad = line(object={"usage": float("nan"), "other": float("-inf"), "kept": 1})
    (found,) = read(tmp_path, bad)
    assert found.fact is not None
    assert json.loads(bytes(found.fact.object)) == {"usage": None, "other": None, "kept": 1}


def test_the_last_line_may_lack_its_end_or_be_cut(tmp_path: Path) -> None:
    assert facts(read(tmp_path, GOOD + b"\n" + GOOD)) == 2
    whole, cut = read(tmp_path, GOOD + b"\n" + GOOD[:-7])
    assert whole.fact
    assert "ends within this line" in cut.error
    assert cut.original == GOOD[:-7]


def test_an_overlong_line_is_reported_with_its_beginning(tmp_path: Path) -> None:
    huge = b"x" * (3 * KEPT)
    lines = read(tmp_path, b"\n".join([GOOD, huge, GOOD, huge]), line_limit=2 * KEPT)
    assert facts(lines) == 2
    for found in (lines[1], lines[3]):
        assert "longer than line_limit" in found.error
        assert len(found.original) + found.cut == len(huge)
        assert len(found.original) >= KEPT


@pytest.mark.parametrize("pack", [zstandard.ZstdCompressor().compress, gzip.compress])
def test_a_truncated_tape_gives_its_whole_lines(tmp_path: Path, pack: object) -> None:
    text = b"".join(line(at=float(n), cluster=f"c{n * 7919 % 1000}") + b"\n" for n in range(9000))
    packed = pack(text)  # type: ignore[operator]
    (tmp_path / "cut").write_bytes(packed[: len(packed) * 2 // 3])
    (tmp_path / "next").write_bytes(GOOD)
    lines = list(TapeReader([tmp_path / "cut", tmp_path / "next"], read_fact))
    assert facts(lines) > 1000
    (broken,) = [found for found in lines if found.fact is None]
    assert "truncated" in broken.error
    assert lines[-1].tape == "next"


def test_a_damaged_tape_says_where(tmp_path: Path) -> None:
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(GOOD + b"\n"))
    packed[-1] ^= 0xFF
    (tmp_path / "bad").write_bytes(packed)
    *_, last = TapeReader([tmp_path / "bad"], read_fact)
    assert "damaged near byte" in last.error


def test_what_is_no_tape_is_rejected_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.tape").touch()
    for path, hint in (
        (tmp_path / "none.tape", "no tape at none.tape"),
        (tmp_path, "is a directory"),
        (tmp_path / "empty.tape", "is empty"),
    ):
        with pytest.raises(Rejected, match=hint):
            TapeReader([path], read_fact)
    with pytest.raises(Rejected, match="name at least one"):
        TapeReader([], read_fact)


@given(
    junk=st.lists(st.one_of(st.binary(max_size=40), st.just(GOOD)), max_size=12),
    head=st.sampled_from([b"", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"]),
)
def test_random_bytes_never_raise(tmp_path_factory: pytest.TempPathFactory, junk, head) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("junk") / "junk.tape"
    text = head + b"\n".join(junk)
    path.write_bytes(text or b"\n")
    for found in TapeReader([path], read_fact, line_limit=64):
        assert found.fact is not None or found.error


@given(cut=st.integers(0, 400), flip=st.integers(0, 400))
def test_damaged_compression_never_raises(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("junk") / "junk.tape"
    text = b"".join(line(at=float(n)) + b"\n" for n in range(50))
    for packed in (zstandard.ZstdCompressor().compress(text), gzip.compress(text)):
        damaged = bytearray(packed[: max(1, len(packed) - cut)])
        damaged[flip % len(damaged)] ^= 0x5A
        path.write_bytes(damaged)
        for found in TapeReader([path], read_fact):
            assert found.fact is not None or found.error


def test_a_hostile_tape_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """One line of 256 MiB in 8 KB of zstd: it is reported, never held."""
    packer = zstandard.ZstdCompressor().compressobj()
    block = b"x" * 2**20
    with (tmp_path / "bomb").open("wb") as file:
        for _ in range(256):
            file.write(packer.compress(block))
        file.write(packer.compress(b"\n" + GOOD) + packer.flush())
    tracemalloc.start()
    bomb, fine = TapeReader([tmp_path / "bomb"], read_fact)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(bomb.original) + bomb.cut == 2**28
    assert fine.fact is not None
    assert peak < 200 * 2**20

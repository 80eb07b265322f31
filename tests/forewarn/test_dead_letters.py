"""Dead letters looked at and offered again, on the embedded bus; the bus does not matter here."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from forewarn import dead_letters
from forewarn.cli import app
from stream.bus import Outgoing
from stream.codec import encode_input, outgoing
from stream.embedded import EmbeddedBus
from stream.errors import Rejected
from stream.records import DeadLetter
from stream.topics import PODS, specs
from tests.stream.toy import pod

GOOD = encode_input(pod("c", "p", 1_000.0))


async def filled(path: Path | None = None) -> None:
    async with EmbeddedBus.open(path) as bus:
        await bus.ensure(specs(1))
        await bus.publish([Outgoing(PODS, 0, b"k", GOOD, 1_000.0)])
        for place, value in (("pods/0@0", GOOD), ("tape x line 3", b"\xff")):
            letter = DeadLetter(at=1_000.0, place=place, error="no good", key=b"k", value=value)
            await bus.publish([outgoing(letter, 1)])


async def test_a_letter_is_offered_again_once_with_its_bytes_and_its_place(tmp_path: Path) -> None:
    await filled(tmp_path / "bus.db")
    async with EmbeddedBus.open(tmp_path / "bus.db") as bus:
        found = [each async for each in dead_letters.letters(bus)]
        assert [each.id for each in found] == ["0@0", "0@1"]
        assert await dead_letters.requeue(bus, "0@0") == "pods/0"
        batch = await bus.read(PODS, 0, 1, 10)
        assert batch is not None
        [again] = batch.messages
        assert (again.key, again.value) == (b"k", GOOD)
        assert again.headers == (("dlq.place", b"pods/0@0"),)
        with pytest.raises(Rejected, match="already"):
            await dead_letters.requeue(bus, "0@0")
        with pytest.raises(Rejected, match="not from an input topic"):
            await dead_letters.requeue(bus, "0@1")
        with pytest.raises(Rejected, match="no dead letter '9@9'"):
            await dead_letters.find(bus, "9@9")


def test_the_command_lists_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio

    asyncio.run(filled(tmp_path / "bus.db"))
    config = tmp_path / "c.yaml"
    config.write_text(f"store: {{path: {tmp_path / 'bus.db'}}}\n")
    listed = CliRunner().invoke(app, ["dlq", "ls", "-c", str(config)])
    assert "2 dead letters" in listed.output
    assert "pods/0@0" in listed.output
    shown = CliRunner().invoke(app, ["dlq", "show", "0@1", "-c", str(config)])
    assert "value: b'\\xff'" in shown.output
    assert "place: tape x line 3" in shown.output

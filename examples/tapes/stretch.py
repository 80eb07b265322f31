"""Stretches a recording: every instant in it moves alike, so half an hour becomes two days.

usage: stretch.py RECORDING_FOLDER OUTPUT_TAPE OUTPUT_TRUTH

t becomes end' + (t - end) × factor, for `at` and for every RFC3339 instant anywhere in an object,
to the resolution that the text had. Durations that controllers acted on in real time (`DURATIONS`)
grow by the same factor. Nothing else of an object's bytes changes: names, uids, resourceVersions
and the order of lines are as recorded. Since Kubernetes writes whole seconds, an instant inside an
object is exact to one grain, `factor` seconds; `at` is exact to the millisecond. An order that held
before holds after, also across the two resolutions, as the map is increasing.

Streams, in constant memory; the same input gives the same bytes.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import zstandard

ENDS = datetime(2026, 11, 20, tzinfo=UTC)  # the last instant of the story, on the tape

INSTANT = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z")
AT = re.compile(rb'^\{"at":([0-9.]+),')
DURATIONS = re.compile(
    rb'"(progressDeadlineSeconds|tolerationSeconds|terminationGracePeriodSeconds'
    rb'|deletionGracePeriodSeconds)":(\d+)'
)


@dataclass(frozen=True)
class Stretch:
    """An increasing, linear map of instants."""

    factor: float
    ended: float  # Unix seconds, in the recording
    ends: float  # the same instant on the tape

    def instant(self, seconds: float) -> float:
        """Map Unix seconds."""
        return self.ends + (seconds - self.ended) * self.factor

    def line(self, line: bytes) -> bytes:
        """Map one line of a tape."""
        found = AT.match(line)
        if found is None:
            raise ValueError(f"not a line of a tape: {line[:80]!r}")
        at = self.instant(float(found[1]))
        rest = INSTANT.sub(self._text, line[found.end() :])
        rest = DURATIONS.sub(self._duration, rest)
        return b'{"at":%.3f,' % at + rest

    def _duration(self, found: re.Match[bytes]) -> bytes:
        return b'"%s":%d' % (found[1], round(int(found[2]) * self.factor))

    def _text(self, found: re.Match[bytes]) -> bytes:
        return _map_text(self, found[1], found[2] or b"")


@lru_cache(maxsize=65536)
def _map_text(stretch: Stretch, whole: bytes, fraction: bytes) -> bytes:
    """Map an RFC3339 instant, floored to the resolution that it was written in."""
    base = datetime.fromisoformat(whole.decode() + "+00:00").timestamp()
    digits = max(0, len(fraction) - 1)
    mapped = stretch.instant(base + float(fraction or b"0"))
    text = datetime.fromtimestamp(int(mapped), UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
    if not digits:
        return text + b"Z"
    part = int((mapped - int(mapped)) * 10**digits)
    return text + b".%0*d" % (digits, part) + b"Z"


def stretch_lines(lines: Iterable[bytes], stretch: Stretch) -> Iterator[bytes]:
    """Map the lines of a tape."""
    return map(stretch.line, lines)


def stretch_truth(truths: list[dict[str, Any]], stretch: Stretch) -> list[dict[str, Any]]:
    """Map the labels that belong to the recording."""
    return [
        {
            **truth,
            "start": round(stretch.instant(truth["start"]), 3),
            "end": round(stretch.instant(truth["end"]), 3),
            "moments": [round(stretch.instant(moment), 3) for moment in truth["moments"]],
        }
        for truth in truths
    ]


def read_lines(tape: Path) -> Iterator[bytes]:
    """Yield the lines of a zstd tape."""
    with zstandard.open(tape, "rb") as file:
        yield from io.BufferedReader(file, 1 << 20)


def main(folder: Path, tape: Path, truth: Path) -> None:
    """Stretch a recording folder to a tape and its truth."""
    meta = json.loads((folder / "meta.json").read_text())
    factor = float(meta["factor"])
    hours = round((meta["ended"] - meta["began"]) * factor / 3600)
    stretch = Stretch(factor, meta["began"] + hours * 3600 / factor, ENDS.timestamp())
    count = 0
    with zstandard.open(tape, "wb", cctx=zstandard.ZstdCompressor(level=3)) as out:
        for count, line in enumerate(
            stretch_lines(read_lines(folder / "raw.tape.zst"), stretch), 1
        ):
            out.write(line)
            if count % 10_000 == 0:
                print(f"stretched {count} lines", flush=True)
    truths = json.loads((folder / "truth.raw.json").read_text())
    truth.write_text(json.dumps(stretch_truth(truths, stretch), indent=1) + "\n")
    print(f"stretched {count} lines by {factor:g}; the story ends at {ENDS.isoformat()}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

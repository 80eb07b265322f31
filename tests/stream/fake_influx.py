"""A small, strict InfluxDB: parses line protocol by the book, and fails as told.

Made for faults that a real server cannot be asked for (429, 503 with Retry-After, a proxy's HTML).
The conformance suite (`tests/conformance/test_sinks.py`) holds it to the real servers. Leaves out
queries and retention.
"""

import json
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Series = tuple[str, tuple[tuple[str, str], ...]]
Value = float | int | str | bool


@dataclass
class Answer:
    """One answer by script, instead of the true one."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after_writing: bool = False  # the write happens, its answer is this


class Malformed(ValueError):
    """Not line protocol."""


def parse(line: str) -> tuple[Series, dict[str, Value], int]:
    """Return series, fields and time of one line."""
    head, fields, at = _split(line)
    parts = _cut(head, ",")
    tags = []
    for part in parts[1:]:
        pair = _cut(part, "=")
        if len(pair) != 2 or not all(pair):
            raise Malformed(f"missing tag value: {part!r}")
        tags.append((_plain(pair[0]), _plain(pair[1])))
    found: dict[str, Value] = {}
    for part in _fields(fields):
        name, _, text = part.partition("=")
        found[_plain(name)] = _value(text)
    if not found:
        raise Malformed("missing fields")
    return (_plain(parts[0]), tuple(tags)), found, int(at)


def _split(line: str) -> tuple[str, str, str]:
    quoted = False
    cuts = []
    skip = False
    for i, char in enumerate(line):
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif char == '"' and cuts:
            quoted = not quoted
        elif char == " " and not quoted:
            cuts.append(i)
    if len(cuts) != 2:
        raise Malformed(f"expected three parts, found {len(cuts) + 1}")
    return line[: cuts[0]], line[cuts[0] + 1 : cuts[1]], line[cuts[1] + 1 :]


def _cut(text: str, at: str) -> list[str]:
    return re.split(rf"(?<!\\){re.escape(at)}", text)


def _plain(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def _fields(text: str) -> list[str]:
    return re.findall(r'[^,=]+=(?:"(?:\\.|[^"\\])*"|[^,"]+)', text, re.DOTALL)


def _value(text: str) -> Value:
    if text.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in ("true", "false"):
        return text == "true"
    if text.endswith("i"):
        number = int(text[:-1])
        if not -(2**63) <= number < 2**63:
            raise Malformed(f"unable to parse integer {text}")
        return number
    number_or_word = float(text)
    if text.lower().strip("+-") in ("nan", "inf", "infinity"):
        raise Malformed(f"invalid number {text}")
    return number_or_word


class FakeInflux:
    """What was written, and what to answer instead."""

    def __init__(self) -> None:
        self.points: dict[tuple[Series, int], dict[str, Value]] = {}
        self.kinds: dict[tuple[str, str], type] = {}
        self.script: deque[Answer] = deque()
        self.requests: list[tuple[float, int]] = []  # lines of each write
        self.buckets = {"forewarn"}
        self.token = "canary-token"
        self.url = ""
        self.now = lambda: 0.0

    async def write(self, request: web.Request) -> web.Response:
        body = await request.read()  # decompressed already
        # A line break inside a quoted text belongs to the text.
        lines = re.findall(r'(?:[^"\n]|"(?:\\.|[^"\\])*")+', body.decode(), re.DOTALL)
        self.requests.append((self.now(), len(lines)))
        scripted = self.script.popleft() if self.script else None
        if scripted is not None and not scripted.after_writing:
            return _response(scripted)
        if request.headers.get("Authorization") != f"Token {self.token}":
            return _json(401, "unauthorized", "unauthorized access")
        if request.query["bucket"] not in self.buckets:
            return _json(404, "not found", f"bucket {request.query['bucket']!r} not found")
        errors = [error for line in lines if (error := self._take(line))]
        if scripted is not None:
            return _response(scripted)
        if errors:
            return _json(400, "invalid", f"partial write: {errors[0]} dropped={len(errors)}")
        return web.Response(status=204)

    def _take(self, line: str) -> str:
        try:
            series, fields, at = parse(line)
        except ValueError as error:
            return f"unable to parse: {error}"
        for name, value in fields.items():
            known = self.kinds.setdefault((series[0], name), type(value))
            if known is not type(value):
                return f'field type conflict: input field "{name}" on measurement "{series[0]}"'
        self.points.setdefault((series, at), {}).update(fields)
        return ""


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, text=answer.body, headers=answer.headers)


def _json(status: int, code: str, message: str) -> web.Response:
    text = json.dumps({"code": code, "message": message})
    return web.Response(status=status, text=text, content_type="application/json")


@asynccontextmanager
async def running() -> AsyncIterator[FakeInflux]:
    """Serve a fake on the loopback."""
    fake = FakeInflux()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/api/v2/write", fake.write)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()

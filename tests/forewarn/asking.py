"""A browser of seventy lines: asks an ASGI application, hands back the answer and its elements.

Left out: streams, which a test reads from `Broadcast.stream` itself.
"""

import asyncio
import json
from html.parser import HTMLParser
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """Status, headers (lower-case names) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app,
    target: str,
    *,
    method: str = "GET",
    host: str = "localhost:8080",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Return the answer to one request."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [
            *([(b"host", host.encode())] if host else []),
            *((name.lower().encode(), value.encode()) for name, value in (headers or {}).items()),
        ],
        "scheme": "http",
        "server": ("localhost", 8080),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    sent: list[dict[str, Any]] = []

    asked = False

    async def receive():
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # the browser stays; whoever waits for its end is ended
        asked = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    told = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    answer = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
    return Answer(sent[0]["status"], told, answer)


class Elements(HTMLParser):
    """Collects elements and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """Return every element of a page with its attributes."""
    parser = Elements()
    parser.feed(text)
    return parser.found

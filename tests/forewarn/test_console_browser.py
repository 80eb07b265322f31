"""The page in a real browser: it renders, lives on the stream, and breaks no rule of its policy.

Chromium, headless, once per page; skipped with a reason where it is not there. Left out: looks.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

from forewarn.console.server import create_app
from stream.clock import SystemClock
from tests.forewarn import synthetic_feed as day
from tests.forewarn.asking import elements
from tests.forewarn.hostile import hostile_feed

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--timeout=3000",
)


@asynccontextmanager
async def served(feed) -> AsyncIterator[str]:
    """Serve the feed on a free port of loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = create_app(feed, SystemClock())
    config = uvicorn.Config(
        app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def visit(chromium: str, address: str, folder: Path, *flags: str) -> tuple[str, list[str]]:
    """Return the page after its scripts have run, and what the console said."""
    browser = await asyncio.create_subprocess_exec(
        *(chromium, *FLAGS, f"--user-data-dir={folder}", "--dump-dom", *flags, address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    page, log = await asyncio.wait_for(browser.communicate(), 60)
    said = [line for line in log.decode().splitlines() if "CONSOLE" in line]
    return page.decode(), said


async def test_the_page_renders_and_the_console_is_silent(chromium, tmp_path):
    async with served(day.filled(SystemClock())) as address:
        page, said = await visit(chromium, address, tmp_path)
    assert said == []
    assert "What is about to break" in page
    assert page.count('class="risk"') == 8  # seven of the list, one in its template
    times = re.findall(r"<time[^>]*data-time=\"at\"[^>]*>([^<]*)</time>", page)
    assert times[0] != ""
    assert "UTC" not in times[0]  # rewritten in the viewer's own zone


async def test_the_page_follows_the_stream(chromium, tmp_path):
    feed = day.filled(SystemClock())

    async def go_on() -> None:
        later = day.records(day.START + 33 * day.HOUR, since=day.START + 27.6 * day.HOUR)
        for topic, record in later:
            feed.apply(topic, record)
            await asyncio.sleep(0.002)
        feed.pulse(day.pulse(day.START + 33 * day.HOUR, 0.0))

    async with served(feed) as address:
        going = asyncio.create_task(go_on())
        page, said = await visit(chromium, address, tmp_path)
        await going
    assert said == []
    sentence = re.search(r"<h1[^>]*>([^<]*)</h1>", page)
    assert sentence is not None
    assert "in about 8 h" not in sentence[1]  # what the server had rendered


@pytest.mark.parametrize("path", ["/", *(f"/incidents/hostile-{n}" for n in (0, 1, 3))])
async def test_hostile_names_stay_text_in_a_browser(chromium, tmp_path, path):
    async with served(hostile_feed(SystemClock())) as address:
        page, said = await visit(chromium, address + path, tmp_path)
    assert said == []
    assert "owned</title>" not in page
    for tag, attributes in elements(page):
        assert tag != "img"
        assert tag != "script" or attributes["src"] == "/static/main.js"
        assert not [name for name in attributes if name.startswith("on")]

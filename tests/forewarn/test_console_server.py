"""The console over HTTP: pages, JSON, the stream, the guard, hostile names.

Left out: what a browser makes of it (`test_console_browser`).
"""

import asyncio
import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

import forewarn.console
from forewarn.console.events import Broadcast, Choice
from forewarn.console.feed import Feed
from forewarn.console.guard import HEADERS
from forewarn.console.server import create_app
from stream.testing import ManualClock
from tests.forewarn import synthetic_feed as day
from tests.forewarn.asking import ask, elements
from tests.forewarn.hostile import PAYLOADS, hostile_feed

PAGES = ("/", "/api/view.json", "/incidents/checkout-burst", "/livez", "/readyz", "/static/main.js")
STATIC = Path(forewarn.console.__file__).parent / "static"


@pytest.fixture
def clock():
    return ManualClock(1_000.0)


@pytest.fixture
def feed(clock):
    return day.filled(clock)


@pytest.fixture
def app(feed, clock):
    return create_app(feed, clock)


async def test_the_page_is_whole_without_javascript(app):
    answer = await ask(app, "/")
    assert answer.status == 200
    for said in ("What is about to break", "node-4", "81 %", "below pending", "messages"):
        assert said in answer.text
    paths = [attrs["d"] for tag, attrs in elements(answer.text) if tag == "path" and attrs.get("d")]
    assert sum(len(path or "") > 200 for path in paths) >= 4


async def test_an_empty_page_renders_too(clock):
    answer = await ask(create_app(Feed(clock), clock), "/")
    assert answer.status == 200
    assert "Waiting for the first record." in answer.text


@pytest.mark.parametrize("page", [*PAGES, "/nowhere", "/incidents/none"])
async def test_every_answer_carries_the_headers(app, page):
    answer = await ask(app, page)
    for name, value in HEADERS.items():
        assert answer.headers[name.lower()] == value


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_written(app, method):
    assert (await ask(app, "/", method=method)).status == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("LOCALHOST", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.nip.io:8080", 421),
        ("", 421),
    ],
)
async def test_only_our_own_names_are_answered(app, host, status):
    assert (await ask(app, "/", host=host)).status == status


async def test_probes_answer_whoever_asks_and_readiness_names_what_is_wrong(feed, clock):
    app = create_app(feed, clock, ready=lambda: {"bus": "", "tape": "cannot be read"})
    assert (await ask(app, "/livez", host="10.0.0.7:8080")).status == 200
    ready = await ask(app, "/readyz", host="10.0.0.7:8080")
    assert ready.status == 503
    assert ready.text == "bus: ok\ntape: cannot be read\n"


async def test_metrics_are_those_of_the_registry(feed, clock):
    registry = CollectorRegistry()
    Counter("forewarn_records_ingested", "Records.", registry=registry).inc(3)
    answer = await ask(create_app(feed, clock, registry=registry), "/metrics")
    assert "forewarn_records_ingested_total 3.0" in answer.text
    assert (await ask(create_app(feed, clock), "/metrics")).status == 404


async def test_the_view_is_json_and_takes_a_choice(app, feed):
    view = (await ask(app, "/api/view.json")).json()
    other = view["risks"]["rows"][2]["key"]
    chosen = (await ask(app, f"/api/view.json?series={other}&ago=3600")).json()
    assert chosen["plot"]["key"] == other
    assert chosen["plot"]["ago"] == 3600.0


@pytest.mark.parametrize("query", ["series=../../etc", "ago=1e309", "ago=-1", "series=&ago=nan"])
async def test_a_choice_that_is_nonsense_is_none(app, query):
    assert (await ask(app, f"/?{query}")).status == 200


async def test_an_incident_has_a_page_and_json(app):
    page = await ask(app, "/incidents/checkout-burst")
    for said in ("Suspected causes", "by argocd", "12 restarts in 15 min", "slack-oncall"):
        assert said in page.text
    told = (await ask(app, "/api/incidents/checkout-burst.json")).json()
    assert told["incident"]["cause"]["odds"] == 0.81
    assert (await ask(app, "/incidents/none")).status == 404
    assert (await ask(app, "/api/incidents/none.json")).status == 404


async def test_hostile_names_are_text_on_every_page(clock):
    app = create_app(hostile_feed(clock), clock)
    harmless = elements((await ask(create_app(day.filled(clock), clock), "/")).text)
    known = {tag for tag, _ in harmless} | {"dl", "dt", "dd", "h3", "span", "details", "br"}
    for page in ("/", *(f"/incidents/hostile-{n}" for n in range(len(PAYLOADS)))):
        answer = await ask(app, page)
        assert answer.status == 200
        for tag, attrs in elements(answer.text):
            assert tag in known, tag
            assert not [name for name in attrs if name.startswith("on")]
            assert tag != "script" or attrs["src"] == "/static/main.js"
            assert not re.match(r"\s*(javascript|data):", attrs.get("href") or "")
    body = (await ask(app, "/")).text
    assert body.count("<script") == 1


async def test_a_reader_gets_all_at_first_and_then_what_changed(feed, clock):
    stream = Broadcast(feed, clock).stream(Choice(), "")
    assert (await anext(stream)).startswith(b"retry:")
    first = await anext(stream)
    assert first.startswith(b"event: view\nid: ")
    assert json.loads(first.split(b"data: ")[1])["head"]["cluster"] == day.CLUSTER
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    feed.pulse(day.pulse(day.START + 28 * 3600.0, 1.0))
    clock.advance(0.25)
    change = await waiting
    assert change.startswith(b"event: change\n")
    sections = json.loads(change.split(b"data: ")[1])
    assert "head" in sections
    assert "incidents" in sections
    await stream.aclose()


async def test_a_reader_is_told_at_most_four_times_a_second(feed, clock):
    stream = Broadcast(feed, clock).stream(Choice(), "")
    await anext(stream)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    for _ in range(4):
        await asyncio.sleep(0)
        feed.pulse(day.pulse(day.START + 29 * 3600.0, 1.0))
        clock.advance(0.05)
    assert not waiting.done()
    waiting.cancel()


async def test_a_quiet_cluster_still_beats(feed, clock):
    broadcast = Broadcast(feed, clock)
    stream = broadcast.stream(Choice(), "")
    await anext(stream)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    for _ in range(40):
        await asyncio.sleep(0)
        if waiting.done():
            break
        clock.advance(0.25)
    assert (await waiting).startswith(b"event: beat")
    assert broadcast.readers == 1
    await stream.aclose()
    assert broadcast.readers == 0


async def test_a_reader_that_comes_back_in_time_gets_nothing_twice(feed, clock):
    broadcast = Broadcast(feed, clock)
    identity, _ = broadcast.sections(Choice())
    stream = broadcast.stream(Choice(), identity)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    feed.pulse(day.pulse(day.START + 28 * 3600.0, 1.0))
    clock.advance(0.25)
    assert (await waiting).startswith(b"event: change")
    await stream.aclose()


def test_scripts_never_parse_markup_and_stay_small():
    scripts = sorted(STATIC.glob("*.js"))
    text = "\n".join(script.read_text() for script in scripts)
    banned = "innerHTML|outerHTML|insertAdjacentHTML|document.write|DOMParser|eval\\(|Function\\("
    assert not re.search(banned, text)
    assert not re.search(r"https?://", text)
    assert len(text) < 20_000


def test_templates_never_mark_text_as_safe():
    for template in STATIC.parent.joinpath("templates").glob("*.html"):
        text = template.read_text()
        assert "|safe" not in text.replace(" ", "")
        assert "autoescape" not in text
        assert not re.search(r"\son\w+=|\sstyle=|<script(?! type=\"module\" src)", text)


def luminance(colour: str) -> float:
    """Return WCAG's relative luminance of ``#rrggbb``."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_text_has_the_contrast_that_wcag_asks_for(scheme):
    blocks = re.findall(r":root \{(.*?)\}", (STATIC / "style.css").read_text(), re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", blocks[scheme]))
    for ground in ("ground", "panel", "rise"):
        for ink in ("ink", "soft", "dim", "now", "past", "limit", "critical", "warning", "good"):
            light, dark = sorted(
                (luminance(colours[ink]), luminance(colours[ground])), reverse=True
            )
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)

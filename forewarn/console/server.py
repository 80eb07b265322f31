"""The console's web application: pages, JSON, the live stream, health and metrics.

Guaranteed: the page is whole without JavaScript; no answer leaves without the headers of
`forewarn.console.guard`; every string of a cluster is escaped by Jinja or travels as JSON to be put
into text nodes, never into markup. Nothing here writes but a reader's verdict on an incident
(`forewarn.feedback`), which only our own form can send.

Left to others: what is shown (`forewarn.console.view`), serving on an address (the composition
root gives the application to uvicorn), who may look (loopback only, see `forewarn.config`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import jinja2
import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from alerting.alert import Incident
from forewarn.console.events import Broadcast, Choice
from forewarn.console.feed import Feed
from forewarn.console.guard import Guard, Token
from forewarn.console.incident import detail
from forewarn.console.view import view as page_view
from forewarn.feedback import LASTS, Verdict
from stream.clock import Clock
from stream.errors import Rejected, Unavailable
from stream.operators.conclude import span

_HERE: Final = Path(__file__).parent
_READERS: Final = 64  # live readers at a time; a page open in more tabs than that is no use
_SERIES: Final = re.compile(r"[0-9a-f]{16}")
_AGO_MOST: Final = 7 * 86_400.0
_FORM: Final = 1_000  # bytes; ours has a hundred

Tell = Callable[[Incident, Verdict], Awaitable[object]]


class Blank:
    """A row without content: what a browser's ``<template>`` is rendered from."""

    def __getattr__(self, name: str) -> Blank:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __iter__(self) -> Iterator[Blank]:
        return iter(())

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return ""


def create_app(
    feed: Feed,
    clock: Clock,
    *,
    registry: CollectorRegistry | None = None,
    ready: Callable[[], Mapping[str, str]] | None = None,
    hosts: Iterable[str] = (),
    tell: Tell | None = None,
) -> Starlette:
    """Return the application.

    Parameters
    ----------
    feed
        What the page knows; somebody else feeds it, on the same event loop.
    clock
        Processing time, paces the live stream.
    registry
        Metrics for ``/metrics``; without one the route says so.
    ready
        Names of checks → what is wrong, "" where nothing is; for ``/readyz``.
    hosts
        Names besides loopback's that browsers may ask for.
    tell
        Takes a reader's verdict on an incident, as `forewarn.feedback.tell` does; without one no
        page asks. May raise Rejected or Unavailable, which the reader is told.
    """
    return _Console(feed, clock, registry, ready, tell).app(hosts)


class _Console:
    """The routes, over one feed."""

    def __init__(
        self,
        feed: Feed,
        clock: Clock,
        registry: CollectorRegistry | None,
        ready: Callable[[], Mapping[str, str]] | None,
        tell: Tell | None,
    ) -> None:
        self._feed = feed
        self._tell = tell
        self._token = Token()
        self._broadcast = Broadcast(feed, clock)
        self._registry = registry
        self._ready = ready or (lambda: {"run": feed.run.problem})
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["blank"] = Blank()

    def app(self, hosts: Iterable[str]) -> Starlette:
        """Return the routes behind the guard."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/events", self._events),
                Route("/api/view.json", self._view),
                Route("/api/incidents/{id}.json", self._incident_json),
                Route("/incidents/{id}", self._incident),
                Route("/incidents/{id}/feedback", self._feedback, methods=["POST"]),
                Route("/livez", self._livez),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
                Mount("/static", StaticFiles(directory=_HERE / "static")),
            ],
            middleware=[Middleware(Guard, hosts=tuple(hosts))],
            exception_handlers={404: self._missing},
        )

    def _render(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(**context), status)

    async def _page(self, request: Request) -> Response:
        choice = _choice(request)
        return self._render("page.html", view=page_view(self._feed, choice.series, choice.ago))

    async def _view(self, request: Request) -> Response:
        choice = _choice(request)
        return _json(page_view(self._feed, choice.series, choice.ago))

    async def _events(self, request: Request) -> Response:
        if self._broadcast.readers >= _READERS:
            return PlainTextResponse("Too many live pages are open.\n", 503)
        last = request.headers.get("last-event-id", "")
        return StreamingResponse(
            self._broadcast.stream(_choice(request), last),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    async def _incident(self, request: Request) -> Response:
        known = self._feed.find(request.path_params["id"])
        if known is None:
            return self._render("missing.html", 404, cluster=self._feed.cluster)
        return self._render(
            "incident.html",
            incident=detail(self._feed, known),
            cluster=self._feed.cluster,
            token=self._token.text if self._tell else "",
            lasts=span(LASTS),
        )

    async def _feedback(self, request: Request) -> Response:
        known = self._feed.find(request.path_params["id"])
        if known is None or self._tell is None:
            return PlainTextResponse("There is nothing to judge here.\n", 404)
        form = await _form(request)
        if form is None or not self._token.fits(form.get("token", "")):
            return PlainTextResponse("This form is not of this page; load it again.\n", 403)
        verdict: Verdict
        match form.get("verdict"):
            case "useful" | "noise" as verdict:
                pass
            case _:
                return PlainTextResponse("It is useful or noise.\n", 400)
        try:
            await self._tell(known.incident, verdict)
        except Rejected as error:
            return PlainTextResponse(f"{error}\n", 400)
        except Unavailable as error:
            return PlainTextResponse(f"Not noted, try again: {error}\n", 503)
        known.called = verdict
        return RedirectResponse(f"/incidents/{known.incident.id}#feedback", 303)

    async def _incident_json(self, request: Request) -> Response:
        known = self._feed.find(request.path_params["id"])
        if known is None:
            return _json({"error": "no such incident"}, 404)
        return _json(
            {
                "incident": known.incident,
                "notifications": [
                    {"id": one.id, "at": one.at, "channel": one.channel, "reason": one.reason}
                    for one in known.notifications
                ],
            }
        )

    async def _missing(self, request: Request, error: Exception) -> Response:
        return self._render("missing.html", 404, cluster=self._feed.cluster)

    async def _livez(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, request: Request) -> Response:
        checks = self._ready()
        wrong = any(checks.values())
        lines = [f"{name}: {checks[name] or 'ok'}" for name in sorted(checks)]
        return PlainTextResponse("\n".join(lines) + "\n", 503 if wrong else 200)

    async def _metrics(self, request: Request) -> Response:
        if self._registry is None:
            return PlainTextResponse("This process keeps no metrics.\n", 404)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


async def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of a form, each once; None for what is longer than ours can be."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM:
            return None
    return {name: values[-1] for name, values in parse_qs(body.decode("latin-1")).items()}


def _choice(request: Request) -> Choice:
    """Return which plot is asked for; nonsense is no choice rather than an error."""
    series = request.query_params.get("series", "")
    text = request.query_params.get("ago", "")
    ago = float(text) if re.fullmatch(r"\d{1,6}(\.\d)?", text) else None
    return Choice(
        series if _SERIES.fullmatch(series) else "",
        ago if ago is not None and ago <= _AGO_MOST else None,
    )


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")

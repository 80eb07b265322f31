"""The listener for a cluster's audit webhook: ``POST /audit/<cluster>``.

Guaranteed: nothing is taken from who does not bring the token, where one is configured; a body is
bounded; facts are in the buffer before the answer is 200, and where there is no room the answer is
503, so that the API server sends the batch again. Left to others: what is kept of an audit event
(`ingest.audit`), TLS (`forewarn.serving`).
"""

from __future__ import annotations

import hmac
import logging
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from forewarn.follow import Follower
from ingest.audit import AuditSettings, facts
from ingest.scope import Scope, ScopeSettings
from stream.clock import Clock
from stream.errors import Rejected

log = logging.getLogger(__name__)

_LARGEST: Final = 16 * 1024 * 1024  # bytes; the API server's batches have 10 MiB at most


def audit_app(
    follower: Follower, settings: AuditSettings, scope: ScopeSettings, clock: Clock
) -> Starlette:
    """Return the application; facts go where the follower's go."""
    chosen = Scope(scope)

    async def take(request: Request) -> Response:
        if not _allowed(request, settings):
            log.warning("audit path=%s refused: the token is missing or wrong", request.url.path)
            return PlainTextResponse("The token is missing or is not ours.\n", 401)
        live = follower.live
        cluster = request.path_params["cluster"]
        if live is None:
            return PlainTextResponse("Another replica works, or none yet.\n", 503)
        if cluster not in {each.name for each in live.clusters}:
            return PlainTextResponse("There is no such cluster here.\n", 404)
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > _LARGEST:
                return PlainTextResponse("That is too long.\n", 413)
        try:
            found = facts(bytes(body), cluster, clock.now(), chosen)
        except Rejected as error:
            log.warning("audit cluster=%s refused: %s", cluster, error)
            return PlainTextResponse(f"{error}\n", 400)
        if not all(live.buffer.offer(fact) for fact in found):
            return PlainTextResponse("There is no room.\n", 503)
        return PlainTextResponse("ok\n")

    return Starlette(routes=[Route("/audit/{cluster}", take, methods=["POST"])])


def _allowed(request: Request, settings: AuditSettings) -> bool:
    if not settings.token_file:
        return True
    try:
        wanted = Path(settings.token_file).read_text().strip()
    except OSError as error:
        log.warning("audit token_file cannot be read: %s", error.strerror)
        return False
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())

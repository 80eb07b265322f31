"""`/livez`, `/readyz` and `/metrics` of a live process: what a kubelet and a Prometheus ask.

Guaranteed: `/livez` (and `/healthz`) depends on nothing but this process, so that an API server or
a bus that is away never has it restarted; `/readyz` is 200 only when every check holds, names each
check, and turns to 503 as soon as the process was told to end. Nothing else is served, and nothing
is changed by asking. Left to others: what the checks are (`forewarn.follow`), the numbers
(`forewarn.metrics`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ingest.health import Check


def probes(checks: Callable[[], Sequence[Check]], registry: CollectorRegistry) -> Starlette:
    """Return the application.

    Parameters
    ----------
    checks
        All that readiness depends on, as of now; none at all means not ready.
    """

    async def alive(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(request: Request) -> Response:
        found = checks()
        lines = [f"[{'+' if check.passed else '-'}] {check.name}: {check.text}" for check in found]
        well = bool(found) and all(check.passed for check in found)
        lines.append("ready" if well else "not ready")
        return PlainTextResponse("\n".join(lines) + "\n", 200 if well else 503)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/livez", alive),
            Route("/healthz", alive),
            Route("/readyz", ready),
            Route("/metrics", metrics),
        ]
    )

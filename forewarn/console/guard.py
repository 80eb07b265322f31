"""What every answer of the console carries, and which requests get one at all.

The page is reachable from this machine only, and a browser on this machine visits strangers' pages:
so a request whose Host is not ours is refused (DNS rebinding), one that writes is refused when the
browser says that another page sent it, or cannot show the token of our own forms (`Token`), and
every answer tells the browser to run, load and embed nothing but our own files.

Left to others: who may look (there is no authentication yet, which is why `forewarn.config` refuses
any address but loopback).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

_PROBES: Final = ("/livez", "/readyz")  # a kubelet asks by address; they say nothing of a cluster


class Token:
    """What our own forms carry and a stranger's page cannot read; another one in each process."""

    def __init__(self) -> None:
        self.text: Final = secrets.token_urlsafe(24)

    def fits(self, given: str) -> bool:
        """Return whether `given` is it; takes as long whatever is given."""
        return secrets.compare_digest(given.encode(), self.text.encode())


class Guard:
    """ASGI wrapper: refuses foreign hosts and forged requests, adds the headers.

    Parameters
    ----------
    app
        What is guarded.
    hosts
        Names besides loopback's that a request may ask for, without port.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(LOOPBACK) | {host.strip("[]").lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["method"] not in ("GET", "HEAD", "POST"):
            refusal = PlainTextResponse(
                "The console reads, and takes forms.\n", 405, headers={"Allow": "GET, HEAD, POST"}
            )
            await refusal(scope, receive, answer)
        elif scope["path"] not in _PROBES and self._host(scope) not in self._hosts:
            await PlainTextResponse("This is not a name of this console.\n", 421)(
                scope, receive, answer
            )
        elif scope["method"] == "POST" and self._foreign(scope):
            await PlainTextResponse("Another page sent this.\n", 403)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    @staticmethod
    def _foreign(scope: Scope) -> bool:
        """Return whether the browser says that the request does not come from our page.

        The Origin of our own forms is ``null``, as our pages tell no referrer.
        """
        headers = {name: str(value, "latin-1") for name, value in scope["headers"]}
        if headers.get(b"sec-fetch-site", "same-origin") != "same-origin":
            return True
        origin = headers.get(b"origin", "null")
        return origin != "null" and origin.partition("://")[2] != headers.get(b"host", "")

    @staticmethod
    def _host(scope: Scope) -> str:
        """Return the name that was asked for, without port; "" when it is missing or doubled."""
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1:
            return ""
        text = str(given[0], "latin-1").lower()
        if text.startswith("["):
            return text[1:].partition("]")[0]
        return text.partition(":")[0]

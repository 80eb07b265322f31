"""Serving a web application beside other work, and ending in order.

uvicorn runs as a task of the same event loop, on a socket that is bound before anything starts, so
a taken port is said at once and port 0 is known. Signals are the process' own: the first SIGINT or
SIGTERM asks everything to end in order, the second ends it at once.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from stream.errors import Rejected


@asynccontextmanager
async def serving(app: Any, host: str, port: int, **options: Any) -> AsyncIterator[str]:
    """Serve `app` for the time of the block; yields its address.

    Parameters
    ----------
    options
        Of `uvicorn.Config`: certificate and key.

    Raises
    ------
    Rejected
        The address or the port is not to be had.
    """
    listener = _listen(host, port)
    settings = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, **options
    )
    server = _Server(settings)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name=f"http:{port}")
    scheme = "https" if settings.ssl_certfile else "http"
    try:
        yield f"{scheme}://{_shown(host)}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        try:
            await asyncio.wait({serving})
        finally:
            listener.close()


def stopping() -> asyncio.Event:
    """Return what the first SIGINT or SIGTERM sets; a second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        for which in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(which)

    for which in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(which, end)
    return stop


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # who follows the printed address at once waits, and is not turned away
    except OSError as error:
        listener.close()
        raise Rejected(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another port, "
            "0 finds a free one"
        ) from error
    return listener


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Server(uvicorn.Server):
    """uvicorn without its own signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the process."""
        yield

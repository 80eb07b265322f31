"""A plain client of the Kubernetes API: paths in, raw JSON out.

For the recording scripts of this folder only. It keeps to aiohttp and documents, not typed models,
because a tape has to hold what the server sent, byte for byte, and because the scripted kubelets
send what a kubelet would. It guarantees that a watch yields whole lines in order, however large; it
leaves resuming a broken watch to the caller (a recording that lost its watch is thrown away, not
patched).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import yaml

Document = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"  # server-side apply; JSON is YAML


class ApiError(Exception):
    """The API server answered with a Status other than success."""

    def __init__(self, code: int, method: str, path: str, message: str) -> None:
        super().__init__(f"{method} {path}: {code} {message}")
        self.code = code


@dataclass(frozen=True)
class Pace:
    """How real time relates to the tape's: from `began` on, `factor` seconds pass in one."""

    factor: float
    began: float

    async def wait(self, seconds: float) -> None:
        """Let that many seconds of the tape's time pass."""
        await asyncio.sleep(seconds / self.factor)

    async def until(self, hour: float) -> None:
        """Wait for that hour of the tape."""
        await asyncio.sleep(max(0.0, self.began + hour * 3600 / self.factor - time.time()))

    def hour(self) -> float:
        """Return the hour of the tape that it is."""
        return (time.time() - self.began) * self.factor / 3600


def stamp() -> str:
    """Now as metav1.Time writes it: whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp() -> str:
    """Now as metav1.MicroTime writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class ApiServer:
    """One session with the API server that a kubeconfig names; an asynchronous context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        self._base = cluster["server"]
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._tls.load_cert_chain(user["client-certificate"], user["client-key"])

    async def __aenter__(self) -> ApiServer:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=100),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def raw(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        *,
        content: str = "application/json",
        manager: str | None = None,
        agent: str | None = None,
        **query: str,
    ) -> bytes:
        """Send a request and return the body of the answer."""
        if manager is not None:
            query["fieldManager"] = manager
        headers = {"Content-Type": content, "Accept": "application/json"}
        if agent is not None:
            headers["User-Agent"] = agent
        data = None if body is None else json.dumps(body).encode()
        url = self._base + path
        async with self._session.request(
            method, url, data=data, headers=headers, params=query
        ) as answer:
            content_bytes = await answer.read()
            if answer.status >= 400:
                raise ApiError(answer.status, method, path, content_bytes.decode()[:500])
            return content_bytes

    async def call(
        self, method: str, path: str, body: Document | None = None, **options: str
    ) -> Document:
        """Send a request and return the document that answers it."""
        document: Document = json.loads(await self.raw(method, path, body, **options))
        return document

    async def apply(self, path: str, body: Document, manager: str) -> Document:
        """Apply on the server side, taking fields over from other managers, as a deployer does."""
        return await self.call("PATCH", path, body, content=APPLY, manager=manager, force="true")

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the lines of one watch until the server ends it."""
        rest = b""
        params = {"watch": "1", **query}
        async with self._session.get(self._base + path, params=params) as answer:
            if answer.status >= 400:
                raise ApiError(answer.status, "WATCH", path, (await answer.text())[:500])
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield line

"""Kubelets of a node each, over TLS with token authentication, that can be slow or dead.

Their documents have the shape of `/stats/summary` as a kubelet writes it, indented. The control
plane's double with the true Go types is `deploy/kubelite`; this one is for faults.
"""

import asyncio
import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from aiohttp import web


class Authority(NamedTuple):
    """A CA and one certificate by it, for 127.0.0.1."""

    ca: str
    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def authority(folder: Path) -> Authority:
    """Make both with openssl, in some 50 ms."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there to make certificates")
    folder.mkdir(parents=True, exist_ok=True)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test-ca")
    name = ["-subj", "/CN=kubelet", "-addext", "subjectAltName=IP:127.0.0.1"]
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key"]
    openssl("req", "-x509", *curve, *name, *signed, "-keyout", "tls.key", "-out", "tls.crt")
    return Authority(str(folder / "ca.crt"), str(folder / "tls.crt"), str(folder / "tls.key"))


def summary(name: str) -> dict[str, Any]:
    """A small document of the true shape."""
    filesystem = {"availableBytes": 60, "capacityBytes": 100, "usedBytes": 40, "inodes": 10}
    return {
        "node": {
            "nodeName": name,
            "cpu": {"time": "2025-10-09T08:53:20Z", "usageNanoCores": 500_000_000},
            "memory": {"time": "2025-10-09T08:53:20Z", "workingSetBytes": 1 << 30},
            "fs": filesystem,
            "runtime": {"imageFs": filesystem},
            "rlimit": {"maxpid": 4194304, "curproc": 321},
        },
        "pods": [],
    }


class FakeKubelet:
    """One node's."""

    def __init__(self, name: str, tls: Authority, token: str = "") -> None:
        self.name = name
        self.port = 0
        self.token = token
        self.asked = 0
        self.behaviour = "well"  # "hangs", "fails", "forbids", "lies"
        self._tls = tls
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/stats/summary", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls.context())
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def node(self) -> dict[str, Any]:
        """The node object that leads to it."""
        return {
            "metadata": {"name": self.name},
            "status": {
                "addresses": [
                    {"type": "ExternalIP", "address": "192.0.2.1"},
                    {"type": "InternalIP", "address": "127.0.0.1"},
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
            },
        }

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.behaviour == "hangs":
            await asyncio.Event().wait()
        if self.behaviour == "fails":
            return web.Response(status=500, text="no")
        if self.behaviour == "lies":
            return web.Response(text='{"node": ')
        right = not self.token or request.headers.get("Authorization") == f"Bearer {self.token}"
        if self.behaviour == "forbids" or not right:
            text = "Forbidden (user=forewarn, verb=get, resource=nodes, subresource(s)=[stats])"
            return web.Response(status=403, text=text)
        return web.Response(text=json.dumps(summary(self.name), indent=1))

"""Writes lists and watches of an API server to a tape, as they come.

The objects of a watch are copied from the wire without being parsed, so what the tape holds is what
the server sent; an object of a LIST is its slice of the list's bytes (the server leaves out kind
and apiVersion there, and so does the tape). `at` is the time of receipt. A watch that ends before
it was told to is an error: the recording has then a hole and is worthless as a story.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from pathlib import Path

import msgspec
import zstandard
from api import ApiServer

PATHS = {
    "nodes": "/api/v1/nodes",
    "deployments": "/apis/apps/v1/deployments",
    "statefulsets": "/apis/apps/v1/statefulsets",
    "daemonsets": "/apis/apps/v1/daemonsets",
    "replicasets": "/apis/apps/v1/replicasets",
    "pods": "/api/v1/pods",
    "events": "/api/v1/events",
}
LONGER_THAN_ANY_RECORDING = (
    "86400"  # seconds; the server would otherwise end a watch after 30 to 60 minutes
)


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str


class _List(msgspec.Struct):
    metadata: _Meta
    items: list[msgspec.Raw]


class Recorder:
    """Records every resource of PATHS from a list on, until stopped."""

    def __init__(self, api: ApiServer, tape: Path, cluster: str) -> None:
        self._api = api
        self._cluster = cluster
        self._file = zstandard.open(tape, "wb", cctx=zstandard.ZstdCompressor(level=3))
        self._tasks: list[asyncio.Task[None]] = []
        self.lines: Counter[str] = Counter()

    async def start(self) -> None:
        """List everything, then watch from each list's resourceVersion."""
        for resource, path in PATHS.items():
            listed = msgspec.json.decode(await self._api.raw("GET", path), type=_List)
            for item in listed.items:
                self._write(resource, b"LIST", bytes(item))
            version = listed.metadata.resource_version
            self._tasks.append(asyncio.create_task(self._follow(resource, path, version)))

    async def stop(self) -> None:
        """End the watches and the tape; raises what ended a watch before its time."""
        failed = [task.exception() for task in self._tasks if task.done()]
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._file.close()
        if failed:
            raise RuntimeError(f"a watch ended early, the recording has a hole: {failed}")

    async def _follow(self, resource: str, path: str, version: str) -> None:
        query = {
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": LONGER_THAN_ANY_RECORDING,
        }
        async for line in self._api.watch(path, query):
            kind, document = split_watch_line(line)
            self._write(resource, kind, document)

    def _write(self, resource: str, kind: bytes, document: bytes) -> None:
        self.lines[resource] += 1
        self._file.write(
            b'{"at":%.6f,"cluster":"%s","resource":"%s","type":"%s","object":%s}\n'
            % (time.time(), self._cluster.encode(), resource.encode(), kind, document.strip())
        )


def split_watch_line(line: bytes) -> tuple[bytes, bytes]:
    """Split `{"type":"ADDED","object":{…}}` into the type and the object's own bytes."""
    head, mark, document = line.partition(b'","object":')
    if not mark or not head.startswith(b'{"type":"') or not document.endswith(b"}"):
        raise ValueError(f"not a line of a watch: {line[:80]!r}")
    return head[len(b'{"type":"') :], document[:-1]

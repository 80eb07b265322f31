"""A strict fake API server: aiohttp on loopback, for faults that a real one cannot be made to show.

It keeps objects and their history under one rising resourceVersion, pages lists with continue
tokens, streams watches with bookmarks, and answers 400 to whatever a real server would not take
(`tests/conformance/test_apiservers.py` holds it to the real one). Faults are put into a queue per
verb and used up one request each, or stay until removed. Nothing in it knows the time: bookmarks
and ends of watches happen when a test says so.
"""

import asyncio
import base64
import json
import socket
import struct
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from aiohttp import web

Json = dict[str, Any]
Fault = Callable[["FakeApiServer", web.Request], Awaitable[web.StreamResponse]]
LIST_PARAMETERS = {
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "labelSelector",
    "fieldSelector",
}
WATCH_PARAMETERS = LIST_PARAMETERS - {"limit", "continue"} | {
    "watch",
    "allowWatchBookmarks",
    "timeoutSeconds",
    "sendInitialEvents",
}
GROUPS = {
    "deployments": "apps",
    "replicasets": "apps",
    "statefulsets": "apps",
    "daemonsets": "apps",
    "horizontalpodautoscalers": "autoscaling",
    "leases": "coordination.k8s.io",
    "nodes.metrics": "metrics.k8s.io",
}


class Seen(NamedTuple):
    """One request, as it came."""

    verb: str  # "list", "watch", "get", "create", "update"
    resource: str
    parameters: dict[str, str]
    headers: dict[str, str]


def status(code: int, reason: str, message: str = "", **details: object) -> Json:
    """A v1 Status."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message or reason,
        "reason": reason,
        "code": code,
        "details": details,
    }


def gone(version: str) -> Json:
    return status(410, "Expired", f"too old resource version: {version}")


# ---- faults -----------------------------------------------------------------------------------


def answers(code: int, reason: str = "", headers: dict[str, str] | None = None) -> Fault:
    """An HTTP error of this code."""

    async def fault(server: "FakeApiServer", request: web.Request) -> web.StreamResponse:
        return web.json_response(status(code, reason or str(code)), status=code, headers=headers)

    return fault


def says(*lines: bytes, then: str = "hold") -> Fault:
    """A watch of exactly these bytes, which is then held open, ended, or reset."""

    async def fault(server: "FakeApiServer", request: web.Request) -> web.StreamResponse:
        response = await server.stream(request)
        for line in lines:
            await response.write(line)
        if then == "hold":
            await asyncio.Event().wait()
        elif then == "reset":
            reset(request)
        return response

    return fault


async def is_silent(server: "FakeApiServer", request: web.Request) -> web.StreamResponse:
    """Headers come, and then nothing for ever."""
    return await says()(server, request)


async def hangs(server: "FakeApiServer", request: web.Request) -> web.StreamResponse:
    """Not even headers come."""
    await asyncio.Event().wait()
    raise AssertionError


async def closes_at_once(server: "FakeApiServer", request: web.Request) -> web.StreamResponse:
    """A watch that ends before its first event."""
    return await server.stream(request)


def reset(request: web.Request) -> None:
    """Answer with RST, as a killed process or a firewall does."""
    transport = request.transport
    if transport is not None:
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()  # type: ignore[attr-defined]


# ---- the server -------------------------------------------------------------------------------


class FakeApiServer:
    """One cluster's API, without a cluster."""

    def __init__(self) -> None:
        self.version = 100
        self.compacted = 0
        self.gone_as = "event"  # or "http": what a watch at a version too old is told
        self.streams_lists = True  # whether WatchList is known
        self.tokens: set[str] = set()  # () : anybody
        self.strangers: set[str] = set()  # tokens without any right
        self.forbidden: set[tuple[str, str]] = set()  # (verb, resource)
        self.objects: dict[str, dict[tuple[str, str], Json]] = defaultdict(dict)
        # What happened and what the test commanded, in order: version (0: a command), resource or
        # command, type, object.
        self.history: list[tuple[int, str, str, Json]] = []
        self.once: dict[str, deque[Fault]] = defaultdict(deque)
        self.always: dict[str, Fault] = {}
        self.seen: list[Seen] = []
        self.pages: dict[str, tuple[int, list[Json]]] = {}
        self.watching = 0  # in good order, now
        self.logs: dict[tuple[str, str], bytes] = {}  # (pod, container): of the one before
        self.documents: dict[str, Json] = {}  # other paths: what they answer
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    # ---- what a test does -------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def kubeconfig(self, path: Path, token: str = "") -> str:
        """Write a kubeconfig for this server and return its path."""
        user = {"token": token} if token else {}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me"}}],
            "current-context": "fake",
        }
        path.write_text(json.dumps(document))
        return str(path)

    async def put(self, resource: str, name: str, namespace: str = "", **fields: Any) -> Json:
        """Create the object, or change it."""
        before = self.objects[resource].get((namespace, name))
        self.version += 1
        metadata = {
            "name": name,
            "uid": f"uid-{resource}-{namespace}-{name}-{self.version}",
            "resourceVersion": str(self.version),
        }
        if before is not None:
            metadata["uid"] = before["metadata"]["uid"]
        if namespace:
            metadata["namespace"] = namespace
        metadata |= fields.pop("metadata", {})
        new = {"metadata": metadata, **fields}
        self.objects[resource][namespace, name] = new
        await self._tell(resource, "ADDED" if before is None else "MODIFIED", new)
        return new

    async def delete(self, resource: str, name: str, namespace: str = "") -> None:
        self.version += 1
        gone_object = json.loads(json.dumps(self.objects[resource].pop((namespace, name))))
        gone_object["metadata"]["resourceVersion"] = str(self.version)
        await self._tell(resource, "DELETED", gone_object)

    def compact(self) -> None:
        """Forget all history: whoever resumes at an older version gets 410."""
        self.compacted = self.version

    async def bookmark(self) -> None:
        """Send a bookmark on every watch."""
        await self._command("bookmark")

    async def end_watches(self) -> None:
        """End every watch in good order, as its timeout does."""
        await self._command("end")

    async def reset_watches(self) -> None:
        """Cut every watch with RST."""
        await self._command("reset")

    async def send(self, line: bytes) -> None:
        """Put raw bytes on every watch."""
        await self._command("raw", {"line": line})

    def state(self, resource: str) -> dict[str, str]:
        """uid → resourceVersion of all objects."""
        return {
            each["metadata"]["uid"]: each["metadata"]["resourceVersion"]
            for each in self.objects[resource].values()
        }

    def count(self, verb: str, resource: str = "") -> int:
        return sum(each.verb == verb and resource in ("", each.resource) for each in self.seen)

    # ---- inside -----------------------------------------------------------------------------

    async def _tell(self, resource: str, kind: str, item: Json) -> None:
        async with self._news:
            self.history.append((self.version, resource, kind, item))
            self._news.notify_all()

    async def _command(self, word: str, extra: Json | None = None) -> None:
        async with self._news:
            self.history.append((0, word, "", extra or {}))
            self._news.notify_all()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        parameters = dict(request.query)
        watch = parameters.get("watch") == "true"
        in_namespace = "namespaces" in parts[:-1]
        after = parts.index("namespaces") + 2 if in_namespace else (2 if parts[0] == "api" else 3)
        resource = parts[after] if len(parts) > after else "namespaces"
        name = parts[after + 1] if len(parts) > after + 1 else ""
        if len(parts) > after + 2:
            resource = f"{resource}/{parts[after + 2]}"
        namespace = parts[parts.index("namespaces") + 1] if in_namespace else ""
        verb = {"POST": "create", "PUT": "update"}.get(
            request.method, "watch" if watch else "get" if name else "list"
        )
        self.seen.append(Seen(verb, resource, parameters, dict(request.headers)))
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = token.removeprefix("bearer ")
        if self.tokens and token not in self.tokens:
            return web.json_response(status(401, "Unauthorized"), status=401)
        if (verb, resource) in self.forbidden or token in self.strangers:
            text = f'{resource} is forbidden: User "system:serviceaccount:x:y" cannot {verb}'
            return web.json_response(status(403, "Forbidden", text), status=403)
        if self.once[verb]:
            return await self.once[verb].popleft()(self, request)
        if verb in self.always:
            return await self.always[verb](self, request)
        if request.path in self.documents:
            return web.json_response(self.documents[request.path])
        if resource == "pods/log":
            return self._log(name, parameters)
        if verb in ("create", "update", "get"):
            return await self._object(request, verb, resource, namespace, name)
        group = GROUPS.get(resource, "")
        if (parts[1] if parts[0] == "apis" else "") != group:
            return web.json_response(status(404, "NotFound"), status=404)
        if unknown := parameters.keys() - (WATCH_PARAMETERS if watch else LIST_PARAMETERS):
            return self._invalid(f"unknown parameters {sorted(unknown)}", 400)
        if watch:
            return await self._watch(request, resource, namespace, parameters)
        return self._list(resource, namespace, parameters)

    def _log(self, name: str, parameters: dict[str, str]) -> web.Response:
        text = self.logs.get((name, parameters["container"]))
        if text is None:
            told = status(400, "BadRequest", "previous terminated container not found")
            return web.json_response(told, status=400)
        return web.Response(body=text, content_type="text/plain")

    def _invalid(self, message: str, code: int = 422) -> web.Response:
        return web.json_response(status(code, "Invalid", message), status=code)

    async def _object(
        self, request: web.Request, verb: str, resource: str, namespace: str, name: str
    ) -> web.Response:
        if verb == "get":
            found = self.objects[resource].get((namespace, name))
            if found is None:
                return web.json_response(status(404, "NotFound"), status=404)
            return web.json_response(found)
        body = await request.json()
        name = body["metadata"]["name"]
        there = self.objects[resource].get((namespace, name))
        if verb == "create" and there is not None:
            return web.json_response(status(409, "AlreadyExists"), status=409)
        if verb == "update":
            if there is None:
                return web.json_response(status(404, "NotFound"), status=404)
            if body["metadata"].get("resourceVersion") != there["metadata"]["resourceVersion"]:
                return web.json_response(status(409, "Conflict"), status=409)
        fields = {key: value for key, value in body.items() if key != "metadata"}
        return web.json_response(await self.put(resource, name, namespace, **fields))

    def _matching(self, resource: str, namespace: str) -> list[Json]:
        found = sorted(self.objects[resource].items())
        return [each for (where, _), each in found if namespace in ("", where)]

    def _list(self, resource: str, namespace: str, parameters: dict[str, str]) -> web.Response:
        version, match = parameters.get("resourceVersion", ""), "resourceVersionMatch"
        token = parameters.get("continue", "")
        limit = int(parameters.get("limit", "0"))
        if token and version:
            return self._invalid("resourceVersion is forbidden beside continue", 400)
        if parameters.get(match) and not version:
            return self._invalid("resourceVersionMatch is forbidden unless resourceVersion is set")
        if version and int(version) > self.version:
            causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large"}]
            told = status(504, "Timeout", "Too large resource version", causes=causes)
            return web.json_response(told, status=504)
        if token:
            at, rest = self.pages.get(token, (-1, []))
            if at < self.compacted:
                told = gone("continue")
                return web.json_response(told, status=410)
        else:
            at, rest = self.version, self._matching(resource, namespace)
        metadata: Json = {"resourceVersion": str(at)}
        page = rest[:limit] if limit else rest
        if len(page) < len(rest):
            token = base64.urlsafe_b64encode(f"{at}/{len(self.pages)}".encode()).decode()
            self.pages[token] = (at, rest[len(page) :])
            metadata |= {"continue": token, "remainingItemCount": len(rest) - len(page)}
        return web.json_response({"kind": "List", "metadata": metadata, "items": page})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Begin a chunked answer."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        return response

    async def _watch(
        self, request: web.Request, resource: str, namespace: str, parameters: dict[str, str]
    ) -> web.StreamResponse:
        initial = parameters.get("sendInitialEvents") == "true"
        if initial and not self.streams_lists:
            return self._invalid("sendInitialEvents is forbidden for watch")
        if ("resourceVersionMatch" in parameters) != initial:
            return self._invalid("resourceVersionMatch and sendInitialEvents go together")
        if parameters.get("allowWatchBookmarks") != "true":
            return self._invalid("this test wants bookmarks asked for", 400)
        if not 300 <= int(parameters.get("timeoutSeconds", "0")) <= 600:
            return self._invalid("this test wants timeouts between 5 and 10 minutes", 400)
        version = int(parameters.get("resourceVersion") or self.version)
        if version < self.compacted and not initial and self.gone_as == "http":
            return web.json_response(gone(str(version)), status=410)
        response = await self.stream(request)

        async def send(kind: str, item: Json) -> None:
            line = json.dumps({"type": kind, "object": item}).encode()
            await response.write(line + b"\n")

        if version > self.version:
            causes = [{"reason": "ResourceVersionTooLarge"}]
            await send("ERROR", status(504, "Timeout", "Too large", causes=causes))
            return response
        if initial:
            for each in self._matching(resource, namespace):
                await send("ADDED", each)
            version = self.version
            annotations = {"k8s.io/initial-events-end": "true"}
            await send("BOOKMARK", self._mark(version, annotations=annotations))
        elif version < self.compacted:
            await send("ERROR", gone(str(version)))
            return response
        self.watching += 1
        try:
            began, done = len(self.history), 0
            while True:
                while done < len(self.history):
                    at, what, kind, item = self.history[done]
                    done += 1
                    if at > version:
                        version = at
                        where = item["metadata"].get("namespace", "")
                        if what == resource and namespace in ("", where):
                            await send(kind, item)
                    elif at == 0 and done > began:
                        if what == "bookmark":
                            version = max(version, self.version if done == len(self.history) else 0)
                            await send("BOOKMARK", self._mark(version))
                        elif what == "raw":
                            await response.write(item["line"])
                        else:
                            if what == "reset":
                                reset(request)
                            return response
                async with self._news:
                    if done == len(self.history):
                        await self._news.wait()
        finally:
            self.watching -= 1

    def _mark(self, version: int, **metadata: Any) -> Json:
        return {"metadata": {"resourceVersion": str(version), **metadata}}

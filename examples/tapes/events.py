"""Core/v1 Events, written to the API server the way client-go's recorder does.

The same source saying the same of the same object is counted up by a PATCH of the Event that is
there (a watch shows it as MODIFIED); an Event that its TTL has removed meanwhile is created anew
and keeps its count. Left out, on purpose: client-go's spam filter and its aggregation of similar
messages, since no script here says more than those would pass.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from api import STRATEGIC, ApiError, ApiServer, Document, stamp

API_VERSIONS = {"Pod": "v1", "Ingress": "networking.k8s.io/v1"}


@dataclass(frozen=True)
class Source:
    """Who reports: the component, and the node for a kubelet."""

    component: str
    host: str = ""


@dataclass
class _Counted:
    name: str
    count: int
    first: str


def reference(kind: str, document: Document, field_path: str = "") -> Document:
    """Point at `document` as an involvedObject."""
    meta = document["metadata"]
    found = {
        "kind": kind,
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta["uid"],
        "apiVersion": API_VERSIONS[kind],
        "resourceVersion": meta["resourceVersion"],
        "fieldPath": field_path,
    }
    return {key: value for key, value in found.items() if value}


def node_reference(node: str) -> Document:
    """Point at a node; kubelets put the node's name where its uid belongs."""
    return {"kind": "Node", "name": node, "uid": node}


class EventWriter:
    """Creates and counts Events."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._known: dict[tuple[str, ...], _Counted] = {}

    async def emit(
        self, involved: Document, source: Source, level: str, reason: str, message: str
    ) -> None:
        """Say it once more; `level` is Normal or Warning."""
        namespace = involved.get("namespace", "default")
        place = involved.get("fieldPath", "")
        key = (source.component, source.host, involved["uid"], place, level, reason, message)
        known = self._known.get(key)
        if known is None:
            known = _Counted(f"{involved['name']}.{time.time_ns():x}", 0, stamp())
            self._known[key] = known
        known.count += 1
        path = f"/api/v1/namespaces/{namespace}/events"
        try:
            if known.count > 1:
                change = {"count": known.count, "lastTimestamp": stamp()}
                where = f"{path}/{known.name}"
                await self._api.raw(
                    "PATCH", where, change, content=STRATEGIC, agent=source.component
                )
                return
        except ApiError as error:
            if error.code != 404:
                raise
            known.name = f"{involved['name']}.{time.time_ns():x}"
        body = self._event(known, namespace, involved, source, level, reason, message)
        try:
            await self._api.raw("POST", path, body, agent=source.component)
        except ApiError as error:
            if error.code not in (403, 404):  # its namespace is going away
                raise

    @staticmethod
    def _event(
        known: _Counted,
        namespace: str,
        involved: Document,
        source: Source,
        level: str,
        reason: str,
        message: str,
    ) -> Document:
        origin = {"component": source.component}
        if source.host:
            origin["host"] = source.host
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": known.name, "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": origin,
            "firstTimestamp": known.first,
            "lastTimestamp": stamp(),
            "count": known.count,
            "type": level,
            "reportingComponent": source.component,
            "reportingInstance": source.host,
        }

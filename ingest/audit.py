"""Who changed a workload: what a cluster's audit webhook tells, as facts.

An API server can be set up to send its audit events to a webhook (``--audit-webhook-config-file``).
Of these, only completed writes to Deployments, StatefulSets and DaemonSets are kept, and of each
only who, what and when: managedFields knows the program that wrote ("kubectl"), audit knows the
person. Each becomes a fact, so a tape has it too.

Guaranteed: whatever the body, it gives facts or `Rejected`; objects that an audit policy of level
Request or above sends along are never kept. Left to others: listening (`forewarn.audit`), joining
with the change (`ingest.authors`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from pydantic import Field

from ingest.facts import Fact
from ingest.scope import Scope
from ingest.workloads import AUDITED
from stream.errors import Rejected

_WRITES: Final = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The listener for the API server's audit webhook, which knows who changed a workload.

    Its path is ``/audit/`` and the name of the cluster.
    """

    listen: bool = False
    """Whether to listen at all."""
    host: str = "127.0.0.1"
    """Address to listen on; any but loopback needs `cert_file` and `token_file`."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8443
    """Port to listen on; 0 takes a free one."""
    cert_file: str = ""
    """PEM file with the certificate to serve with; empty: plain HTTP, on loopback only."""
    key_file: str = ""
    """PEM file with its key."""
    token_file: str = ""
    """File with the bearer token that the API server's webhook configuration carries."""

    def __post_init__(self) -> None:
        """Refuse to be open to others without proof of who speaks."""
        loopback = self.host in ("127.0.0.1", "::1", "localhost")
        if not loopback and not (self.cert_file and self.key_file and self.token_file):
            raise ValueError(
                "listening for audit events beyond loopback needs cert_file, key_file, token_file"
            )
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together")


class _User(msgspec.Struct, gc=False):
    username: str = ""


class _Reference(msgspec.Struct, gc=False, rename="camel"):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class _Response(msgspec.Struct, gc=False):
    code: int = 0


class _Event(msgspec.Struct, gc=False, rename="camel"):
    stage: str = ""
    verb: str = ""
    user: _User = msgspec.field(default_factory=_User)
    impersonated_user: _User | None = None
    object_ref: _Reference | None = None
    response_status: _Response | None = None
    stage_timestamp: str = ""


class _Events(msgspec.Struct, gc=False):
    kind: str = ""
    items: list[_Event] | None = None


_decode: Final = msgspec.json.Decoder(_Events).decode


def facts(body: bytes, cluster: str, at: float, scope: Scope) -> list[Fact]:
    """Return the facts in one request of the webhook. About 3 µs an event.

    Raises
    ------
    Rejected
        It is no EventList of audit.k8s.io/v1.
    """
    try:
        events = _decode(body)
    except (ValueError, RecursionError) as error:
        raise Rejected(f"not an audit EventList: {error}") from error
    if events.kind != "EventList":
        raise Rejected(f"not an audit EventList but {events.kind or 'nothing with a kind'}")
    return [
        Fact(at, cluster, "audit", "SAMPLE", msgspec.Raw(msgspec.json.encode(_said(event))))
        for event in events.items or ()
        if _counts(event, scope)
    ]


def _counts(event: _Event, scope: Scope) -> bool:
    ref, response = event.object_ref, event.response_status
    return (
        event.stage == "ResponseComplete"
        and event.verb in _WRITES
        and ref is not None
        and ref.resource in AUDITED
        and ref.subresource in ("", "scale")
        and response is not None
        and 200 <= response.code < 300
        and scope.covers(ref.namespace)
    )


def _said(event: _Event) -> dict[str, str]:
    ref = event.object_ref
    assert ref is not None  # `_counts` has looked
    # Who acts in another's name is the one to ask.
    by = f" as {event.impersonated_user.username}" if event.impersonated_user is not None else ""
    return {
        "resource": ref.resource,
        "namespace": ref.namespace,
        "name": ref.name,
        "verb": event.verb,
        "user": event.user.username + by,
        "time": event.stage_timestamp,
    }
